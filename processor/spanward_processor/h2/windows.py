"""Flow control: how much each end may send.

Source: RFC 9113, section 5.2 and 6.9.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from spanward_processor.h2.frames import DATA, END_STREAM, SMALLEST_MAX_FRAME, ConnectionFault, ErrorCode, frame_head
from spanward_processor.h2.settings import DEFAULT_WINDOW, LARGEST_WINDOW

Buffer: TypeAlias = bytes | bytearray | memoryview


class Body:
    """What is still to be sent of one stream.

    Args:
        stream: Its id.
        parts: The bytes, sent one after the other without being joined.
        last: A frame that ends the stream after them; empty when the last DATA frame does.
        sent: Called when all is on its way.
    """

    __slots__ = ("_at", "_part", "_parts", "last", "left", "sent", "stream")

    def __init__(self, stream: int, parts: Iterable[Buffer], last: bytes, sent: Callable[[], None]) -> None:
        self.stream = stream
        self.last = last
        self.sent = sent
        self._parts = [memoryview(part) for part in parts if len(part)]  # asyncio spins on an empty last buffer
        self.left = sum(len(part) for part in self._parts)
        self._part = 0
        self._at = 0

    def take(self, count: int) -> list[memoryview]:
        """Return the next `count` bytes, in slices."""
        taken: list[memoryview] = []
        self.left -= count
        while count:
            part = self._parts[self._part]
            piece = part[self._at : self._at + count]
            taken.append(piece)
            count -= len(piece)
            self._at += len(piece)
            if self._at == len(part):
                self._part += 1
                self._at = 0
        return taken


class Outflow:
    """Sends bodies as far as the peer's windows and the transport allow.

    A stream's window is the initial window plus what is kept for it here, so a changed initial window applies to all of them
    at once.

    Args:
        out: Where frames go.
    """

    def __init__(self, out: list[Buffer]) -> None:
        self.window = DEFAULT_WINDOW
        self.frame_bytes = SMALLEST_MAX_FRAME
        self.stopped = False  # the transport has more than enough
        self.frames = 0
        self._initial = DEFAULT_WINDOW
        self._out = out
        self._beyond_initial: dict[int, int] = {}
        self._waiting: dict[int, Body] = {}

    def send(self, body: Body) -> None:
        """Send a body now as far as possible, and the rest when there is room."""
        if self.stopped or not self._push(body):
            self._waiting[body.stream] = body

    def claim(self, stream: int, size: int) -> bool:
        """Take `size` bytes from the windows for DATA the caller frames itself; False when they do not fit."""
        if self.stopped or min(self.window, self._initial + self._beyond_initial.get(stream, 0)) < size:
            return False
        self.window -= size
        self.frames += 1
        return True

    def is_sending(self, stream: int) -> bool:
        """Return whether some of a stream's body still waits."""
        return stream in self._waiting

    def forget(self, stream: int) -> None:
        """Drop what is kept for a stream that ended."""
        self._beyond_initial.pop(stream, None)
        self._waiting.pop(stream, None)

    def widen(self, more: int) -> None:
        """Allow more for the connection.

        Raises:
            ConnectionFault: The window would be larger than the RFC allows, or the update is empty.
        """
        if more == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of the connection by 0")
        if self.window + more > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "window of the connection above 2^31-1")
        self.window += more
        self.pump()

    def widen_stream(self, stream: int, more: int) -> bool:
        """Allow more for a stream; False when its window would be larger than the RFC allows."""
        beyond = self._beyond_initial.get(stream, 0) + more
        if self._initial + beyond > LARGEST_WINDOW:
            return False
        self._beyond_initial[stream] = beyond
        body = self._waiting.get(stream)
        if body is not None and not self.stopped and self._push(body):
            self._waiting.pop(stream, None)
        return True

    def resize(self, initial: int) -> None:
        """Change the initial window of all streams.

        Raises:
            ConnectionFault: A stream's window would be larger than the RFC allows.
        """
        if initial + max(self._beyond_initial.values(), default=0) > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "window of a stream above 2^31-1 by SETTINGS")
        self._initial = initial
        self.pump()

    def pump(self) -> None:
        """Send what waits, oldest first."""
        if self.stopped or not self._waiting:
            return
        for body in tuple(self._waiting.values()):
            if self._push(body):
                self._waiting.pop(body.stream, None)
            elif self.window <= 0:
                return

    def _push(self, body: Body) -> bool:
        """Send what the windows allow; True when the body is through."""
        stream = body.stream
        beyond = self._beyond_initial.get(stream, 0)
        room = min(self.window, self._initial + beyond)
        while body.left:
            size = min(body.left, room, self.frame_bytes)
            if size <= 0:
                return False
            taken = body.take(size)
            ends = END_STREAM if not body.left and not body.last else 0
            self._out.append(frame_head(size, DATA, ends, stream))
            self._out.extend(taken)
            self.frames += 1
            self.window -= size
            room -= size
            beyond -= size
            self._beyond_initial[stream] = beyond
        if body.last:
            self._out.append(body.last)
        self._beyond_initial.pop(stream, None)
        body.sent()
        return True


class Inflow:
    """The window of a connection in the other direction: what the peer may send us.

    Args:
        size: The window, bytes; larger than the default.
        send: Sends a WINDOW_UPDATE for so many bytes.
    """

    __slots__ = ("_left", "_send", "_size")

    _BATCHES: Final = 4  # an update when a quarter is used up: rare, and long before the sender has to wait

    def __init__(self, size: int, send: Callable[[int], None]) -> None:
        self._size = size
        self._left = DEFAULT_WINDOW
        self._send = send

    def open(self) -> None:
        """Tell the peer about the whole window."""
        self._send(self._size - self._left)
        self._left = self._size

    def took(self, count: int) -> None:
        """Count bytes as received and, since we store or drop them at once, as free again.

        Raises:
            ConnectionFault: The peer sent more than it may.
        """
        self._left -= count
        if self._left < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window of the connection")
        used = self._size - self._left
        if used * self._BATCHES >= self._size:
            self._left = self._size
            self._send(used)
