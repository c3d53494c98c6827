"""Our two ends against gRPC's own: grpcio as client and as server, sync and asyncio, plain and with TLS."""

import asyncio
import gc
import gzip
import os
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import grpc
import pytest

import h2raw
from certificates import Authority
from spanward_processor.h2.call import Answer, Call, Peer, Status
from spanward_processor.h2.client import GrpcChannel
from spanward_processor.h2.errors import CallTimeoutError, NotConnectedError, ReplyTooLongError, TransportError
from spanward_processor.h2.frames import PREFACE, SETTINGS, frame
from spanward_processor.h2.limits import ChannelLimits, Limits

SIZES = [0, 1, 4, 100, 16_379, 16_384, 65_530, 65_536, 1 << 20, (1 << 20) + 1, 16 << 20]
_BIG: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
]


def _method(channel: grpc.Channel, path: str = h2raw.ECHO) -> Any:
    return cast("Any", channel).unary_unary(path)


def _channel(port: int, **options: Any) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=_BIG, **options)


def _generic(behave: Callable[..., Any]) -> grpc.GenericRpcHandler:
    service, method = h2raw.ECHO[1:].split("/")
    handler = cast("Any", grpc).unary_unary_rpc_method_handler(behave)
    return grpc.method_handlers_generic_handler(service, {method: handler})


@contextmanager
def grpcio_server(
    behave: Callable[[bytes, Any], bytes], credentials: grpc.ServerCredentials | None = None
) -> Generator[int]:
    """Run a server of grpcio whose method does `behave`; yield its port."""
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, options=_BIG)
        server.add_generic_rpc_handlers((_generic(behave),))
        address = "127.0.0.1:0"
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


def _call(port: int, body: bytes, timeout_s: float = 20.0, **options: Any) -> Answer:
    unhandled: list[Any] = []

    async def main() -> Answer:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        channel = GrpcChannel("127.0.0.1", port, **options)
        try:
            return await channel.call(h2raw.ECHO, body, timeout_s=timeout_s)
        finally:
            await channel.close()

    try:
        return asyncio.run(main())
    finally:
        gc.collect()
        assert unhandled == []


# grpcio calls us


def test_sync_client_sends_every_size() -> None:
    """Messages from nothing to the limit come back as they went."""
    with h2raw.serving() as server, _channel(server.port) as channel:
        for size in SIZES:
            body = os.urandom(size)
            assert _method(channel)(body, timeout=20) == body


