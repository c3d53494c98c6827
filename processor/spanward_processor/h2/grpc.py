"""gRPC on top of HTTP/2: the message prefix, the timeout, and how a status travels.

Source: gRPC documentation, "gRPC over HTTP2" (PROTOCOL-HTTP2) and "HTTP to gRPC Status Code Mapping".
"""

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from spanward_processor.h2.call import Answer, Status
from spanward_processor.h2.frames import ErrorCode, name_of

PREFIX: Final = struct.Struct(">BI")  # compressed, length
CONTENT_TYPE: Final = "application/grpc"

_TIMEOUT: Final = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PRINTABLE: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_KEPT_BYTES: Final = 256 << 10  # in one array of a message
_LONGEST_MESSAGE: Final = 1024  # characters of a status message; header lists are bounded on the other side too

_OF_HTTP: Final = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}
_OF_RESET: Final[dict[int, Status]] = {
    ErrorCode.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCode.CANCEL: Status.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}


class MessageFault(Exception):  # noqa: N818 - the peer's fault, turned into an answer
    """The bytes of a stream are not one message.

    Args:
        status: What to answer.
        reason: The rule that was broken.
    """

    def __init__(self, status: Status, reason: str) -> None:
        self.status = status
        super().__init__(reason)


class Incoming:
    """One message that arrives in pieces.

    Pieces are borrowed from the receive buffer until all that was read is handed on; a message that is whole by then is copied
    once. What is not goes into arrays that grow, so that a peer who sends single bytes cannot make each cost an object; and into
    another one after a while, since a large one is moved as it grows.

    Args:
        longest: Most bytes the message may have.
    """

    __slots__ = ("_borrowed", "_kept", "_length", "_longest", "_prefix", "_size", "compressed")

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._prefix = b""
        self._length = -1
        self._size = 0
        self._borrowed: list[memoryview] = []
        self._kept: list[bytearray] = []
        self.compressed = False

    @property
    def borrows(self) -> bool:
        """Whether `keep` must be called before the receive buffer is used again."""
        return bool(self._borrowed)

    def feed(self, piece: memoryview) -> None:
        """Add bytes, which stay borrowed until `keep` or `finish`.

        Raises:
            MessageFault: The message is too long, or more follows it.
        """
        if self._length < 0:
            missing = PREFIX.size - len(self._prefix)
            self._prefix += piece[:missing]
            if len(self._prefix) < PREFIX.size:
                return
            self._begin()
            piece = piece[missing:]
        self._size += len(piece)
        if self._size > self._length:
            raise MessageFault(Status.UNIMPLEMENTED, "a unary call has one message, got more")
        if len(piece):
            self._borrowed.append(piece)

    def keep(self) -> None:
        """Copy what is borrowed."""
        if not self._kept or len(self._kept[-1]) > _KEPT_BYTES:
            self._kept.append(bytearray())
        kept = self._kept[-1]
        for piece in self._borrowed:
            kept += piece
        self._borrowed.clear()

    def _begin(self) -> None:
        flag, length = PREFIX.unpack(self._prefix)
        if flag > 1:
            raise MessageFault(Status.INTERNAL, f"compressed flag must be 0 or 1, got {flag}")
        if length > self._longest:
            raise MessageFault(
                Status.RESOURCE_EXHAUSTED,
                f"message of {length} bytes is longer than the limit of {self._longest} bytes",
            )
        self.compressed = flag == 1
        self._length = length

    def finish(self) -> bytes:
        """Return the message.

        Raises:
            MessageFault: It is not there, or not whole.
        """
        if self._length < 0 and not self._prefix:
            raise MessageFault(Status.UNIMPLEMENTED, "a unary call has one message, got none")
        if self._size != self._length:
            raise MessageFault(Status.INTERNAL, f"message ended after {self._size} of {self._length} bytes")
        body = b"".join((*self._kept, *self._borrowed))
        self._kept.clear()
        self._borrowed.clear()
        return body


class Borrowing:
    """The messages of one connection that lie in its receive buffer, until that is used again."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        self._messages: list[Incoming] = []

    def note(self, message: Incoming) -> None:
        """Remember a message that was fed, if it borrows."""
        if message.borrows:
            self._messages.append(message)

    def end(self) -> None:
        """Copy what is left in the buffer of messages that are not whole."""
        for message in self._messages:
            if message.borrows:
                message.keep()
        self._messages.clear()


def parse_timeout(text: str) -> float | None:
    """Return `grpc-timeout` in seconds; None when it is not one.

    >>> parse_timeout("250m"), parse_timeout("soon")
    (0.25, None)
    """
    match = _TIMEOUT.fullmatch(text)
    return int(match[1]) * _UNIT_S[match[2]] if match else None


def format_timeout(seconds: float) -> str:
    """Return seconds as `grpc-timeout`, in the finest unit that has room.

    >>> format_timeout(5), format_timeout(200_000)
    ('5000000u', '200000S')
    """
    micros = max(1, int(seconds * 1e6))
    for unit, size in (("u", 1), ("m", 1_000), ("S", 1_000_000), ("M", 60_000_000)):
        if micros // size < 10**8:
            return f"{micros // size}{unit}"
    return "99999999M"


def status_fields(answer: Answer) -> list[tuple[str, str]]:
    """Return the trailers that tell how a call ended."""
    fields = [("grpc-status", str(int(answer.status)))]
    if answer.message:
        fields.append(("grpc-message", quote(answer.message[:_LONGEST_MESSAGE], safe=_PRINTABLE)))
    if answer.details:
        fields.append(("grpc-status-details-bin", base64.b64encode(answer.details).decode("ascii").rstrip("=")))
    return fields


def parse_status(headers: Mapping[str, str], body: bytes) -> Answer:
    """Return the answer that trailers and a reply message make together."""
    text = headers.get("grpc-status")
    if text is None:
        return Answer(status=Status.UNKNOWN, message="the server's trailers have no grpc-status")
    if not (text.isascii() and text.isdigit() and len(text) <= len("4294967295")):
        return Answer(status=Status.UNKNOWN, message=f"grpc-status must be a number, got {text[:32]!r}")
    message = unquote(headers.get("grpc-message", ""), errors="replace")
    return Answer(body, int(text), message, _details(headers.get("grpc-status-details-bin", "")))


def _details(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""  # the status itself still counts


def answer_of_http(status: str) -> Answer:
    """Return the answer for an HTTP status other than 200 that came without gRPC's own."""
    code = int(status) if status.isascii() and status.isdigit() else 0
    return Answer(status=_OF_HTTP.get(code, Status.UNKNOWN), message=f"the server answered HTTP status {status[:32]!r}")


def answer_of_reset(code: int) -> Answer:
    """Return the answer for a stream the server reset."""
    return Answer(status=_OF_RESET.get(code, Status.INTERNAL), message=f"the server reset the stream: {name_of(code)}")
