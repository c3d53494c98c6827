"""A channel against servers that refuse, vanish, and take their time."""

import asyncio
import gzip
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import h2channel
import h2raw
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
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    frame,
)
from spanward_processor.h2.headers import HeaderDecoder
from spanward_processor.h2.limits import ChannelLimits, Rate
from spanward_processor.h2.settings import INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE

if TYPE_CHECKING:
    from spanward_processor.h2.windows import Buffer

pytestmark = pytest.mark.usefixtures("often")


def test_request_on_the_wire() -> None:
    """A call has the headers gRPC asks for, ours after them, and one message of all parts."""
    seen: dict[str, Any] = {}

    def script(raw: h2raw.Raw) -> None:
        fields = HeaderDecoder(1 << 16).decode(raw.until(HEADERS)[3])
        seen["pseudo"], seen["headers"] = fields.pseudo, dict(fields.headers)
        seen["message"] = raw.until(DATA)
        raw.send(h2channel.reply(1))
        h2channel.until_closed(raw)

    with h2raw.scripted(script) as port:

        async def use(channel: GrpcChannel) -> Answer:
            parts: list[Buffer] = [b"ab", memoryview(b"cd"), b"", bytearray(b"e")]
            return await channel.call(h2raw.ECHO, parts, timeout_s=5, headers=[("x-tenant", "seven")], encoding="gzip")

        assert h2channel.with_channel(port, use, authority="backend:4317") == Answer()
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


def test_informational_answers_without_end() -> None:
    """A flood of 1xx answers ends the connection."""

    def script(raw: h2raw.Raw) -> None:
        h2channel.request(raw)
        raw.send(h2raw.headers(1, [(":status", "100")]) * 30)
        h2channel.until_closed(raw)

    with h2raw.scripted(script) as port, pytest.raises(ConnectionLostError, match="too many informational answers"):
        h2channel.call(port, limits=ChannelLimits(control_frames=Rate(20, 0)))


def test_reply_longer_than_the_limit() -> None:
    """A reply that is too long is not read: the stream is cancelled, and the error says so."""
    seen: list[ErrorCode] = []

    def script(raw: h2raw.Raw) -> None:
        h2channel.request(raw)
        raw.send(h2raw.headers(1, h2channel.HEAD) + frame(DATA, 0, 1, struct.pack(">BI", 0, (1 << 20) + 1)))
        seen.append(raw.rst(1))
        h2channel.until_closed(raw)

    with h2raw.scripted(script) as port, pytest.raises(ReplyTooLongError, match="limit of 1048576 bytes"):
        h2channel.call(port)
    assert seen == [ErrorCode.CANCEL]


def test_reply_longer_than_the_limit_when_decompressed() -> None:
    """A reply of a thousand bytes that becomes a million is not held."""

    def script(raw: h2raw.Raw) -> None:
        h2channel.request(raw)
        raw.send(h2raw.headers(1, [*h2channel.HEAD, ("grpc-encoding", "gzip")]))
        raw.send(frame(DATA, 0, 1, h2raw.message(gzip.compress(bytes((1 << 20) + 1)), 1)))
        raw.send(h2raw.headers(1, h2channel.OK, END_HEADERS | END_STREAM))
        h2channel.until_closed(raw)

    with h2raw.scripted(script) as port, pytest.raises(ReplyTooLongError, match="1048576 bytes when decompressed"):
        h2channel.call(port)


def test_timeout_cancels_the_stream() -> None:
    """A call that takes too long ends in time, the server is told, and the connection serves the next one."""
    seen: list[ErrorCode] = []

    def script(raw: h2raw.Raw) -> None:
        h2channel.request(raw)
        seen.append(raw.rst(1))
        h2channel.serve(raw)

    async def use(channel: GrpcChannel) -> Answer:
        with pytest.raises(CallTimeoutError, match=r"no answer from 127.0.0.1:\d+ within 0.2 s"):
            await channel.call(h2raw.ECHO, b"1", timeout_s=0.2)
        return await channel.call(h2raw.ECHO, b"2", timeout_s=10)

    with h2raw.scripted(script) as port:
        assert h2channel.with_channel(port, use) == Answer(b"2")
    assert seen == [ErrorCode.CANCEL]


def test_cancelled_caller_cancels_the_stream() -> None:
    """A caller that is cancelled costs the server nothing more."""
    seen: list[ErrorCode] = []

    def script(raw: h2raw.Raw) -> None:
        h2channel.request(raw)
        seen.append(raw.rst(1))
        h2channel.until_closed(raw)

    async def use(channel: GrpcChannel) -> None:
        calling = asyncio.ensure_future(channel.call(h2raw.ECHO, b"1", timeout_s=10))
        await asyncio.sleep(0.2)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.sleep(0)

    with h2raw.scripted(script) as port:
        h2channel.with_channel(port, use)
    assert seen == [ErrorCode.CANCEL]


