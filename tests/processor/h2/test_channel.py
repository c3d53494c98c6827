"""A channel against servers that refuse, vanish, misbehave and attack."""

import asyncio
import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pytest

import h2raw
from spanward_processor.h2 import calling as calling_module
from spanward_processor.h2.call import Answer, Status
from spanward_processor.h2.client import GrpcChannel
from spanward_processor.h2.errors import (
    CallTimeoutError,
    ConnectionLostError,
    NotConnectedError,
    ReplyTooLongError,
)
from spanward_processor.h2.frames import (
    ACK,
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
from spanward_processor.h2.headers import HeaderDecoder, encode_fields
from spanward_processor.h2.limits import ChannelLimits, Rate
from spanward_processor.h2.settings import INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE

if TYPE_CHECKING:
    from spanward_processor.h2.windows import Buffer

_WORD = struct.Struct(">I")
_HEAD = [(":status", "200"), ("content-type", "application/grpc")]
_OK = [("grpc-status", "0")]
Script = Callable[[h2raw.Raw], None]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the clocks often, so that tests of time limits are short."""
    monkeypatch.setattr(calling_module, "_TICK_S", 0.02)


def _setting(name: int, value: int) -> bytes:
    return struct.pack(">HI", name, value)


def _reply(stream: int, body: bytes = b"", status: str = "0") -> bytes:
    return (
        h2raw.headers(stream, _HEAD)
        + frame(DATA, 0, stream, h2raw.message(body))
        + h2raw.headers(stream, [("grpc-status", status)], END_HEADERS | END_STREAM)
    )


def _request(raw: h2raw.Raw) -> tuple[int, bytes]:
    """Return stream and message of the next request."""
    body = b""
    while True:
        _, flags, stream, payload = raw.until(DATA)
        body += payload
        if flags & END_STREAM:
            return stream, body[5:]


def _until_closed(raw: h2raw.Raw) -> None:
    while raw.frame() is not None:
        pass


def _serve(raw: h2raw.Raw) -> None:
    """Answer one call, and wait for the client to go."""
    stream, body = _request(raw)
    raw.send(_reply(stream, body))
    _until_closed(raw)


def _with_channel(port: int, use: Callable[[GrpcChannel], Coroutine[Any, Any, h2raw.T]], **options: Any) -> h2raw.T:
    async def main() -> h2raw.T:
        unhandled: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        channel = GrpcChannel("127.0.0.1", port, **options)
        try:
            return await use(channel)
        finally:
            await channel.close()
            assert unhandled == []

    return asyncio.run(main())


def _call(port: int, body: bytes = b"body", timeout_s: float = 10.0, **options: Any) -> Answer:
    return _with_channel(port, lambda channel: channel.call(h2raw.ECHO, body, timeout_s=timeout_s), **options)


def _answered_with(*sent: bytes) -> Answer:
    """Return what a call makes of the bytes a server answers with."""

    def script(raw: h2raw.Raw) -> None:
        _request(raw)
        raw.send(b"".join(sent))
        _until_closed(raw)

    with h2raw.scripted(script) as port:
        return _call(port)


def test_request_on_the_wire() -> None:
    """A call has the headers gRPC asks for, ours after them, and one message of all parts."""
    seen: dict[str, Any] = {}

    def script(raw: h2raw.Raw) -> None:
        fields = HeaderDecoder(1 << 16).decode(raw.until(HEADERS)[3])
        seen["pseudo"], seen["headers"] = fields.pseudo, dict(fields.headers)
        seen["message"] = raw.until(DATA)
        raw.send(_reply(1))
        _until_closed(raw)

    with h2raw.scripted(script) as port:

        async def use(channel: GrpcChannel) -> Answer:
            parts: list[Buffer] = [b"ab", memoryview(b"cd"), b"", bytearray(b"e")]
            return await channel.call(h2raw.ECHO, parts, timeout_s=5, headers=[("x-tenant", "seven")], encoding="gzip")

        assert _with_channel(port, use, authority="backend:4317") == Answer()
    timeout = seen["headers"].pop("grpc-timeout")
    assert seen["pseudo"] == {":method": "POST", ":scheme": "http", ":path": h2raw.ECHO, ":authority": "backend:4317"}
    assert seen["headers"] == {
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity,gzip",
        "grpc-encoding": "gzip",
        "x-tenant": "seven",
    }
    assert timeout.endswith("u")
    assert 4_000_000 < int(timeout[:-1]) <= 5_000_000
    assert seen["message"] == (DATA, END_STREAM, 1, b"\x01\x00\x00\x00\x05abcde")


ANSWERS = {
    "message": ([_reply(1, b"reply")], Answer(b"reply")),
    "trailers only": (
        [h2raw.headers(1, [*_HEAD, ("grpc-status", "14"), ("grpc-message", "n%C3%B6")], END_HEADERS | END_STREAM)],
        Answer(status=14, message="nö"),
    ),
    "status after a message": ([_reply(1, b"reply", "9")], Answer(status=9)),
    "status with details": (
        [
            h2raw.headers(
                1, [*_HEAD, ("grpc-status", "8"), ("grpc-status-details-bin", "CAg")], END_HEADERS | END_STREAM
            )
        ],
        Answer(status=8, details=b"\x08\x08"),
    ),
    "details that are not base64": (
        [h2raw.headers(1, [*_HEAD, ("grpc-status", "8"), ("grpc-status-details-bin", "*")], END_HEADERS | END_STREAM)],
        Answer(status=8),
    ),
    "status gRPC does not know": ([_reply(1, b"", "77")], Answer(status=77)),
    "status that is no number": (
        [_reply(1, b"", "well")],
        Answer(status=Status.UNKNOWN, message="grpc-status must be a number, got 'well'"),
    ),
    "no status": (
        [h2raw.headers(1, _HEAD), h2raw.headers(1, [("x", "y")], END_HEADERS | END_STREAM)],
        Answer(status=Status.UNKNOWN, message="the server's trailers have no grpc-status"),
    ),
    "informational answer first": ([h2raw.headers(1, [(":status", "103")]), _reply(1, b"reply")], Answer(b"reply")),
    "padding": (
        [
            h2raw.headers(1, _HEAD),
            frame(DATA, PADDED, 1, b"\x03" + h2raw.message(b"reply") + bytes(3)),
            h2raw.headers(1, _OK, END_HEADERS | END_STREAM),
        ],
        Answer(b"reply"),
    ),
    "unknown frames": ([frame(0x77, 0, 1, bytes(9)), _reply(1, b"reply")], Answer(b"reply")),
    "frames of other streams": (
        [_reply(1, b"reply"), h2raw.headers(1, _HEAD), frame(DATA, 0, 1, b"x"), frame(RST_STREAM, 0, 1, bytes(4))],
        Answer(b"reply"),
    ),
    "reply in many pieces": (
        [
            h2raw.headers(1, _HEAD),
            *(frame(DATA, 0, 1, bytes((byte,))) for byte in h2raw.message(b"reply")),
            h2raw.headers(1, _OK, END_HEADERS | END_STREAM),
        ],
        Answer(b"reply"),
    ),
    "trailers in many pieces": (
        [
            h2raw.headers(1, _HEAD),
            frame(DATA, 0, 1, h2raw.message(b"reply")),
            frame(HEADERS, END_STREAM, 1, encode_fields(_OK)[:4]),
            frame(CONTINUATION, END_HEADERS, 1, encode_fields(_OK)[4:]),
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
        [h2raw.headers(1, _HEAD), frame(DATA, END_STREAM, 1, h2raw.message(b"reply"))],
        Answer(status=Status.INTERNAL, message="malformed answer: the stream ended without trailers"),
    ),
    "no message": (
        [h2raw.headers(1, _HEAD), h2raw.headers(1, _OK, END_HEADERS | END_STREAM)],
        Answer(status=Status.INTERNAL, message="malformed answer: a unary call has one message, got none"),
    ),
    "two messages": (
        [h2raw.headers(1, _HEAD), frame(DATA, 0, 1, h2raw.message(b"a") * 2)],
        Answer(status=Status.INTERNAL, message="malformed answer: a unary call has one message, got more"),
    ),
    "half a message": (
        [h2raw.headers(1, _HEAD), frame(DATA, 0, 1, h2raw.message(b"abc")[:6]), h2raw.headers(1, _OK, 5)],
        Answer(status=Status.INTERNAL, message="malformed answer: message ended after 1 of 3 bytes"),
    ),
    "compressed reply": (
        [
            h2raw.headers(1, [*_HEAD, ("grpc-encoding", "gzip")]),
            frame(DATA, 0, 1, h2raw.message(gzip.compress(b"reply"), 1)),
            h2raw.headers(1, _OK, 5),
        ],
        Answer(b"reply"),
    ),
    "reply that is no gzip": (
        [
            h2raw.headers(1, [*_HEAD, ("grpc-encoding", "gzip")]),
            frame(DATA, 0, 1, h2raw.message(b"reply", 1)),
            h2raw.headers(1, _OK, 5),
        ],
        Answer(
            status=Status.INTERNAL,
            message="malformed answer: not gzip: Error -3 while decompressing data: incorrect header check",
        ),
    ),
    "half a gzip reply": (
        [
            h2raw.headers(1, [*_HEAD, ("grpc-encoding", "gzip")]),
            frame(DATA, 0, 1, h2raw.message(gzip.compress(b"reply")[:-5], 1)),
            h2raw.headers(1, _OK, 5),
        ],
        Answer(status=Status.INTERNAL, message="malformed answer: gzip is not whole"),
    ),
    "reply in another encoding": (
        [
            h2raw.headers(1, [*_HEAD, ("grpc-encoding", "br")]),
            frame(DATA, 0, 1, h2raw.message(b"abc", 1)),
            h2raw.headers(1, _OK, 5),
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
        [h2raw.headers(1, [*_HEAD, ("Upper", "x")])],
        Answer(
            status=Status.INTERNAL,
            message="malformed answer: field name must be a token in lower case, got 'Upper'",
        ),
    ),
    "trailers that end nothing": (
        [h2raw.headers(1, _HEAD), h2raw.headers(1, _OK)],
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
        [frame(RST_STREAM, 0, 1, _WORD.pack(ErrorCode.INTERNAL_ERROR))],
        Answer(status=Status.INTERNAL, message="the server reset the stream: INTERNAL_ERROR"),
    ),
    "reset with a code nobody knows": (
        [frame(RST_STREAM, 0, 1, _WORD.pack(0xABC))],
        Answer(status=Status.INTERNAL, message="the server reset the stream: 0xabc"),
    ),
    "cancelled": (
        [frame(RST_STREAM, 0, 1, _WORD.pack(ErrorCode.CANCEL))],
        Answer(status=Status.CANCELLED, message="the server reset the stream: CANCEL"),
    ),
    "calmed": (
        [frame(RST_STREAM, 0, 1, _WORD.pack(ErrorCode.ENHANCE_YOUR_CALM))],
        Answer(status=Status.RESOURCE_EXHAUSTED, message="the server reset the stream: ENHANCE_YOUR_CALM"),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answer(name: str) -> None:
    """Whatever a server answers becomes one answer, as the gRPC specification maps it."""
    sent, expected = ANSWERS[name]
    assert expected == _answered_with(*sent)


LOSSES = {
    "push promise": (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), "PUSH_PROMISE"),
    "headers on an idle stream": (h2raw.headers(7, _HEAD), "HEADERS on a stream that was never opened"),
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
    "empty data": (h2raw.headers(1, _HEAD) + frame(DATA, 0, 1) * 30, "too many small DATA frames"),
    "window of the connection above 2^31-1": (
        frame(WINDOW_UPDATE, 0, 0, _WORD.pack((1 << 31) - 1)),
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
        _request(raw)
        raw.send(sent)
        if name not in ("end of the connection", "goaway with an error, and the end"):
            _until_closed(raw)

    async def use(channel: GrpcChannel) -> Answer:
        with pytest.raises(ConnectionLostError, match=reason):
            await channel.call(h2raw.ECHO, b"1", timeout_s=10)
        return await channel.call(h2raw.ECHO, b"2", timeout_s=10)

    with h2raw.scripted(script, _serve) as port:
        limits = ChannelLimits(control_frames=Rate(20, 0))
        assert _with_channel(port, use, limits=limits) == Answer(b"2")


def test_informational_answers_without_end() -> None:
    """A flood of 1xx answers ends the connection."""

    def script(raw: h2raw.Raw) -> None:
        _request(raw)
        raw.send(h2raw.headers(1, [(":status", "100")]) * 30)
        _until_closed(raw)

    with h2raw.scripted(script) as port, pytest.raises(ConnectionLostError, match="too many informational answers"):
        _call(port, limits=ChannelLimits(control_frames=Rate(20, 0)))


def test_reply_longer_than_the_limit() -> None:
    """A reply that is too long is not read: the stream is cancelled, and the error says so."""
    seen: list[ErrorCode] = []

    def script(raw: h2raw.Raw) -> None:
        _request(raw)
        raw.send(h2raw.headers(1, _HEAD) + frame(DATA, 0, 1, struct.pack(">BI", 0, (1 << 20) + 1)))
        seen.append(raw.rst(1))
        _until_closed(raw)

    with h2raw.scripted(script) as port, pytest.raises(ReplyTooLongError, match="limit of 1048576 bytes"):
        _call(port)
    assert seen == [ErrorCode.CANCEL]


def test_reply_longer_than_the_limit_when_decompressed() -> None:
    """A reply of a thousand bytes that becomes a million is not held."""

    def script(raw: h2raw.Raw) -> None:
        _request(raw)
        raw.send(h2raw.headers(1, [*_HEAD, ("grpc-encoding", "gzip")]))
        raw.send(frame(DATA, 0, 1, h2raw.message(gzip.compress(bytes((1 << 20) + 1)), 1)))
        raw.send(h2raw.headers(1, _OK, END_HEADERS | END_STREAM))
        _until_closed(raw)

    with h2raw.scripted(script) as port, pytest.raises(ReplyTooLongError, match="1048576 bytes when decompressed"):
        _call(port)


def test_timeout_cancels_the_stream() -> None:
    """A call that takes too long ends in time, the server is told, and the connection serves the next one."""
    seen: list[ErrorCode] = []

    def script(raw: h2raw.Raw) -> None:
        _request(raw)
        seen.append(raw.rst(1))
        _serve(raw)

    async def use(channel: GrpcChannel) -> Answer:
        with pytest.raises(CallTimeoutError, match=r"no answer from 127.0.0.1:\d+ within 0.2 s"):
            await channel.call(h2raw.ECHO, b"1", timeout_s=0.2)
        return await channel.call(h2raw.ECHO, b"2", timeout_s=10)

    with h2raw.scripted(script) as port:
        assert _with_channel(port, use) == Answer(b"2")
    assert seen == [ErrorCode.CANCEL]


def test_cancelled_caller_cancels_the_stream() -> None:
    """A caller that is cancelled costs the server nothing more."""
    seen: list[ErrorCode] = []

    def script(raw: h2raw.Raw) -> None:
        _request(raw)
        seen.append(raw.rst(1))
        _until_closed(raw)

    async def use(channel: GrpcChannel) -> None:
        calling = asyncio.ensure_future(channel.call(h2raw.ECHO, b"1", timeout_s=10))
        await asyncio.sleep(0.2)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.sleep(0)

    with h2raw.scripted(script) as port:
        _with_channel(port, use)
    assert seen == [ErrorCode.CANCEL]


def test_refused_stream_is_tried_again() -> None:
    """A call the server did not look at is sent again, unseen by the caller."""

    def script(raw: h2raw.Raw) -> None:
        stream, _ = _request(raw)
        raw.send(frame(RST_STREAM, 0, stream, _WORD.pack(ErrorCode.REFUSED_STREAM)))
        _serve(raw)

    with h2raw.scripted(script) as port:
        assert _call(port) == Answer(b"body")


def test_stream_refused_again_and_again() -> None:
    """A server that refuses every attempt is UNAVAILABLE."""

    def script(raw: h2raw.Raw) -> None:
        for _ in range(3):
            stream, _body = _request(raw)
            raw.send(frame(RST_STREAM, 0, stream, _WORD.pack(ErrorCode.REFUSED_STREAM)))
        _until_closed(raw)

    with h2raw.scripted(script) as port:
        answer = _call(port)
    assert answer.status == Status.UNAVAILABLE
    assert answer.message.endswith("in none of 3 attempts: the server refused the stream")


def test_goaway_moves_unseen_calls_to_a_new_connection() -> None:
    """Calls above the last stream are sent again elsewhere; those below it still get their answers."""

    def leaving(raw: h2raw.Raw) -> None:
        streams = [_request(raw) for _ in range(3)]
        raw.send(frame(GOAWAY, 0, 0, struct.pack(">II", 3, 0)))
        for stream, body in streams[:2]:
            raw.send(_reply(stream, b"old " + body))
        _until_closed(raw)

    def new(raw: h2raw.Raw) -> None:
        stream, body = _request(raw)
        raw.send(_reply(stream, b"new " + body))
        _until_closed(raw)

    async def use(channel: GrpcChannel) -> list[Answer]:
        return await asyncio.gather(*(channel.call(h2raw.ECHO, b"%d" % n, timeout_s=10) for n in range(3)))

    with h2raw.scripted(leaving, new) as port:
        assert [answer.body for answer in _with_channel(port, use)] == [b"old 0", b"old 1", b"new 2"]


def test_connection_is_made_again_after_it_was_lost() -> None:
    """A call after a loss gets a new connection."""

    def script(raw: h2raw.Raw) -> None:
        stream, body = _request(raw)
        raw.send(_reply(stream, body))

    async def use(channel: GrpcChannel) -> list[Answer]:
        answers: list[Answer] = []
        for n in range(3):
            answers.append(await channel.call(h2raw.ECHO, b"%d" % n, timeout_s=10))
            await asyncio.sleep(0.1)
        return answers

    with h2raw.scripted(script, script, script) as port:
        assert [answer.body for answer in _with_channel(port, use)] == [b"0", b"1", b"2"]


def test_calls_share_one_connection_and_keep_to_the_servers_limit() -> None:
    """Never more calls at once than the server takes; all of them are answered."""
    most = 0

    def script(raw: h2raw.Raw) -> None:
        nonlocal most
        for _ in range(10):
            together = [_request(raw) for _ in range(2)]
            raw.sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                raw.frame()  # no third one
            raw.sock.settimeout(h2raw.DEADLINE_S)
            most = max(most, len(together))
            raw.send(b"".join(_reply(stream, body) for stream, body in together))
        _until_closed(raw)

    async def use(channel: GrpcChannel) -> list[Answer]:
        return await asyncio.gather(*(channel.call(h2raw.ECHO, b"%d" % n, timeout_s=10) for n in range(20)))

    with h2raw.scripted(script, settings=_setting(MAX_CONCURRENT_STREAMS, 2)) as port:
        answers = _with_channel(port, use)
    assert [answer.body for answer in answers] == [b"%d" % n for n in range(20)]
    assert most == 2


def test_call_that_waits_for_a_place_times_out() -> None:
    """Waiting for other calls is part of the time, and whoever waits behind is still served."""

    def script(raw: h2raw.Raw) -> None:
        stream, body = _request(raw)
        time.sleep(0.5)
        raw.send(_reply(stream, body))
        _serve(raw)

    async def use(channel: GrpcChannel) -> tuple[Answer | BaseException, ...]:
        first = asyncio.ensure_future(channel.call(h2raw.ECHO, b"1", timeout_s=10))
        await asyncio.sleep(0.1)
        hasty = asyncio.ensure_future(channel.call(h2raw.ECHO, b"2", timeout_s=0.1))
        patient = asyncio.ensure_future(channel.call(h2raw.ECHO, b"3", timeout_s=10))
        return await asyncio.gather(first, hasty, patient, return_exceptions=True)

    with h2raw.scripted(script, settings=_setting(MAX_CONCURRENT_STREAMS, 1)) as port:
        first, hasty, patient = _with_channel(port, use)
    assert (first, patient) == (Answer(b"1"), Answer(b"3"))
    assert isinstance(hasty, CallTimeoutError)


def test_windows_and_frame_size_of_the_server() -> None:
    """A request goes as far as the windows allow, in frames of the allowed size."""
    sizes: list[int] = []

    def script(raw: h2raw.Raw) -> None:
        sizes.append(len(raw.until(DATA)[3]))
        raw.send(frame(SETTINGS, 0, 0, _setting(INITIAL_WINDOW_SIZE, 20_000) + _setting(MAX_FRAME_SIZE, 17_000)))
        sizes.extend(len(raw.until(DATA)[3]) for _ in range(2))
        raw.send(frame(WINDOW_UPDATE, 0, 1, _WORD.pack(1 << 20)))
        sizes.extend(len(raw.until(DATA)[3]) for _ in range(3))
        raw.send(frame(WINDOW_UPDATE, 0, 0, _WORD.pack(1 << 20)))
        while sum(sizes) < 100_005:
            sizes.append(len(raw.until(DATA)[3]))
        raw.send(_reply(1))
        _until_closed(raw)

    with h2raw.scripted(script, settings=_setting(INITIAL_WINDOW_SIZE, 1000)) as port:
        assert _call(port, bytes(100_000)) == Answer()
    assert sizes[:6] == [1000, 17_000, 2000, 17_000, 17_000, 65_535 - 54_000]
    assert sum(sizes) == 100_005


def test_answer_before_the_request_is_sent() -> None:
    """A server that answers early gets no further data, and the answer counts."""
    seen: list[ErrorCode] = []

    def script(raw: h2raw.Raw) -> None:
        raw.until(DATA)
        raw.send(h2raw.headers(1, [*_HEAD, ("grpc-status", "8")], END_HEADERS | END_STREAM))
        seen.append(raw.rst(1))
        _until_closed(raw)

    with h2raw.scripted(script) as port:
        assert _call(port, bytes(100_000)) == Answer(status=8)
    assert seen == [ErrorCode.CANCEL]


def test_nobody_listens() -> None:
    """A refused connection is an error of its own, at once."""
    with h2raw.scripted() as port:
        pass
    with pytest.raises(NotConnectedError, match=rf"cannot connect to 127\.0\.0\.1:{port}"):
        _call(port)


def test_server_that_only_accepts() -> None:
    """A listener that never says SETTINGS is no server."""
    with h2raw.serving() as server:
        listener = socket.create_server(("127.0.0.1", 0))
        with listener, pytest.raises(NotConnectedError, match=r"nothing within 0\.2 s"):
            _call(listener.getsockname()[1], limits=ChannelLimits(connect_s=0.2))
        assert server.is_well()


def test_server_of_another_protocol() -> None:
    """An HTTP/1.1 server is told from an HTTP/2 one."""

    def speak() -> None:
        with listener.accept()[0] as peer:
            peer.recv(1 << 16)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(NotConnectedError, match="cannot connect to"):
            _call(listener.getsockname()[1])
        thread.join()


def test_dead_server_is_noticed() -> None:
    """A server that answers neither the call nor a PING is given up long before the call's own timeout."""

    def script(raw: h2raw.Raw) -> None:
        _request(raw)
        raw.until(PING)
        _until_closed(raw)

    limits = ChannelLimits(keepalive_s=0.1, keepalive_timeout_s=0.2)
    with h2raw.scripted(script) as port, pytest.raises(ConnectionLostError, match="no sign of life"):
        _call(port, timeout_s=60, limits=limits)


def test_slow_server_is_not_pinged_to_death() -> None:
    """A server that answers PINGs gets two of them for one silence, since gRPC servers take more for an attack."""
    pings = 0

    def script(raw: h2raw.Raw) -> None:
        nonlocal pings
        _request(raw)
        until = time.monotonic() + 1.0
        raw.sock.settimeout(0.05)
        while time.monotonic() < until:
            try:
                found = raw.frame()
            except TimeoutError:
                continue
            if found and found[0] == PING:
                pings += 1
                raw.send(frame(PING, ACK, 0, found[3]))
        raw.sock.settimeout(h2raw.DEADLINE_S)
        raw.send(_reply(1, b"slow"))
        _until_closed(raw)

    with h2raw.scripted(script) as port:
        assert _call(port, limits=ChannelLimits(keepalive_s=0.1, keepalive_timeout_s=0.5)) == Answer(b"slow")
    assert pings == 2


def test_close_fails_open_calls_and_is_idempotent() -> None:
    """Closing ends everything once; a closed channel makes no connection."""

    def script(raw: h2raw.Raw) -> None:
        _request(raw)
        _until_closed(raw)

    async def use(channel: GrpcChannel) -> None:
        waiting = asyncio.ensure_future(channel.call(h2raw.ECHO, b"1", timeout_s=10))
        await asyncio.sleep(0.2)
        await asyncio.gather(channel.close(), channel.close())
        with pytest.raises(ConnectionLostError, match="closed by us"):
            await waiting
        with pytest.raises(NotConnectedError, match="is closed"):
            await channel.call(h2raw.ECHO, b"2", timeout_s=10)
        await channel.close()

    with h2raw.scripted(script) as port:
        _with_channel(port, use)


@pytest.mark.parametrize(
    "header", [("X-Upper", "a"), ("a b", "c"), ("a", "b\r\nc"), ("", "a"), (":path", "/x"), ("a", "ü")]
)
def test_headers_that_http_forbids(header: tuple[str, str]) -> None:
    """A wrong header is refused before anything is sent."""

    async def use(channel: GrpcChannel) -> None:
        with pytest.raises(ValueError, match="must be lower case"):
            await channel.call(h2raw.ECHO, b"", timeout_s=1, headers=[header])

    _with_channel(1, use)
