"""The route on which pipelines announce deployments; `dora/announcements.py` reads and keeps what they say."""

import json
from collections.abc import Callable
from typing import Final

from spanward_processor.dora.announcements import MOST_BYTES, Announcement, read_announcement
from spanward_processor.receive.body import Body, BodyRoom
from spanward_processor.receive.compression import TooLargeError
from spanward_processor.receive.http_failures import Failure
from spanward_processor.receive.http_head import Head

PATH: Final = "/v1/deployments"
_JSON: Final = "application/json"

Announce = Callable[[Announcement], int]
"""Takes in what a pipeline says of a deployment; returns of how many it speaks that were seen already."""


class Announcements:
    """The route.

    Args:
        announce: Takes what pipelines say.
        room: Where bodies are held while they come in.
    """

    def __init__(self, announce: Announce, room: BodyRoom) -> None:
        self._announce = announce
        self._room = room

    async def take(self, head: Head, body: Body) -> bytes:
        """Take an announcement; the answer tells of how many deployments it speaks that were seen."""
        if head.content_type != _JSON:
            raise Failure(415, f"content-type: must be {_JSON}, got {head.content_type[:100]!r}")
        if head.encoding() not in {"", "identity"}:
            raise Failure(415, "content-encoding: must be identity")
        with self._room.hold() as held:
            try:
                told = await held.read(body, MOST_BYTES)
            except TooLargeError as error:
                raise Failure(413, f"body: must be <= {MOST_BYTES} bytes") from error
            said = read_announcement(told)
        return json.dumps({"deployments_seen": self._announce(said)}).encode()