def test_refused_stream_is_tried_again() -> None:
    """A call the server did not look at is sent again, unseen by the caller."""

    def script(raw: h2raw.Raw) -> None:
        stream, _ = h2channel.request(raw)
        raw.send(frame(RST_STREAM, 0, stream, h2channel.WORD.pack(ErrorCode.REFUSED_STREAM)))
        h2channel.serve(raw)

    with h2raw.scripted(script) as port:
        assert h2channel.call(port) == Answer(b"body")


def test_stream_refused_again_and_again() -> None:
    """A server that refuses every attempt is UNAVAILABLE."""

    def script(raw: h2raw.Raw) -> None:
        for _ in range(3):
            stream, _body = h2channel.request(raw)
            raw.send(frame(RST_STREAM, 0, stream, h2channel.WORD.pack(ErrorCode.REFUSED_STREAM)))
        h2channel.until_closed(raw)

    with h2raw.scripted(script) as port:
        answer = h2channel.call(port)
    assert answer.status == Status.UNAVAILABLE
    assert answer.message.endswith("in none of 3 attempts: the server refused the stream")


def test_goaway_moves_unseen_calls_to_a_new_connection() -> None:
    """Calls above the last stream are sent again elsewhere; those below it still get their answers."""

    def leaving(raw: h2raw.Raw) -> None:
        streams = [h2channel.request(raw) for _ in range(3)]
        raw.send(frame(GOAWAY, 0, 0, struct.pack(">II", 3, 0)))
        for stream, body in streams[:2]:
            raw.send(h2channel.reply(stream, b"old " + body))
        h2channel.until_closed(raw)

    def new(raw: h2raw.Raw) -> None:
        stream, body = h2channel.request(raw)
        raw.send(h2channel.reply(stream, b"new " + body))
        h2channel.until_closed(raw)

    async def use(channel: GrpcChannel) -> list[Answer]:
        return await asyncio.gather(*(channel.call(h2raw.ECHO, b"%d" % n, timeout_s=10) for n in range(3)))

    with h2raw.scripted(leaving, new) as port:
        assert [answer.body for answer in h2channel.with_channel(port, use)] == [b"old 0", b"old 1", b"new 2"]


def test_connection_is_made_again_after_it_was_lost() -> None:
    """A call after a loss gets a new connection."""

    def script(raw: h2raw.Raw) -> None:
        stream, body = h2channel.request(raw)
        raw.send(h2channel.reply(stream, body))

    async def use(channel: GrpcChannel) -> list[Answer]:
        answers: list[Answer] = []
        for n in range(3):
            answers.append(await channel.call(h2raw.ECHO, b"%d" % n, timeout_s=10))
            await asyncio.sleep(0.1)
        return answers

    with h2raw.scripted(script, script, script) as port:
        assert [answer.body for answer in h2channel.with_channel(port, use)] == [b"0", b"1", b"2"]


def test_calls_share_one_connection_and_keep_to_the_servers_limit() -> None:
    """Never more calls at once than the server takes; all of them are answered."""
    most = 0

    def script(raw: h2raw.Raw) -> None:
        nonlocal most
        for _ in range(10):
            together = [h2channel.request(raw) for _ in range(2)]
            raw.sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                raw.frame()  # no third one
            raw.sock.settimeout(h2raw.DEADLINE_S)
            most = max(most, len(together))
            raw.send(b"".join(h2channel.reply(stream, body) for stream, body in together))
        h2channel.until_closed(raw)

    async def use(channel: GrpcChannel) -> list[Answer]:
        return await asyncio.gather(*(channel.call(h2raw.ECHO, b"%d" % n, timeout_s=10) for n in range(20)))

    with h2raw.scripted(script, settings=h2channel.setting(MAX_CONCURRENT_STREAMS, 2)) as port:
        answers = h2channel.with_channel(port, use)
    assert [answer.body for answer in answers] == [b"%d" % n for n in range(20)]
    assert most == 2


def test_call_that_waits_for_a_place_times_out() -> None:
    """Waiting for other calls is part of the time, and whoever waits behind is still served."""

    def script(raw: h2raw.Raw) -> None:
        stream, body = h2channel.request(raw)
        time.sleep(0.5)
        raw.send(h2channel.reply(stream, body))
        h2channel.serve(raw)

    async def use(channel: GrpcChannel) -> tuple[Answer | BaseException, ...]:
        first = asyncio.ensure_future(channel.call(h2raw.ECHO, b"1", timeout_s=10))
        await asyncio.sleep(0.1)
        hasty = asyncio.ensure_future(channel.call(h2raw.ECHO, b"2", timeout_s=0.1))
        patient = asyncio.ensure_future(channel.call(h2raw.ECHO, b"3", timeout_s=10))
        return await asyncio.gather(first, hasty, patient, return_exceptions=True)

    with h2raw.scripted(script, settings=h2channel.setting(MAX_CONCURRENT_STREAMS, 1)) as port:
        first, hasty, patient = h2channel.with_channel(port, use)
    assert (first, patient) == (Answer(b"1"), Answer(b"3"))
    assert isinstance(hasty, CallTimeoutError)


