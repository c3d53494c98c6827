"""Answers as frames; all that does not change from call to call is encoded once."""

import struct
from collections.abc import Sequence
from typing import Final

from spanward_processor.h2.call import Answer
from spanward_processor.h2.frames import DATA, END_STREAM, frame, header_frames
from spanward_processor.h2.grpc import CONTENT_TYPE, PREFIX, status_fields
from spanward_processor.h2.headers import encode_fields

_STREAM: Final = struct.Struct(">I")
_STREAM_AT: Final = 5  # where a frame's head has its stream


class Replies:
    """Encodes the answers of one server.

    Args:
        encodings: Values of `grpc-encoding` its handler understands, for `grpc-accept-encoding`.
    """

    __slots__ = ("_empty", "_head")

    def __init__(self, encodings: Sequence[str]) -> None:
        fields = [(":status", "200"), ("content-type", CONTENT_TYPE), ("grpc-accept-encoding", ",".join(encodings))]
        self._head = encode_fields(fields)
        whole = self.head(0), frame(DATA, 0, 0, PREFIX.pack(0, 0)), trailers(0, Answer())
        self._empty = tuple((piece[:_STREAM_AT], piece[_STREAM_AT + _STREAM.size :]) for piece in whole)

    def empty_ok(self, stream: int) -> bytes:
        """Return the whole answer of a call that succeeded and has nothing to say: OTLP's usual one."""
        number = _STREAM.pack(stream)
        (one, two), (three, four), (five, six) = self._empty
        return b"".join((one, number, two, three, number, four, five, number, six))

    def head(self, stream: int) -> bytes:
        """Return the frame before a message."""
        return header_frames(stream, self._head)

    def without_message(self, stream: int, answer: Answer) -> bytes:
        """Return an answer that has no message."""
        return header_frames(stream, self._head + encode_fields(status_fields(answer)), END_STREAM)


def trailers(stream: int, answer: Answer) -> bytes:
    """Return the frame after a message."""
    return header_frames(stream, encode_fields(status_fields(answer)), END_STREAM)


def http_refusal(stream: int, status: str) -> bytes:
    """Return the answer to what is not a gRPC call."""
    return header_frames(stream, encode_fields([(":status", status)]), END_STREAM)
