"""HTTP/2 frames: what the reader hands on is what a reader of the whole stream finds, wherever the network cuts it."""

from itertools import pairwise
from random import Random
from typing import Final

from fuzz.damage import damaged
from fuzz.target import Target, choices_of
from spanward_processor.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY_FIELDS,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ConnectionFault,
    frame,
)
from spanward_processor.h2.reading import MAX_FRAME, FrameReader

Event = tuple[object, ...]
_HEADER_BYTES: Final = 200
_LONGEST_CONTROL: Final = 1 << 14
_BUFFER: Final = memoryview(bytearray(1 << 16))
_KINDS: Final = (DATA, DATA, HEADERS, HEADERS, CONTINUATION, SETTINGS, PING, RST_STREAM, GOAWAY, WINDOW_UPDATE, 0x42)
_FLAGS: Final = (
    0,
    END_STREAM,
    END_HEADERS,
    END_STREAM | END_HEADERS,
    PADDED,
    PADDED | END_STREAM,
    PRIORITY_FIELDS | END_HEADERS,
)
_FRAME_BYTES: Final = 9


class _Recorder:
    """Keeps what came; pieces of one DATA frame are one."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def data_begins(self, stream: int, length: int, padding: int, *, ends: bool) -> None:
        self.events.append(("data", stream, length, padding, ends, b""))

    def data_piece(self, stream: int, piece: memoryview) -> None:
        *before, taken = self.events[-1]
        assert before[:2] == ["data", stream]
        assert isinstance(taken, bytes)
        self.events[-1] = (*before, taken + piece)

    def data_ends(self, stream: int) -> None:
        self.events.append(("end", stream))

    def header_block(self, stream: int, block: bytes, *, ends: bool) -> None:
        self.events.append(("headers", stream, block, ends))

    def control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.events.append(("control", kind, flags, stream, payload))

    def spend(self, what: str) -> None:
        self.events.append(("spent", what))


def check(data: bytes) -> bool:
    """Read a stream of frames whole and in pieces, beside the slow reader below."""
    rng = choices_of(data)
    expected = _slow(data)
    assert expected == _read([data])
    points = [0, *sorted(rng.randint(0, len(data)) for _ in range(rng.choice((1, 2, 8)))), len(data)]
    assert expected == _read([data[start:end] for start, end in pairwise(points)])
    return expected[-1][0] != "fault"


def _read(pieces: list[bytes]) -> list[Event]:
    recorder = _Recorder()
    reader = FrameReader(recorder, _BUFFER, PREFACE, _HEADER_BYTES)
    try:
        for piece in pieces:
            reader.room()[: len(piece)] = piece
            reader.read(len(piece))
    except ConnectionFault as fault:
        return [*recorder.events, ("fault", fault.code.name)]
    return [*recorder.events, ("waiting", reader.is_midway)]


class _Slow:
    """Reads a whole stream, a frame at a time, by the letter of RFC 9113."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.settled = False
        self.block: tuple[int, bytes, bool] | None = None

    def may_come(self, kind: int, flags: int, stream: int, length: int) -> str:
        """Return the error of a frame that may not come now, or is too long."""
        if length > MAX_FRAME:
            return "FRAME_SIZE_ERROR"
        if not self.settled and (kind != SETTINGS or flags & 1):
            return "PROTOCOL_ERROR"
        if self.block and (kind, stream) != (CONTINUATION, self.block[0]):
            return "PROTOCOL_ERROR"
        if kind in {HEADERS, CONTINUATION} and length > _HEADER_BYTES:
            return "ENHANCE_YOUR_CALM"
        return "FRAME_SIZE_ERROR" if DATA < kind < CONTINUATION and length > _LONGEST_CONTROL else ""

    def data(self, flags: int, stream: int, payload: bytes, length: int) -> str:
        """Take what is here of a DATA frame."""
        padding = (payload[0] + 1 if length else 1) if flags & PADDED else 0
        if padding > length:
            return "PROTOCOL_ERROR"
        ends = bool(flags & END_STREAM)
        body = payload[1:] if padding else payload
        self.events.append(("data", stream, length, padding, ends, body[: length - padding]))
        if ends and len(payload) == length:
            self.events.append(("end", stream))
        return ""

    def headers(self, flags: int, stream: int, payload: bytes) -> str:
        """Take a HEADERS frame."""
        if not stream:
            return "PROTOCOL_ERROR"
        padding = 0
        if flags & PADDED:
            if not payload:
                return "FRAME_SIZE_ERROR"
            padding, payload = payload[0], payload[1:]
        skipped = 5 if flags & PRIORITY_FIELDS else 0
        if skipped + padding > len(payload):
            return "PROTOCOL_ERROR"
        self.block = stream, payload[skipped : len(payload) - padding], bool(flags & END_STREAM)
        return self.end_block(flags)

    def continuation(self, flags: int, payload: bytes) -> str:
        """Take a CONTINUATION frame."""
        if not self.block:
            return "PROTOCOL_ERROR"
        stream, block, ends = self.block
        self.events.append(("spent", "CONTINUATION frames"))
        if len(block) + len(payload) > _HEADER_BYTES:
            return "ENHANCE_YOUR_CALM"
        self.block = stream, block + payload, ends
        return self.end_block(flags)

    def end_block(self, flags: int) -> str:
        """Hand on a header block that is whole."""
        if self.block and flags & END_HEADERS:
            self.events.append(("headers", *self.block))
            self.block = None
        return ""

    def take(self, kind: int, flags: int, stream: int, payload: bytes, length: int) -> str:
        """Take a frame, of DATA and unknown ones perhaps only the beginning; return its error."""
        if kind == DATA:
            return self.data(flags, stream, payload, length)
        if kind > CONTINUATION:
            self.events.append(("spent", "unknown frames"))
            return ""
        if kind == HEADERS:
            return self.headers(flags, stream, payload)
        if kind == CONTINUATION:
            return self.continuation(flags, payload)
        self.settled = True
        self.events.append(("control", kind, flags, stream, payload))
        return ""


