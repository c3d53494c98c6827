"""All targets; a test holds this list beside the files of the folder."""

from typing import Final

from fuzz.decoding import DECODING
from fuzz.frames import FRAMES
from fuzz.grpc_messages import GRPC_MESSAGES
from fuzz.headers import HEADERS
from fuzz.json_reading import JSON_READING
from fuzz.pruning import PRUNING
from fuzz.splicing import SPLICING
from fuzz.target import Target
from fuzz.unpacking import UNPACKING

TARGETS: Final[tuple[Target, ...]] = (
    DECODING,
    SPLICING,
    PRUNING,
    JSON_READING,
    FRAMES,
    HEADERS,
    GRPC_MESSAGES,
    UNPACKING,
)