def test_windows_and_frame_size_of_the_server() -> None:
    """A request goes as far as the windows allow, in frames of the allowed size."""
    sizes: list[int] = []

    def script(raw: h2raw.Raw) -> None:
        sizes.append(len(raw.until(DATA)[3]))
        raw.send(
            frame(
                SETTINGS,
                0,
                0,
                h2channel.setting(INITIAL_WINDOW_SIZE, 20_000) + h2channel.setting(MAX_FRAME_SIZE, 17_000),
            )
        )
        sizes.extend(len(raw.until(DATA)[3]) for _ in range(2))
        raw.send(frame(WINDOW_UPDATE, 0, 1, h2channel.WORD.pack(1 << 20)))
        sizes.extend(len(raw.until(DATA)[3]) for _ in range(3))
        raw.send(frame(WINDOW_UPDATE, 0, 0, h2channel.WORD.pack(1 << 20)))
        while sum(sizes) < 100_005:
            sizes.append(len(raw.until(DATA)[3]))
        raw.send(h2channel.reply(1))
        h2channel.until_closed(raw)

    with h2raw.scripted(script, settings=h2channel.setting(INITIAL_WINDOW_SIZE, 1000)) as port:
        assert h2channel.call(port, bytes(100_000)) == Answer()
    assert sizes[:6] == [1000, 17_000, 2000, 17_000, 17_000, 65_535 - 54_000]
    assert sum(sizes) == 100_005


def test_answer_before_the_request_is_sent() -> None:
    """A server that answers early gets no further data, and the answer counts."""
    seen: list[ErrorCode] = []

    def script(raw: h2raw.Raw) -> None:
        raw.until(DATA)
        raw.send(h2raw.headers(1, [*h2channel.HEAD, ("grpc-status", "8")], END_HEADERS | END_STREAM))
        seen.append(raw.rst(1))
        h2channel.until_closed(raw)

    with h2raw.scripted(script) as port:
        assert h2channel.call(port, bytes(100_000)) == Answer(status=8)
    assert seen == [ErrorCode.CANCEL]


def test_nobody_listens() -> None:
    """A refused connection is an error of its own, at once."""
    with h2raw.scripted() as port:
        pass
    with pytest.raises(NotConnectedError, match=rf"cannot connect to 127\.0\.0\.1:{port}"):
        h2channel.call(port)


def test_server_that_only_accepts() -> None:
    """A listener that never says SETTINGS is no server."""
    with h2raw.serving() as server:
        listener = socket.create_server(("127.0.0.1", 0))
        with listener, pytest.raises(NotConnectedError, match=r"nothing within 0\.2 s"):
            h2channel.call(listener.getsockname()[1], limits=ChannelLimits(connect_s=0.2))
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
            h2channel.call(listener.getsockname()[1])
        thread.join()


def test_dead_server_is_noticed() -> None:
    """A server that answers neither the call nor a PING is given up long before the call's own timeout."""

    def script(raw: h2raw.Raw) -> None:
        h2channel.request(raw)
        raw.until(PING)
        h2channel.until_closed(raw)

    limits = ChannelLimits(keepalive_s=0.1, keepalive_timeout_s=0.2)
    with h2raw.scripted(script) as port, pytest.raises(ConnectionLostError, match="no sign of life"):
        h2channel.call(port, timeout_s=60, limits=limits)


def test_slow_server_is_not_pinged_to_death() -> None:
    """A server that answers PINGs gets two of them for one silence, since gRPC servers take more for an attack."""
    pings = 0

    def script(raw: h2raw.Raw) -> None:
        nonlocal pings
        h2channel.request(raw)
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
        raw.send(h2channel.reply(1, b"slow"))
        h2channel.until_closed(raw)

    with h2raw.scripted(script) as port:
        assert h2channel.call(port, limits=ChannelLimits(keepalive_s=0.1, keepalive_timeout_s=0.5)) == Answer(b"slow")
    assert pings == 2


def test_close_fails_open_calls_and_is_idempotent() -> None:
    """Closing ends everything once; a closed channel makes no connection."""

    def script(raw: h2raw.Raw) -> None:
        h2channel.request(raw)
        h2channel.until_closed(raw)

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
        h2channel.with_channel(port, use)


@pytest.mark.parametrize(
    "header", [("X-Upper", "a"), ("a b", "c"), ("a", "b\r\nc"), ("", "a"), (":path", "/x"), ("a", "ü")]
)
def test_headers_that_http_forbids(header: tuple[str, str]) -> None:
    """A wrong header is refused before anything is sent."""

    async def use(channel: GrpcChannel) -> None:
        with pytest.raises(ValueError, match="must be lower case"):
            await channel.call(h2raw.ECHO, b"", timeout_s=1, headers=[header])

    h2channel.with_channel(1, use)
