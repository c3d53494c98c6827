"""The body of an HTTP request while it comes in: how much of it, and of all of them together, is held."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress

from starlette.types import Receive

from spanward_processor.receive.admission import BusyError
from spanward_processor.receive.compression import TooLargeError


class GoneError(Exception):
    """The sender hung up."""


class SlowError(Exception):
    """A body takes too long to come."""


class BodyRoom:
    """Counts the bytes of bodies that are held.

    Args:
        most_bytes: Bytes held before a body is refused; one body is always let in.
        most_s: Longest time for a body to come, seconds.
    """

    def __init__(self, most_bytes: int, most_s: float) -> None:
        self.most_s = most_s
        self._most_bytes = most_bytes
        self._bytes = 0
        self._bodies = 0

    @contextmanager
    def hold(self) -> Generator["Held"]:
        """Count a body until it was handed on."""
        held = Held(self)
        self._bodies += 1
        try:
            yield held
        finally:
            self._bodies -= 1
            self._bytes -= held.size

    def take(self, size: int) -> None:
        """Count more bytes of a body.

        Raises:
            BusyError: There is no room for them.
        """
        if self._bodies > 1 and self._bytes + size > self._most_bytes:
            raise BusyError(
                f"{self._bodies} bodies with {self._bytes} bytes are coming in, which fills the room for them"
            )
        self._bytes += size


class Held:
    """What is held of one body.

    Args:
        room: Where it is counted.
    """

    def __init__(self, room: BodyRoom) -> None:
        self.size = 0
        self._room = room

    def grow(self, size: int) -> None:
        """Count more of it; see `BodyRoom.take`."""
        self._room.take(size)
        self.size += size

    async def read(self, body: "Body", most_bytes: int) -> bytes:
        """Return all of a body, counted while it comes; see `Body.read`.

        Raises:
            SlowError: It did not come in time.
        """
        try:
            async with asyncio.timeout(self._room.most_s):
                return await body.read(most_bytes, self)
        except TimeoutError as error:
            raise SlowError(f"body: must come within {self._room.most_s:g} s") from error


class Body:
    """One body, piece by piece.

    Args:
        receive: ASGI's source of pieces.
    """

    def __init__(self, receive: Receive) -> None:
        self.whole = False
        self._receive = receive

    async def read(self, most_bytes: int, held: Held) -> bytes:
        """Return all of it.

        Args:
            most_bytes: Largest body.
            held: Counts it.

        Raises:
            TooLargeError: There is more.
            BusyError: There is no room.
            GoneError: The sender hung up.
        """
        pieces: list[bytes] = []
        while not self.whole:
            piece = await self._piece()
            if held.size + len(piece) > most_bytes:
                raise TooLargeError(f"body: must be <= {most_bytes} bytes (limits.message_bytes)")
            held.grow(len(piece))
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def discard(self, most_s: float) -> None:
        """Read the rest and forget it, for a limited time, seconds."""
        with suppress(TimeoutError, GoneError):
            async with asyncio.timeout(most_s):
                while not self.whole:
                    await self._piece()

    async def _piece(self) -> bytes:
        message = await self._receive()
        if message["type"] != "http.request":
            raise GoneError
        self.whole = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece
