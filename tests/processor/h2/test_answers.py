"""Whatever a server answers becomes one answer of a channel, or the loss of a connection, with the reason."""

import gzip
import struct

import pytest

import h2channel
import h2raw
from spanward_processor.h2.call import Answer, Status
from spanward_processor.h2.client import GrpcChannel
from spanward_processor.h2.errors import (
    ConnectionLostError,
)
from spanward_processor.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    frame,
)
from spanward_processor.h2.headers import encode_fields
from spanward_processor.h2.limits import ChannelLimits, Rate

pytestmark = pytest.mark.usefixtures("often")


ANSWERS = {
    "message": ([h2channel.reply(1, b"reply")], Answer(b"reply")),
    "trailers only": (
        [
            h2raw.headers(
                1, [*h2channel.HEAD, ("grpc-status", "14"), ("grpc-message", "n%C3%B6")], END_HEADERS | END_STREAM
            )
        ],
        Answer(status=14, message="nö"),
    ),
    "status after a message": ([h2channel.reply(1, b"reply", "9")], Answer(status=9)),
    "status with details": (
        [
            h2raw.headers(
                1, [*h2channel.HEAD, ("grpc-status", "8"), ("grpc-status-details-bin", "CAg")], END_HEADERS | END_STREAM
            )
        ],
        Answer(status=8, details=b"\x08\x08"),
    ),
    "details that are not base64": (
        [
            h2raw.headers(
                1, [*h2channel.HEAD, ("grpc-status", "8"), ("grpc-status-details-bin", "*")], END_HEADERS | END_STREAM
            )
        ],
        Answer(status=8),
    ),
    "status gRPC does not know": ([h2channel.reply(1, b"", "77")], Answer(status=77)),
    "status that is no number": (
        [h2channel.reply(1, b"", "well")],
        Answer(status=Status.UNKNOWN, message="grpc-status must be a number, got 'well'"),
    ),
    "no status": (
        [h2raw.headers(1, h2channel.HEAD), h2raw.headers(1, [("x", "y")], END_HEADERS | END_STREAM)],
        Answer(status=Status.UNKNOWN, message="the server's trailers have no grpc-status"),
    ),
    "informational answer first": (
        [h2raw.headers(1, [(":status", "103")]), h2channel.reply(1, b"reply")],
        Answer(b"reply"),
    ),
    "padding": (
        [
            h2raw.headers(1, h2channel.HEAD),
            frame(DATA, PADDED, 1, b"\x03" + h2raw.message(b"reply") + bytes(3)),
            h2raw.headers(1, h2channel.OK, END_HEADERS | END_STREAM),
        ],
        Answer(b"reply"),
    ),
    "unknown frames": ([frame(0x77, 0, 1, bytes(9)), h2channel.reply(1, b"reply")], Answer(b"reply")),
    "frames of other streams": (
        [
            h2channel.reply(1, b"reply"),
            h2raw.headers(1, h2channel.HEAD),
            frame(DATA, 0, 1, b"x"),
            frame(RST_STREAM, 0, 1, bytes(4)),
        ],
        Answer(b"reply"),
    ),
    "reply in many pieces": (
        [
            h2raw.headers(1, h2channel.HEAD),
            *(frame(DATA, 0, 1, bytes((byte,))) for byte in h2raw.message(b"reply")),
            h2raw.headers(1, h2channel.OK, END_HEADERS | END_STREAM),
        ],
        Answer(b"reply"),
    ),
    "trailers in many pieces": (
        [
            h2raw.headers(1, h2channel.HEAD),
            frame(DATA, 0, 1, h2raw.message(b"reply")),
            frame(HEADERS, END_STREAM, 1, encode_fields(h2channel.OK)[:4]),
            frame(CONTINUATION, END_HEADERS, 1, encode_fields(h2channel.OK)[4:]),
        ],
        Answer(b"reply"),
    ),
    "HTTP 503": (
        [h2raw.headers(1, [(":status", "503")]), frame(DATA, 0, 1, b"<html>")],
        Answer(status=Status.UNAVAILABLE, message="the server answered HTTP status '503'"),
    ),
    "HTTP 404": (
        [h2raw.headers(1, [(":status", "404")], END_HEADERS | END_STREAM)],
        Answer(status=Status.UNIMPLEMENTED, message="the server answered HTTP status '404'"),
    ),
    "HTTP 418": (
        [h2raw.headers(1, [(":status", "418")], END_HEADERS | END_STREAM)],
        Answer(status=Status.UNKNOWN, message="the server answered HTTP status '418'"),
    ),
    "HTTP error with a gRPC status": (
        [h2raw.headers(1, [(":status", "503"), ("grpc-status", "7")], END_HEADERS | END_STREAM)],
        Answer(status=Status.PERMISSION_DENIED),
    ),
    "not gRPC": (
        [h2raw.headers(1, [(":status", "200"), ("content-type", "text/html")])],
        Answer(status=Status.UNKNOWN, message="the server's content-type must be application/grpc, got 'text/html'"),
    ),
    "no trailers": (
        [h2raw.headers(1, h2channel.HEAD), frame(DATA, END_STREAM, 1, h2raw.message(b"reply"))],
        Answer(status=Status.INTERNAL, message="malformed answer: the stream ended without trailers"),
    ),
    "no message": (
        [h2raw.headers(1, h2channel.HEAD), h2raw.headers(1, h2channel.OK, END_HEADERS | END_STREAM)],
        Answer(status=Status.INTERNAL, message="malformed answer: a unary call has one message, got none"),
    ),
    "two messages": (
        [h2raw.headers(1, h2channel.HEAD), frame(DATA, 0, 1, h2raw.message(b"a") * 2)],
        Answer(status=Status.INTERNAL, message="malformed answer: a unary call has one message, got more"),
    ),
    "half a message": (
        [
            h2raw.headers(1, h2channel.HEAD),
            frame(DATA, 0, 1, h2raw.message(b"abc")[:6]),
            h2raw.headers(1, h2channel.OK, 5),
        ],
        Answer(status=Status.INTERNAL, message="malformed answer: message ended after 1 of 3 bytes"),
    ),
    "compressed reply": (
        [
            h2raw.headers(1, [*h2channel.HEAD, ("grpc-encoding", "gzip")]),
            frame(DATA, 0, 1, h2raw.message(gzip.compress(b"reply"), 1)),
            h2raw.headers(1, h2channel.OK, 5),
        ],
        Answer(b"reply"),
    ),
    "reply that is no gzip": (
        [
            h2raw.headers(1, [*h2channel.HEAD, ("grpc-encoding", "gzip")]),
            frame(DATA, 0, 1, h2raw.message(b"reply", 1)),
            h2raw.headers(1, h2channel.OK, 5),
        ],
        Answer(
            status=Status.INTERNAL,
            message="malformed answer: not gzip: Error -3 while decompressing data: incorrect header check",
        ),
    ),
    "half a gzip reply": (
        [
            h2raw.headers(1, [*h2channel.HEAD, ("grpc-encoding", "gzip")]),
            frame(DATA, 0, 1, h2raw.message(gzip.compress(b"reply")[:-5], 1)),
            h2raw.headers(1, h2channel.OK, 5),
        ],
        Answer(status=Status.INTERNAL, message="malformed answer: gzip is not whole"),
    ),
    "reply in another encoding": (
        [
            h2raw.headers(1, [*h2channel.HEAD, ("grpc-encoding", "br")]),
            frame(DATA, 0, 1, h2raw.message(b"abc", 1)),
            h2raw.headers(1, h2channel.OK, 5),
        ],
        Answer(
            status=Status.INTERNAL, message="malformed answer: the reply's encoding is 'br', which was not asked for"
        ),
    ),
    "data before headers": (
        [frame(DATA, 0, 1, b"x")],
        Answer(status=Status.INTERNAL, message="malformed answer: DATA before HEADERS"),
    ),
    "malformed field": (
        [h2raw.headers(1, [*h2channel.HEAD, ("Upper", "x")])],
        Answer(
            status=Status.INTERNAL,
            message="malformed answer: field name must be a token in lower case, got 'Upper'",
        ),
    ),
    "trailers that end nothing": (
        [h2raw.headers(1, h2channel.HEAD), h2raw.headers(1, h2channel.OK)],
        Answer(
            status=Status.INTERNAL,
            message="malformed answer: trailers with a pseudo-header, or that end nothing",
        ),
    ),
    "window update by 0": (
        [frame(WINDOW_UPDATE, 0, 1, bytes(4))],
        Answer(status=Status.INTERNAL, message="malformed answer: WINDOW_UPDATE by 0, or to above 2^31-1"),
    ),
    "reset": (
        [frame(RST_STREAM, 0, 1, h2channel.WORD.pack(ErrorCode.INTERNAL_ERROR))],
        Answer(status=Status.INTERNAL, message="the server reset the stream: INTERNAL_ERROR"),
    ),
    "reset with a code nobody knows": (
        [frame(RST_STREAM, 0, 1, h2channel.WORD.pack(0xABC))],
        Answer(status=Status.INTERNAL, message="the server reset the stream: 0xabc"),
    ),
    "cancelled": (
        [frame(RST_STREAM, 0, 1, h2channel.WORD.pack(ErrorCode.CANCEL))],
        Answer(status=Status.CANCELLED, message="the server reset the stream: CANCEL"),
    ),
    "calmed": (
        [frame(RST_STREAM, 0, 1, h2channel.WORD.pack(ErrorCode.ENHANCE_YOUR_CALM))],
        Answer(status=Status.RESOURCE_EXHAUSTED, message="the server reset the stream: ENHANCE_YOUR_CALM"),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answer(name: str) -> None:
    """Whatever a server answers becomes one answer, as the gRPC specification maps it."""
    sent, expected = ANSWERS[name]
    assert expected == h2channel.answered_with(*sent)


LOSSES = {
    "push promise": (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), "PUSH_PROMISE"),
    "headers on an idle stream": (h2raw.headers(7, h2channel.HEAD), "HEADERS on a stream that was never opened"),
    "data on an even stream": (frame(DATA, 0, 2, b"x"), "DATA on a stream that was never opened"),
    "header block that is no HPACK": (frame(HEADERS, END_HEADERS, 1, b"\x80"), "COMPRESSION_ERROR"),
    "header list too long": (
        frame(HEADERS, END_HEADERS, 1, b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 100),
        "header list longer than the limit",
    ),
    "continuation without end": (
        frame(HEADERS, 0, 1, bytes(10_000)) + frame(CONTINUATION, 0, 1, bytes(10_000)),
        "header block longer than the limit",
    ),
    "frame too long": (b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", "FRAME_SIZE_ERROR"),
    "pings": (frame(PING, 0, 0, bytes(8)) * 30, "too many control frames"),
    "settings": (frame(SETTINGS, 0, 0) * 30, "too many control frames"),
    "empty data": (h2raw.headers(1, h2channel.HEAD) + frame(DATA, 0, 1) * 30, "too many small DATA frames"),
    "window of the connection above 2^31-1": (
        frame(WINDOW_UPDATE, 0, 0, h2channel.WORD.pack((1 << 31) - 1)),
        "window of the connection above 2",
    ),
    "end of the connection": (b"", "closed by the peer"),
    "goaway with an error, and the end": (
        frame(GOAWAY, 0, 0, struct.pack(">II", 1, ErrorCode.INTERNAL_ERROR) + b"sorry"),
        "INTERNAL_ERROR sorry",
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_connection_lost(name: str) -> None:
    """A server that breaks the rules of the connection, attacks or vanishes costs the open calls, with the reason."""
    sent, reason = LOSSES[name]

    def script(raw: h2raw.Raw) -> None:
        h2channel.request(raw)
        raw.send(sent)
        if name not in ("end of the connection", "goaway with an error, and the end"):
            h2channel.until_closed(raw)

    async def use(channel: GrpcChannel) -> Answer:
        with pytest.raises(ConnectionLostError, match=reason):
            await channel.call(h2raw.ECHO, b"1", timeout_s=10)
        return await channel.call(h2raw.ECHO, b"2", timeout_s=10)

    with h2raw.scripted(script, h2channel.serve) as port:
        limits = ChannelLimits(control_frames=Rate(20, 0))
        assert h2channel.with_channel(port, use, limits=limits) == Answer(b"2")
