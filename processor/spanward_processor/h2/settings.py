"""SETTINGS: what each end tells the other about itself.

Source: RFC 9113, section 6.5.
"""

import struct
from collections.abc import Mapping
from typing import Final

from spanward_processor.h2.frames import (
    LARGEST_MAX_FRAME,
    SETTINGS,
    SMALLEST_MAX_FRAME,
    ConnectionFault,
    ErrorCode,
    frame,
)

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

DEFAULT_WINDOW: Final = 65_535  # bytes, of every new stream and connection
LARGEST_WINDOW: Final = (1 << 31) - 1
_ENTRY: Final = struct.Struct(">HI")
_MOST_ENTRIES: Final = 64  # ten times what the RFC defines; more is a flood in one frame


def pack_settings(settings: Mapping[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_ENTRY.pack(name, value) for name, value in settings.items()))


def parse_settings(payload: bytes) -> dict[int, int]:
    """Return the settings of a payload; unknown ones are kept, the reader ignores them.

    Raises:
        ConnectionFault: A length or a value the RFC forbids.
    """
    if len(payload) % _ENTRY.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes, not a multiple of 6")
    if len(payload) > _MOST_ENTRIES * _ENTRY.size:
        raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"SETTINGS with more than {_MOST_ENTRIES} entries")
    settings: dict[int, int] = dict(_ENTRY.iter_unpack(payload))
    _check(settings)
    return settings


def _check(settings: Mapping[int, int]) -> None:
    push = settings.get(ENABLE_PUSH, 0)
    if push > 1:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH must be 0 or 1, got {push}")
    window = settings.get(INITIAL_WINDOW_SIZE, 0)
    if window > LARGEST_WINDOW:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE must be < 2^31, got {window}")
    size = settings.get(MAX_FRAME_SIZE, SMALLEST_MAX_FRAME)
    if not SMALLEST_MAX_FRAME <= size <= LARGEST_MAX_FRAME:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"MAX_FRAME_SIZE must be 16384 to 16777215, got {size}")
