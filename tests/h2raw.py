"""HTTP/2 spoken by hand: a server of ours in a thread, and peers that send exactly the bytes a test wants."""

import asyncio
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from certificates import Authority
from spanward_processor.h2.call import Answer, Call, Peer
from spanward_processor.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    ErrorCode,
    frame,
)
from spanward_processor.h2.headers import Fields, HeaderDecoder, encode_fields
from spanward_processor.h2.limits import Limits
from spanward_processor.h2.server import GrpcServer

DEADLINE_S = 20.0
ECHO = "/test.Service/Echo"
LATER = "/test.Service/Later"
T = TypeVar("T")


@dataclass
class Handler:
    """Echoes; calls to LATER wait until `let_go`."""

    calls: list[Call] = field(default_factory=list[Call])
    answer: Callable[[Call], Answer] = lambda call: Answer(call.body)
    refuse: Callable[[str], Answer | None] = lambda path: None
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    finished: int = 0

    def open(self, path: str, headers: Mapping[str, str], peer: Peer) -> Answer | None:
        """Refuse what the test wants refused."""
        return self.refuse(path)

    def __call__(self, call: Call) -> Answer | Awaitable[Answer]:
        """Answer now or later."""
        self.calls.append(call)
        return self._later(call) if call.path == LATER else self.answer(call)

    async def _later(self, call: Call) -> Answer:
        await self.let_go.wait()
        self.finished += 1
        return self.answer(call)


@dataclass
class Running:
    """A server in its thread."""

    handler: Handler
    server: GrpcServer
    loop: asyncio.AbstractEventLoop
    port: int

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE_S)

    def let_go(self) -> None:
        """Let the calls that wait be answered."""
        self.loop.call_soon_threadsafe(self.handler.let_go.set)

    def connect(self) -> "Raw":
        """Return a peer that has done nothing but connect."""
        return Raw(socket.create_connection(("127.0.0.1", self.port), DEADLINE_S))

    def greeted(self, settings: bytes = b"") -> "Raw":
        """Return a peer that has sent the preface and its settings."""
        raw = self.connect()
        raw.send(PREFACE + frame(SETTINGS, 0, 0, settings))
        return raw

    def is_well(self) -> bool:
        """Return whether a new connection is served."""
        with self.greeted() as raw:
            raw.send(request(1, b"well"))
            return raw.answer(1) == ("0", b"well")

    def is_well_over(self, authority: Authority) -> bool:
        """Return whether a new connection with TLS is served."""
        sock = socket.create_connection(("127.0.0.1", self.port), DEADLINE_S)
        with Raw(authority.client().wrap_socket(sock, server_hostname="localhost")) as raw:
            raw.send(PREFACE + frame(SETTINGS, 0, 0) + request(1, b"well"))
            return raw.answer(1) == ("0", b"well")


@contextmanager
def serving(limits: Limits | None = None, tls: ssl.SSLContext | None = None, **options: Any) -> Generator[Running]:
    """Run a server; nothing may have reached its event loop as an error when it ends."""
    loop = asyncio.new_event_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    handler = Handler()
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    server = GrpcServer(handler, limits or Limits(), tls, **options)
    running = Running(handler, server, loop, port)
    try:
        running.run(server.start(sock))
        yield running
        running.run(server.stop(0.2))
    finally:
        running.run(server.stop(0))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert unhandled == []


