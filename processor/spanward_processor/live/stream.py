"""Server-sent events: how everything stands each second, and each transition of a finding as it happens."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from spanward_processor.live.encode import event, histories, overview
from spanward_processor.live.view import LiveSource

SNAPSHOT_S: Final = 1.0
_LOOK_S: Final = 0.25  # how soon a transition is sent, and how soon a stream ends when the server stops
_OPENING: Final = b": spanward live events\nretry: 1000\n\n"  # bytes at once, so that proxies pass the headers on
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One encoded snapshot.

    Args:
        taken_s: When it was taken, on the monotonic clock, seconds.
        overview: The `snapshot` event.
        histories: The `histories` event.
    """

    taken_s: float
    overview: bytes
    histories: bytes


class Frames:
    """Encodes a source's snapshot at most once a second, however many streams are open.

    Args:
        source: What is shown.
    """

    def __init__(self, source: LiveSource) -> None:
        self._source = source
        self._lock = asyncio.Lock()
        self._newest = Frame(float("-inf"), b"", b"")

    async def newest(self) -> Frame:
        """Return a frame that is at most a second old."""
        async with self._lock:
            if time.monotonic() - self._newest.taken_s >= SNAPSHOT_S:
                # In a thread: the source's lock may be held while a window is judged.
                self._newest = await asyncio.to_thread(self._take)
            return self._newest

    def _take(self) -> Frame:
        taken_s = time.monotonic()
        snapshot = self._source.snapshot()
        return Frame(taken_s, event("snapshot", overview(snapshot)), event("histories", histories(snapshot)))


class EventStream:
    """ASGI endpoint of the event stream; each open stream takes one of a bounded number of places.

    A client starts with the state as it is and is sent what changes from then on. One that comes back with a
    `Last-Event-ID` is first sent the transitions it missed.

    Args:
        source: What is shown.
        closing: Whether the server is stopping; every stream then ends.
        most: Places.
    """

    def __init__(self, source: LiveSource, closing: Callable[[], bool], most: int) -> None:
        self._source = source
        self._frames = Frames(source)
        self._closing = closing
        self._most = most
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; returns when the client has gone or the server stops."""
        response = self._refusal(scope["method"])
        if response is not None:
            await response(scope, receive, send)
            return
        self.open += 1
        try:
            last = _last_seen(Headers(scope=scope))
            stream = StreamingResponse(self._events(last), headers=_HEADERS, media_type="text/event-stream")
            await stream(scope, receive, send)
        finally:
            self.open -= 1

    def _refusal(self, method: str) -> Response | None:
        if method != "GET":
            return PlainTextResponse("method: must be GET", 405, {"Allow": "GET"})
        if self.open >= self._most:
            text = f"event streams: at most {self._most} may be open, and they are"
            return PlainTextResponse(text, 503, {"Retry-After": "5"})
        return None

    async def _events(self, last: int | None) -> AsyncIterator[bytes]:
        yield _OPENING
        seen = self._start(last)
        yield event("hello", {"sequence": seen}, seen)
        sent = Frame(float("-inf"), b"", b"")
        while not self._closing():
            for sequence, finding in await asyncio.to_thread(self._source.transitions, seen):
                yield event("finding", asdict(finding), sequence)
                seen = sequence
            frame = await self._frames.newest()
            if frame.histories != sent.histories:
                yield frame.histories
            if frame.taken_s != sent.taken_s:
                yield frame.overview  # once a second even when nothing changed: it keeps the connection alive
            sent = frame
            await asyncio.sleep(_LOOK_S)

    def _start(self, last: int | None) -> int:
        """Return the number after which to send: what the client named, unless it speaks of an earlier process."""
        transitions = self._source.transitions(0)
        newest = transitions[-1][0] if transitions else 0
        if last is None:
            return newest
        return last if last <= newest else 0


def _last_seen(headers: Headers) -> int | None:
    text = headers.get("last-event-id", "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None
