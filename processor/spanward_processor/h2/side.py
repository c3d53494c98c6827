"""The border between a connection, which knows frames, and its side, which knows calls."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from spanward_processor.h2.headers import Fields

if TYPE_CHECKING:
    from spanward_processor.h2.connection import Connection


class Side(Protocol):
    """The end that owns the streams of a connection."""

    def connected(self, connection: "Connection") -> None:
        """Take note of a connection that is made."""
        ...

    def settled(self, changed: Mapping[int, int]) -> None:
        """Take note of the peer's SETTINGS."""
        ...

    def is_idle(self, stream: int) -> bool:
        """Return whether a stream has never been opened."""
        ...

    def headers(self, stream: int, fields: Fields, *, ends: bool) -> None:
        """Take a header block."""
        ...

    def data(self, stream: int, size: int) -> None:
        """Take note of a DATA frame that begins, of `size` bytes without padding."""
        ...

    def piece(self, stream: int, piece: memoryview) -> None:
        """Take some bytes of a DATA frame; they are only valid until `read` is called."""
        ...

    def read(self) -> None:
        """Take note that all bytes read were handed on, and will be written over."""
        ...

    def ended(self, stream: int) -> None:
        """Take note that the peer ended its half of a stream by a DATA frame."""
        ...

    def reset(self, stream: int, code: int) -> None:
        """Take note that the peer reset a stream."""
        ...

    def widened(self, stream: int, more: int) -> None:
        """Take note that the peer takes `more` bytes on a stream."""
        ...

    def going_away(self, last: int, code: int, reason: str) -> None:
        """Take note of GOAWAY."""
        ...

    def blocked(self, *, blocked: bool) -> None:
        """Take note that the peer does not read what we write, or reads again."""
        ...

    def lost(self, reason: str) -> None:
        """Take note that the connection is gone."""
        ...
