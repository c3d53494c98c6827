"""Frames: their layout on the wire, their names, and the error codes.

Source: RFC 9113, sections 4.1 (layout), 6 (types and flags), 7 (error codes).
"""

import struct
from enum import IntEnum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113, 3.4
HEAD: Final = struct.Struct(">BHBBI")  # 24 bits of length, type, flags, stream
HEAD_BYTES: Final = 9
SMALLEST_MAX_FRAME: Final = 1 << 14  # bytes; what a peer takes until it says otherwise
LARGEST_MAX_FRAME: Final = (1 << 24) - 1
LARGEST_STREAM: Final = (1 << 31) - 1

# Plain integers: these are compared for every frame.
DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FIELDS: Final = 0x20

_WORD: Final = struct.Struct(">I")
_TWO_WORDS: Final = struct.Struct(">II")
_PRIORITY_BYTES: Final = 5


class ErrorCode(IntEnum):
    """Why a stream or a connection ended."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class ConnectionFault(Exception):  # noqa: N818 - a fault of the peer, never shown to users as an error
    """The peer broke a rule after which the connection cannot go on.

    Args:
        code: What GOAWAY says.
        reason: The rule, in a sentence; sent as GOAWAY's debug data.
    """

    def __init__(self, code: ErrorCode, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code.name}: {reason}")


def frame_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """Return the nine bytes before a payload."""
    return HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    return frame_head(len(payload), kind, flags, stream) + payload


def header_frames(stream: int, block: bytes, flags: int = 0) -> bytes:
    """Return HEADERS for a block, continued in CONTINUATION when it is long."""
    if len(block) <= SMALLEST_MAX_FRAME:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    pieces = [block[at : at + SMALLEST_MAX_FRAME] for at in range(0, len(block), SMALLEST_MAX_FRAME)]
    kinds = [HEADERS] + [CONTINUATION] * (len(pieces) - 1)
    marks = [flags] + [0] * (len(pieces) - 2) + [END_HEADERS]
    return b"".join(frame(kind, mark, stream, piece) for kind, mark, piece in zip(kinds, marks, pieces, strict=True))


def rst_stream(stream: int, code: ErrorCode) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def window_update(stream: int, more: int) -> bytes:
    """Return a WINDOW_UPDATE frame that allows `more` bytes."""
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(more))


def goaway(last_stream: int, code: ErrorCode, reason: str) -> bytes:
    """Return a GOAWAY frame; streams above `last_stream` were not looked at."""
    return frame(GOAWAY, 0, 0, _TWO_WORDS.pack(last_stream, code) + reason.encode("ascii", "replace"))


def word(payload: bytes) -> int:
    """Return the 32-bit number a payload consists of.

    Raises:
        ConnectionFault: It is not four bytes.
    """
    if len(payload) != _WORD.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"payload must be 4 bytes, got {len(payload)}")
    return int(_WORD.unpack(payload)[0])


def parse_goaway(payload: bytes) -> tuple[int, int, str]:
    """Return the last stream looked at, the error code and the debug text.

    Raises:
        ConnectionFault: It is too short.
    """
    if len(payload) < _TWO_WORDS.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"GOAWAY must be at least 8 bytes, got {len(payload)}")
    last, code = _TWO_WORDS.unpack_from(payload)
    return last & LARGEST_STREAM, code, payload[_TWO_WORDS.size :].decode("ascii", "replace")


def header_fragment(payload: bytes, flags: int) -> bytes:
    """Return the part of a HEADERS payload that is a header block; padding and priority go.

    Raises:
        ConnectionFault: Padding or priority do not fit in the payload.
    """
    if not flags & (PADDED | PRIORITY_FIELDS):
        return payload
    start = end = 0
    if flags & PADDED:
        if not payload:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "padded HEADERS without a pad length")
        start, end = 1, payload[0]
    if flags & PRIORITY_FIELDS:
        start += _PRIORITY_BYTES
    if start + end > len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS: padding or priority longer than the frame")
    return payload[start : len(payload) - end]


def name_of(code: int) -> str:
    """Return an error code's name, or its number in hexadecimal when RFC 9113 does not know it."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"0x{code:x}"