def test_aio_client_sends_every_size() -> None:
    """The same by grpc.aio, all at once."""

    async def main(port: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", _BIG) as channel:
            bodies = [os.urandom(size) for size in SIZES]
            replies = await asyncio.gather(*(_method(cast("Any", channel))(body, timeout=20) for body in bodies))
            assert bodies == replies

    with h2raw.serving() as server:
        asyncio.run(main(server.port))


def test_many_calls_at_once() -> None:
    """Two thousand calls, far more than a connection takes at once, are all answered, each with its own reply."""

    async def main(port: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            method = _method(cast("Any", channel))
            bodies = [b"%d" % number for number in range(2000)]
            assert bodies == await asyncio.gather(*(method(body, timeout=60) for body in bodies))

    with h2raw.serving() as server:
        server.handler.answer = lambda call: Answer(call.body)
        asyncio.run(main(server.port))


def test_metadata_and_deadline_reach_the_handler() -> None:
    """Headers, peer and remaining time are as the client sent them."""
    with h2raw.serving() as server, _channel(server.port) as channel:
        _method(channel)(b"", timeout=30, metadata=[("x-tenant", "seven"), ("x-many", "a"), ("x-many", "b")])
        call = server.handler.calls[0]
        assert (call.path, call.headers["x-tenant"], call.headers["x-many"]) == (h2raw.ECHO, "seven", "a,b")
        assert call.peer == Peer("127.0.0.1")
        assert call.timeout_s is not None
        assert 25 < call.timeout_s < 31  # C core rounds a deadline up


def test_statuses_reach_the_client() -> None:
    """Code, message in any language and details arrive as they were given."""
    answer = Answer(status=Status.UNAVAILABLE, message="später: 100 % voll 🎉\n", details=b"\x08\x0e\xff")
    with h2raw.serving() as server, _channel(server.port) as channel:
        server.handler.answer = lambda call: answer
        with pytest.raises(grpc.RpcError) as refusal:
            _method(channel)(bytes(100_000), timeout=20)
        error: Any = refusal.value
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, answer.message)
        assert dict(error.trailing_metadata())["grpc-status-details-bin"] == answer.details


def test_refusal_before_the_message() -> None:
    """A call refused on its headers is answered while the client still sends, and the channel goes on."""
    with h2raw.serving() as server, _channel(server.port) as channel:
        server.handler.refuse = lambda path: Answer(status=12, message="no such") if path != h2raw.ECHO else None
        for _ in range(20):
            with pytest.raises(grpc.RpcError) as refusal:
                _method(channel, "/no/such")(bytes(8 << 20), timeout=20)
            assert cast("Any", refusal.value).code() is grpc.StatusCode.UNIMPLEMENTED
            assert _method(channel)(b"still", timeout=20) == b"still"


def test_message_too_long_for_us() -> None:
    """The client learns the limit."""
    with h2raw.serving() as server, _channel(server.port) as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            _method(channel)(bytes((16 << 20) + 1), timeout=20)
        error: Any = refusal.value
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "longer than the limit of 16777216 bytes" in error.details()


def test_gzip_is_handed_over_as_it_came() -> None:
    """The handler gets the compressed bytes, the flag and the encoding."""
    body = b"to be compressed " * 1000
    with h2raw.serving(encodings=("identity", "gzip")) as server, _channel(server.port) as channel:
        server.handler.answer = lambda call: Answer()
        _method(channel)(body, timeout=20, compression=grpc.Compression.Gzip)
        call = server.handler.calls[0]
        assert (call.compressed, call.headers["grpc-encoding"]) == (True, "gzip")
        assert gzip.decompress(call.body) == body


def test_deadline_of_the_client() -> None:
    """A call that takes too long ends on the client's side, and the channel goes on."""
    with h2raw.serving() as server, _channel(server.port) as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            _method(channel, h2raw.LATER)(b"", timeout=0.2)
        assert cast("Any", refusal.value).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        server.let_go()
        assert _method(channel)(b"still", timeout=20) == b"still"


def _fails_alone(path: str, answer: Any) -> None:
    """Assert that a handler which answers so fails its call as INTERNAL, and no other one."""
    with h2raw.serving() as server, _channel(server.port) as channel:
        good, server.handler.answer = server.handler.answer, answer
        server.let_go()
        with pytest.raises(grpc.RpcError) as refusal:
            _method(channel, path)(b"", timeout=20)
        assert cast("Any", refusal.value).code() is grpc.StatusCode.INTERNAL
        server.handler.answer = good
        assert _method(channel)(b"still", timeout=20) == b"still"


@pytest.mark.parametrize("path", [h2raw.ECHO, h2raw.LATER])
def test_failing_handler_is_internal(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a handler is the call's INTERNAL, logged, and nobody else's affair."""

    def fail(call: Call) -> Answer:
        raise RuntimeError("broken")

    _fails_alone(path, fail)
    assert f"gRPC handler failed path='{path}'" in caplog.text


@pytest.mark.parametrize("path", [h2raw.ECHO, h2raw.LATER])
def test_handler_that_returns_nonsense_is_internal(path: str) -> None:
    """What is no answer is a failure of the handler, of this call alone."""
    _fails_alone(path, lambda _: 17)


def test_stop_finishes_open_calls() -> None:
    """A server that stops answers what it has taken, and takes nothing more."""
    with h2raw.serving() as server, _channel(server.port) as channel:
        waiting = _method(channel, h2raw.LATER).future(b"open", timeout=20)
        h2raw.wait_for(lambda: len(server.handler.calls) == 1, "the call is there")
        stopping = asyncio.run_coroutine_threadsafe(server.server.stop(20), server.loop)
        server.let_go()
        assert waiting.result() == b"open"
        stopping.result(20)
        with pytest.raises(grpc.RpcError):
            _method(channel)(b"late", timeout=0.5)
        assert server.server.connections == 0


def test_stop_cuts_off_after_its_grace() -> None:
    """Calls that do not end within the grace are cut off, their handlers cancelled."""
    with h2raw.serving() as server, _channel(server.port) as channel:
        waiting = _method(channel, h2raw.LATER).future(b"open", timeout=20)
        h2raw.wait_for(lambda: len(server.handler.calls) == 1, "the call is there")
        server.run(server.server.stop(0.2))
        with pytest.raises(grpc.RpcError):
            waiting.result()
        server.let_go()
        assert server.handler.finished == 0


# we call grpcio


def test_we_send_every_size() -> None:
    """Messages from nothing to 16 MiB come back as they went."""
    with grpcio_server(lambda body, _: body) as port:
        for size in SIZES:
            body = os.urandom(size)
            assert Answer(body) == _call(port, body, limits=ChannelLimits(reply_bytes=16 << 20))


def test_we_make_many_calls_at_once() -> None:
    """A thousand calls share a connection, each with its own reply."""

    async def main(port: int) -> None:
        channel = GrpcChannel("127.0.0.1", port)
        bodies = [b"%d" % number * 100 for number in range(1000)]
        answers = await asyncio.gather(*(channel.call(h2raw.ECHO, body, timeout_s=60) for body in bodies))
        await channel.close()
        assert [Answer(body) for body in bodies] == answers

    with grpcio_server(lambda body, _: body) as port:
        asyncio.run(main(port))


def test_aio_server_is_called() -> None:
    """grpc.aio's server understands us too."""

    async def main() -> None:
        async def echo(body: bytes, _: object) -> bytes:
            return body

        server = grpc.aio.server(options=_BIG)
        server.add_generic_rpc_handlers((_generic(echo),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = GrpcChannel("127.0.0.1", port)
        assert Answer(b"body") == await channel.call(h2raw.ECHO, b"body", timeout_s=20)
        await channel.close()
        await server.stop(0)

    asyncio.run(main())


def test_metadata_and_deadline_reach_the_server() -> None:
    """Headers and remaining time are as we sent them."""
    seen: list[Any] = []

    def behave(body: bytes, context: Any) -> bytes:
        seen.append((dict(context.invocation_metadata()), context.time_remaining()))
        return body

    async def main(port: int) -> None:
        channel = GrpcChannel("127.0.0.1", port)
        await channel.call(
            h2raw.ECHO, b"", timeout_s=30, headers=[("authorization", "Bearer x"), ("x-tenant", "seven")]
        )
        await channel.close()

    with grpcio_server(behave) as port:
        asyncio.run(main(port))
    metadata, remaining = seen[0]
    assert (metadata["authorization"], metadata["x-tenant"]) == ("Bearer x", "seven")
    assert 25 < remaining < 31


def test_statuses_reach_us() -> None:
    """Code, message and details arrive as the server gave them."""

    def behave(body: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x0e\xff"),))
        context.abort(grpc.StatusCode.UNAVAILABLE, "später 🎉")
        return b""

    with grpcio_server(behave) as port:
        assert Answer(status=14, message="später 🎉", details=b"\x08\x0e\xff") == _call(port, bytes(100_000))


def test_gzip_is_understood_by_the_server() -> None:
    """What we send as gzip is decompressed by the server."""
    seen: list[bytes] = []

    def behave(body: bytes, context: Any) -> bytes:
        seen.append(body)
        return b""

    async def main(port: int) -> None:
        channel = GrpcChannel("127.0.0.1", port)
        body = gzip.compress(b"compressed")
        assert Answer() == await channel.call(h2raw.ECHO, [body], timeout_s=20, encoding="gzip")
        await channel.close()

    with grpcio_server(behave) as port:
        asyncio.run(main(port))
    assert seen == [b"compressed"]


def test_our_deadline_cancels_the_servers_call() -> None:
    """A call we gave up is cancelled over there."""
    cancelled = threading.Event()

    def behave(body: bytes, context: Any) -> bytes:
        context.add_callback(cancelled.set)
        cancelled.wait(20)
        return b""

    with grpcio_server(behave) as port:
        with pytest.raises(CallTimeoutError):
            _call(port, b"", timeout_s=0.3)
        assert cancelled.wait(20)


def test_reply_too_long_for_us() -> None:
    """A hostile reply is cut off."""
    with grpcio_server(lambda body, _: bytes(2 << 20)) as port, pytest.raises(ReplyTooLongError):
        _call(port, b"")


# TLS


def _credentials(authority: Authority, name: str) -> tuple[bytes, bytes]:
    certificate, key = authority.issue(name, f"/O=Shop/CN={name}")
    return key.read_bytes(), certificate.read_bytes()


def test_tls_client_of_grpcio(authority: Authority) -> None:
    """A client of grpcio reaches us over TLS; without a client certificate the peer has no name."""
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    with h2raw.serving(tls=authority.server()) as server:
        with grpc.secure_channel(f"localhost:{server.port}", credentials, _BIG) as channel:
            body = os.urandom(3 << 20)
            assert _method(channel)(body, timeout=20) == body
        assert server.handler.calls[0].peer.certificate == ""


def test_mtls_client_of_grpcio(authority: Authority) -> None:
    """With a client certificate its subject is the peer's name; without one there is no connection."""
    key, certificate = _credentials(authority, "sender")
    ca = authority.ca.read_bytes()
    with h2raw.serving(tls=authority.server(ask=ssl.CERT_REQUIRED)) as server:
        with grpc.secure_channel(
            f"localhost:{server.port}", grpc.ssl_channel_credentials(ca, key, certificate)
        ) as channel:
            assert _method(channel)(b"known", timeout=20) == b"known"
        unknown = grpc.secure_channel(f"localhost:{server.port}", grpc.ssl_channel_credentials(ca))
        with unknown as channel, pytest.raises(grpc.RpcError):
            _method(channel)(b"unknown", timeout=2)
        assert [call.peer for call in server.handler.calls] == [Peer("127.0.0.1", "O=Shop,CN=sender")]


def test_tls_server_of_grpcio(authority: Authority) -> None:
    """We reach grpcio over TLS with a client certificate, and not without."""
    server = grpc.ssl_server_credentials([_credentials(authority, "backend")], authority.ca.read_bytes(), True)
    with grpcio_server(lambda body, _: body, server) as port:
        body = os.urandom(900_000)
        authority_name = f"localhost:{port}"
        assert Answer(body) == _call(port, body, tls=authority.client("exporter"), authority=authority_name)
        with pytest.raises(TransportError):
            _call(port, body, tls=authority.client(), authority=authority_name, timeout_s=2)


def test_certificate_of_somebody_else_is_refused(authority: Authority) -> None:
    """The server's certificate must be for the authority's host."""
    with h2raw.serving(tls=authority.server()) as server, pytest.raises(NotConnectedError, match="certificate"):
        _call(server.port, b"", tls=authority.client(), authority="elsewhere.example:4317")


def test_tls_without_h2_is_refused_by_the_server(authority: Authority) -> None:
    """A TLS client that does not ask for h2 is closed."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    with h2raw.serving(tls=authority.server()) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            tls.settimeout(20)
            assert tls.recv(1) == b""
        assert server.is_well_over(authority)


def test_tls_without_h2_is_refused_by_the_client(authority: Authority) -> None:
    """A TLS server that does not speak h2 is told from one that does."""
    context = authority.server()
    context.set_alpn_protocols(["http/1.1"])
    with h2raw.serving(tls=context) as server, pytest.raises(NotConnectedError, match="ALPN h2"):
        _call(server.port, b"", tls=authority.client())


def test_plain_text_to_a_tls_port(authority: Authority) -> None:
    """Who does not shake hands is no connection for long, and nobody else's trouble."""
    with h2raw.serving(tls=authority.server()) as server:
        with server.connect() as raw:
            raw.send(PREFACE)
            assert raw.ended()
        h2raw.wait_for(lambda: server.server.connections == 0, "the failed handshake is forgotten")
        assert server.is_well_over(authority)


def test_handshake_that_never_ends(authority: Authority) -> None:
    """A silent peer of a TLS port is closed in time, and counts as a connection until then."""
    with h2raw.serving(Limits(connect_s=0.3), authority.server()) as server, server.connect() as raw:
        h2raw.wait_for(lambda: server.server.connections == 1, "the handshake is counted")
        assert raw.ended()
        h2raw.wait_for(lambda: server.server.connections == 0, "the handshake is given up")


def test_certificates_are_exchanged_at_run_time(authority: Authority) -> None:
    """New connections get the new certificate; old ones go on."""
    subjects: list[str] = []

    def subject(port: int) -> ssl.SSLSocket:
        sock = socket.create_connection(("127.0.0.1", port))
        tls = authority.client().wrap_socket(sock, server_hostname="localhost")
        certificate: Any = tls.getpeercert()
        subjects.append(certificate["subject"][0][0][1])
        return tls

    with h2raw.serving(tls=authority.server("first")) as server, h2raw.Raw(subject(server.port)) as old:
        old.send(PREFACE + frame(SETTINGS, 0, 0))
        server.server.tls = authority.server("second")
        with subject(server.port):
            old.send(h2raw.request(1, b"old"))
            assert old.answer(1) == ("0", b"old")
    assert subjects == ["first", "second"]