class Raw:
    """A peer that is a socket and knows frames, but no rules."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(DEADLINE_S)
        self._received = b""
        self._decoder = HeaderDecoder(1 << 20)
        self._fields: dict[int, list[Fields]] = {}
        self._data: dict[int, bytes] = {}
        self._seen: list[tuple[int, int, int, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send bytes; that the other end has closed already is not ours to judge."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def frame(self) -> tuple[int, int, int, bytes] | None:
        """Return the next frame as type, flags, stream, payload; None at the end of the connection."""
        head = self._take(HEAD.size)
        if head is None:
            return None
        high, low, kind, flags, stream = HEAD.unpack(head)
        payload = self._take(high << 16 | low)
        return None if payload is None else (kind, flags, stream, payload)

    def preface(self) -> bytes | None:
        """Return the first bytes of a client."""
        return self._take(len(PREFACE))

    def _take(self, count: int) -> bytes | None:
        while len(self._received) < count:
            try:
                more = self.sock.recv(1 << 16)
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self._received += more
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    def until(self, kind: int, *, flags: int | None = None, stream: int | None = None) -> tuple[int, int, int, bytes]:
        """Return the first frame of a type; fail when the connection ends before."""
        while (found := self.frame()) is not None:
            if found[0] == kind and flags in (None, found[1]) and stream in (None, found[2]):
                return found
        raise AssertionError(f"the connection ended before a frame of type {kind}")

    def goaway(self) -> tuple[ErrorCode, str]:
        """Return the code and reason of GOAWAY, and see the connection end."""
        payload = self.until(GOAWAY)[3]
        while self.frame() is not None:
            pass
        return ErrorCode(struct.unpack_from(">I", payload, 4)[0]), payload[8:].decode()

    def rst(self, stream: int) -> ErrorCode:
        """Return the code a stream is reset with."""
        return ErrorCode(struct.unpack(">I", self.until(RST_STREAM, stream=stream)[3])[0])

    def answer(self, stream: int) -> tuple[str, bytes]:
        """Return grpc-status and message of an answer."""
        fields, body = self.response(stream)
        return fields.headers.get("grpc-status", ""), body[5:]

    def response(self, stream: int) -> tuple[Fields, bytes]:
        """Return the last fields and all DATA of a stream, once it has ended."""
        while (found := self.frame()) is not None:
            kind, flags, number, payload = found
            if kind == HEADERS:
                self._fields.setdefault(number, []).append(self._decoder.decode(payload))
            elif kind == DATA:
                self._data[number] = self._data.get(number, b"") + payload
            elif kind in (GOAWAY, RST_STREAM) and number in (0, stream):
                raise AssertionError(f"{found} instead of an answer")
            if kind in (HEADERS, DATA) and number == stream and flags & END_STREAM:
                return self._fields[number][-1], self._data.get(number, b"")
        raise AssertionError("the connection ended before an answer")

    def ended(self) -> bool:
        """Return whether the other end closes the connection without a further frame."""
        return self.frame() is None


def fields_of(path: str = ECHO, *more: tuple[str, str], **changed: str) -> list[tuple[str, str]]:
    """Return request headers; `method`, `scheme`, `te`, `content_type` change one."""
    return [
        (":method", changed.get("method", "POST")),
        (":scheme", changed.get("scheme", "http")),
        (":path", path),
        (":authority", "localhost"),
        ("te", changed.get("te", "trailers")),
        ("content-type", changed.get("content_type", "application/grpc")),
        *more,
    ]


def headers(stream: int, fields: Iterable[tuple[str, str]] = (), flags: int = END_HEADERS) -> bytes:
    """Return a HEADERS frame."""
    return frame(HEADERS, flags, stream, encode_fields(list(fields) or fields_of()))


def message(body: bytes, compressed: int = 0) -> bytes:
    """Return a message with its prefix."""
    return struct.pack(">BI", compressed, len(body)) + body


def request(stream: int, body: bytes, path: str = ECHO) -> bytes:
    """Return a whole call."""
    return headers(stream, fields_of(path)) + frame(DATA, END_STREAM, stream, message(body))


def continued(stream: int, block: bytes, pieces: int) -> bytes:
    """Return a header block in HEADERS and CONTINUATION frames."""
    size = -(-len(block) // pieces)
    parts = [block[at : at + size] for at in range(0, len(block), size)]
    kinds = [HEADERS] + [CONTINUATION] * (len(parts) - 1)
    return b"".join(
        frame(kind, END_HEADERS if part is parts[-1] else 0, stream, part)
        for kind, part in zip(kinds, parts, strict=True)
    )


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is true."""
    until = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.005)


@contextmanager
def scripted(*scripts: Callable[[Raw], None], settings: bytes = b"") -> Generator[int]:
    """Run a server that greets each connection and then does what its script says; yield its port.

    Args:
        scripts: One for each connection, in the order they come; a connection is closed when its script returns.
        settings: Payload of the SETTINGS the server sends.
    """
    failures: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_S)

        def serve() -> None:
            try:
                for script in scripts:
                    with Raw(listener.accept()[0]) as raw:
                        assert raw.preface() == PREFACE
                        raw.send(frame(SETTINGS, 0, 0, settings))
                        script(raw)
            except BaseException as error:  # noqa: BLE001 - handed to the test
                failures.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()
    if failures:
        raise failures[0]
