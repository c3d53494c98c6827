"""The streams of one connection, as a server sees them: those that are calls, and those it has just ended."""

from typing import TYPE_CHECKING, Final

from spanward_processor.h2.frames import ConnectionFault, ErrorCode
from spanward_processor.h2.grpc import Incoming
from spanward_processor.h2.headers import Fields

if TYPE_CHECKING:
    import asyncio

    from spanward_processor.h2.call import Answer

_REMEMBERED: Final = 512  # streams we ended whose last frames may still be under way


class Stream:
    """A call from its first frame until its answer is on its way and its handler is done."""

    __slots__ = (
        "answered",
        "declared",
        "ended",
        "fields",
        "held",
        "message",
        "number",
        "owned",
        "pending",
        "received",
        "since",
    )

    def __init__(self, number: int, fields: Fields, longest: int, since: float) -> None:
        self.number = number
        self.fields = fields
        self.message = Incoming(longest)
        self.since = since  # when the transfer began: of the message, then of the answer
        self.declared = int(fields.headers["content-length"]) if "content-length" in fields.headers else None
        self.received = 0
        self.held = 0
        self.ended = False  # the peer has sent everything
        self.answered = False  # there is an answer, or nobody who wants one
        self.pending: asyncio.Future[Answer] | None = None
        self.owned = False  # `pending` is ours to cancel


class Ended:
    """The newest streams that we ended before the peer did: it may not have heard of it when it sends more on them."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        self._streams: dict[int, None] = {}  # newest last

    def add(self, stream: int) -> None:
        """Remember one."""
        self._streams[stream] = None
        if len(self._streams) > _REMEMBERED:
            del self._streams[next(iter(self._streams))]

    def forget(self, stream: int) -> None:
        """Forget one that the peer has ended too."""
        self._streams.pop(stream, None)

    def check(self, stream: int, what: str) -> None:
        """Check that a frame may come on a stream that is no call.

        Args:
            stream: Its number.
            what: Which frame.

        Raises:
            ConnectionFault: It was ended by both, or forgotten.
        """
        if stream not in self._streams:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"{what} on stream {stream}, which is closed")