def _slow(data: bytes) -> list[Event]:
    """Return what must be handed on of a stream, and whether something has begun and not ended."""
    slow = _Slow()
    if data[: len(PREFACE)] != PREFACE[: len(data)]:
        return [("fault", "PROTOCOL_ERROR")]
    if len(data) < len(PREFACE):
        return [("waiting", bool(data))]
    at = len(PREFACE)
    while at + _FRAME_BYTES <= len(data):
        length, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
        stream = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFF_FFFF
        after = at + _FRAME_BYTES
        payload = data[after : after + length]
        if error := slow.may_come(kind, flags, stream, length):
            return [*slow.events, ("fault", error)]
        whole = len(payload) == length
        needs = (1 if flags & PADDED and length else 0) if kind == DATA else 0 if kind > CONTINUATION else length
        if len(payload) < needs:
            return [*slow.events, ("waiting", True)]
        if error := slow.take(kind, flags, stream, payload, length):
            return [*slow.events, ("fault", error)]
        if not whole:
            return [*slow.events, ("waiting", slow.block is not None)]
        at = after + length
    return [*slow.events, ("waiting", at < len(data) or slow.block is not None)]


def _fresh(rng: Random) -> bytes:
    return PREFACE + frame(SETTINGS, 0, 0) + b"".join(_frame(rng) for _ in range(rng.randint(0, 6)))


def _frame(rng: Random) -> bytes:
    """Return a frame, sometimes of header blocks in several."""
    payload = rng.randbytes(rng.choice((0, 1, 4, 5, 8, 20, 199, 201)))
    if rng.random() < 0.3:
        stream = rng.choice((1, 3))
        ends = rng.choice((CONTINUATION, CONTINUATION, HEADERS))
        return frame(HEADERS, 0, stream, payload[:100]) + frame(ends, END_HEADERS, stream, payload[100:])
    flags = rng.choice(_FLAGS)
    if flags & PADDED and rng.random() < 0.8:
        payload = bytes([rng.randint(0, len(payload))]) + payload
    return frame(rng.choice(_KINDS), flags, rng.choice((0, 1, 1, 3, 1 << 31)), payload)


def _mutated(data: bytes, rng: Random) -> bytes:
    """Return the stream with a frame put in, taken out, cut or damaged."""
    if rng.random() < 0.4:
        return damaged(data, rng)
    pieces = _frames_of(data)
    action, at = rng.randrange(4), rng.randrange(len(pieces))
    if action == 0:
        pieces.insert(at + 1, _frame(rng))
    elif action == 1 and at:
        del pieces[at]
    elif action == 2:
        pieces.append(pieces[at][: rng.randint(0, len(pieces[at]))])
    else:
        pieces[at] = damaged(pieces[at], rng, 1) if at else pieces[at]
    return b"".join(pieces)


def _frames_of(data: bytes) -> list[bytes]:
    pieces = [data[: len(PREFACE)]]
    at = len(PREFACE)
    while at + _FRAME_BYTES <= len(data):
        end = at + _FRAME_BYTES + int.from_bytes(data[at : at + 3], "big")
        pieces.append(data[at:end])
        at = end
    return [*pieces, data[at:]] if at < len(data) else pieces


FRAMES: Final = Target("frames", _fresh, _mutated, check)
