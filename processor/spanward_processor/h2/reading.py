"""Bytes to frames: the preface, heads and payloads, header blocks put together.

DATA is handed on as it comes, whatever its frame's size; every other frame is short and is waited for. The receive buffer
belongs to all connections of one event loop: the loop fills it and hands it over in one turn, so nobody comes between. What is
kept per connection is the beginning of one short frame, and one header block.

Source: RFC 9113, sections 3.4, 4, 6.1, 6.2, 6.10.
"""

from typing import Final, Protocol

from spanward_processor.h2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    LARGEST_STREAM,
    PADDED,
    SETTINGS,
    ConnectionFault,
    ErrorCode,
    header_fragment,
)

MAX_FRAME: Final = 1 << 20  # bytes; announced. gRPC's C core fills frames this large, and fewer frames are less work
_LONGEST_CONTROL: Final = 1 << 14  # bytes; only GOAWAY's debug data could be longer


class Frames(Protocol):
    """Who takes the frames."""

    def data_begins(self, stream: int, length: int, padding: int, *, ends: bool) -> None:
        """Take note of a DATA frame of `length` bytes, `padding` of them for nothing."""
        ...

    def data_piece(self, stream: int, piece: memoryview) -> None:
        """Take some bytes of it; they are only valid until the buffer is filled again."""
        ...

    def data_ends(self, stream: int) -> None:
        """Take note that a DATA frame that ends its stream is through."""
        ...

    def header_block(self, stream: int, block: bytes, *, ends: bool) -> None:
        """Take a whole header block."""
        ...

    def control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take any other frame the RFC knows."""
        ...

    def spend(self, what: str) -> None:
        """Count a frame that carries no call forward; raises when there are too many."""
        ...


class FrameReader:
    """Reads the frames of one connection.

    Args:
        frames: Who takes them.
        buffer: The event loop's receive buffer; much longer than any frame that must be whole.
        preface: What must come first; empty on a client.
        header_bytes: Longest header block.
    """

    def __init__(self, frames: Frames, buffer: memoryview, preface: bytes, header_bytes: int) -> None:
        self.settled = False  # the first frame, SETTINGS, has come
        self._frames = frames
        self._buffer = buffer
        self._preface = preface
        self._header_bytes = header_bytes
        self._stopped = False
        self._tail = b""
        # the DATA frame, or the unknown one, whose payload is coming
        self._stream = self._left = self._padding = 0
        self._ends = False
        # the header block that comes in several frames
        self._block: bytearray | None = None
        self._block_stream = 0
        self._block_ends = False

    @property
    def is_midway(self) -> bool:
        """Whether a frame other than DATA, or a header block, has begun and not ended."""
        return bool(self._tail) or self._block is not None

    def room(self) -> memoryview:
        """Return the buffer after what was left over from the last read."""
        kept = len(self._tail)
        if not kept:
            return self._buffer
        self._buffer[:kept] = self._tail
        return self._buffer[kept:]

    def stop(self) -> None:
        """Read nothing more."""
        self._stopped = True
        self._tail = b""

    def read(self, count: int) -> None:
        """Take the frames of `count` bytes that were put where `room` said.

        Raises:
            ConnectionFault: The peer broke a rule.
        """
        buffer, end = self._buffer, len(self._tail) + count
        at = self._read_preface(end) if self._preface else 0
        while not self._preface and not self._stopped:
            if self._left or self._padding:
                at = self._read_payload(at, end)
            after = at + HEAD_BYTES
            if after > end:
                break
            high, low, kind, flags, stream = HEAD.unpack_from(buffer, at)
            length = high << 16 | low
            stream &= LARGEST_STREAM
            self._check(length, kind, flags, stream)
            if kind == DATA:
                if flags & PADDED and length and after == end:
                    break  # the pad length is not there yet
                at = self._begin_data(length, flags, stream, after)
            elif kind > CONTINUATION:
                self._frames.spend("unknown frames")
                self._padding = length
                at = after
            elif after + length > end:
                break
            else:
                at = after + length
                self._short_frame(kind, flags, stream, bytes(buffer[after:at]))
        self._tail = b"" if self._stopped else bytes(buffer[at:end])

    def _read_preface(self, end: int) -> int:
        size = min(end, len(self._preface))
        if bytes(self._buffer[:size]) != self._preface[:size]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the connection does not begin with the HTTP/2 preface")
        if size < len(self._preface):
            return 0
        self._preface = b""
        return size

    def _check(self, length: int, kind: int, flags: int, stream: int) -> None:
        """Raise for frames that may not come now, and for long ones that would have to be kept."""
        if length > MAX_FRAME:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"frame of {length} bytes, limit {MAX_FRAME}")
        if not self.settled:
            if kind != SETTINGS or flags & ACK:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame must be SETTINGS")
        elif self._block is not None and (kind != CONTINUATION or stream != self._block_stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block must not be interrupted")
        if kind in {HEADERS, CONTINUATION}:
            if length > self._header_bytes:
                raise self._too_long()
        elif kind != DATA and kind < CONTINUATION and length > _LONGEST_CONTROL:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"control frame of {length} bytes")

    def _begin_data(self, length: int, flags: int, stream: int, at: int) -> int:
        """Begin a DATA frame; return where its bytes begin."""
        padding = 0
        if flags & PADDED:
            padding = self._buffer[at] + 1 if length else 1
            if padding > length:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA: padding as long as the frame")
            at += 1
        ends = bool(flags & END_STREAM)
        self._frames.data_begins(stream, length, padding, ends=ends)
        self._stream, self._ends = stream, ends
        self._left = length - padding
        self._padding = max(0, padding - 1)
        if ends and not (self._left or self._padding):
            self._end_data()
        return at

    def _read_payload(self, at: int, end: int) -> int:
        """Hand on what is here of a DATA frame; skip padding and unknown frames."""
        taken = min(self._left, end - at)
        if taken:
            self._left -= taken
            self._frames.data_piece(self._stream, self._buffer[at : at + taken])
            at += taken
        skipped = min(self._padding, end - at)
        self._padding -= skipped
        if self._ends and not (self._left or self._padding):
            self._end_data()
        return at + skipped

    def _end_data(self) -> None:
        self._ends = False
        self._frames.data_ends(self._stream)

    def _short_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            if stream == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
            block = header_fragment(payload, flags)
            ends = bool(flags & END_STREAM)
            if flags & END_HEADERS:
                self._frames.header_block(stream, block, ends=ends)
            else:
                self._block, self._block_stream, self._block_ends = bytearray(block), stream, ends
        elif kind == CONTINUATION:
            self._continue(flags, stream, payload)
        else:
            self.settled = True
            self._frames.control(kind, flags, stream, payload)

    def _continue(self, flags: int, stream: int, payload: bytes) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._frames.spend("CONTINUATION frames")
        if len(block) + len(payload) > self._header_bytes:
            raise self._too_long()
        block += payload
        if flags & END_HEADERS:
            self._block = None
            self._frames.header_block(stream, bytes(block), ends=self._block_ends)

    def _too_long(self) -> ConnectionFault:
        return ConnectionFault(
            ErrorCode.ENHANCE_YOUR_CALM, f"header block longer than the limit of {self._header_bytes} bytes"
        )
