"""The server: accepts connections, one `Serving` each, and stops without losing a call."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

from spanward_processor.h2.call import Answer, Handler, Peer, Status
from spanward_processor.h2.connection import Connection
from spanward_processor.h2.frames import PREFACE
from spanward_processor.h2.limits import Budget, Buffered, Limits, Rate
from spanward_processor.h2.reading import MAX_FRAME
from spanward_processor.h2.replies import Replies
from spanward_processor.h2.service import Service
from spanward_processor.h2.serving import Serving
from spanward_processor.h2.settings import (
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    pack_settings,
)

_log = logging.getLogger(__name__)

_RECEIVE_BYTES: Final = 512 << 10
_TICK_S: Final = 1.0
_ACCEPT_PAUSE_S: Final = 0.1  # after accept failed, most likely for want of file descriptors
_SLACK_BYTES: Final = 1 << 16  # of a stream's window beyond the longest message, so that no stream needs an update
_LOGGED: Final = Rate(burst=5, per_s=1 / 30)
_NAMES: Final = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}


def busy(reason: str) -> Answer:
    """Return the plain answer for a call there is no room for."""
    return Answer(status=Status.UNAVAILABLE, message=reason)


class GrpcServer:
    """Serves unary gRPC calls of raw bytes.

    Args:
        handler: Answers calls.
        limits: Bounds.
        tls: For new connections; may be exchanged at any time. None serves without TLS.
        busy: Builds the answer for a call there is no room for, from the reason.
        encodings: Values of `grpc-encoding` the handler understands.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        tls: ssl.SSLContext | None = None,
        *,
        busy: Callable[[str], Answer] = busy,
        encodings: Sequence[str] = ("identity",),
    ) -> None:
        self.tls = tls
        self._handler = handler
        self._limits = limits
        self._busy = busy
        self._replies = Replies(encodings)
        self._open: set[Serving] = set()
        self._joining: dict[asyncio.Task[None], tuple[socket.socket, Serving]] = {}
        self._empty = asyncio.Event()
        self._socket: socket.socket | None = None
        self._ticking: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """Connections that are open or shaking hands."""
        return len(self._open) + sum(serving not in self._open for _, serving in self._joining.values())

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        if self._socket is None:
            raise RuntimeError("the server is not started")
        name = self._socket.getsockname()
        if isinstance(name, str):
            return f"unix:{name}"
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def exchange(self, handler: Handler) -> None:
        """Let another handler answer from the next call on, on open connections too."""
        self._service.handler = handler

    async def start(self, sock: socket.socket) -> None:
        """Serve on a bound socket, which is ours from now on."""
        loop = asyncio.get_running_loop()
        limits = self._limits
        self._service = Service(
            handler=self._handler,
            limits=limits,
            busy=self._busy,
            replies=self._replies,
            buffered=Buffered(limits.buffered_bytes),
            failures=Budget(_LOGGED, loop.time),
            clock=loop.time,
        )
        self._buffer = memoryview(bytearray(max(_RECEIVE_BYTES, 4 * limits.header_bytes)))
        self._hello = pack_settings(
            {
                MAX_CONCURRENT_STREAMS: limits.streams_per_connection,
                INITIAL_WINDOW_SIZE: limits.message_bytes + _SLACK_BYTES,
                MAX_FRAME_SIZE: MAX_FRAME,
                MAX_HEADER_LIST_SIZE: limits.header_bytes,
            }
        )
        self._socket = sock
        sock.setblocking(False)
        sock.listen(min(limits.connections, socket.SOMAXCONN))
        self._ticking = loop.create_task(self._tick())
        self._listen()

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, finish the open ones, close.

        Args:
            grace_s: How long open calls may take, seconds; what is left then is cut off.
        """
        for task in self._joining:
            task.cancel()
        await self.hand_over(grace_s)

    async def hand_over(self, grace_s: float) -> None:
        """Stop for another server that listens in the same place: who is just joining is let in first, and told to go.

        Args:
            grace_s: As in `stop`.
        """
        sock, self._socket = self._socket, None
        if sock is None or self._ticking is None:
            return
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()
        for serving in tuple(self._open):
            serving.leave()
        await self._until_empty(grace_s)
        self._ticking.cancel()
        for task in self._joining:
            task.cancel()
        for serving in tuple(self._open):
            serving.abandon()
        await self._until_empty(_TICK_S)

    async def _until_empty(self, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                while self.connections:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return

    def _listen(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._accept, self._socket)

    def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = sock.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return
        except OSError as error:
            if self._service.failures.spend():
                _log.warning("accept failed address=%s reason=%r", self.address, str(error))
            loop.remove_reader(sock)
            loop.call_later(_ACCEPT_PAUSE_S, self._listen)
            return
        if self.connections >= self._limits.connections:
            accepted.close()
            return
        accepted.setblocking(False)
        serving = Serving(self._service, self._identify, self._gone)
        task = loop.create_task(self._join(accepted, serving))
        self._joining[task] = accepted, serving
        task.add_done_callback(self._joined)

    async def _join(self, sock: socket.socket, serving: Serving) -> None:
        """Make a connection of an accepted socket."""
        tls = self.tls
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: self._connection(serving),
            sock,
            ssl=tls,
            ssl_handshake_timeout=self._limits.connect_s if tls else None,
        )

    def _joined(self, task: asyncio.Task[None]) -> None:
        """Forget a handshake that is through; that it failed is the peer's affair."""
        sock, _ = self._joining.pop(task)
        self._empty.set()
        if task.cancelled() or task.exception() is not None:
            sock.close()

    def _connection(self, serving: Serving) -> Connection:
        service = self._service
        return Connection(
            serving,
            self._buffer,
            service.limits,
            preface=PREFACE,
            hello=self._hello,
            window=max(service.limits.connection_bytes, service.limits.message_bytes + _SLACK_BYTES),
            clock=service.clock,
        )

    def _identify(self, serving: Serving) -> Peer | None:
        """Count a connection and return who it is; None for TLS without h2."""
        self._open.add(serving)
        if self._socket is None:
            asyncio.get_running_loop().call_soon(serving.leave)
        transport = serving.connection.transport
        _no_delay(transport.get_extra_info("socket"))
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            return None
        name: Any = transport.get_extra_info("peername")  # (host, port, ...), or text for a Unix socket
        address = "" if isinstance(name, str) or not name else str(name[0])
        return Peer(address, _subject(tls.getpeercert() if tls else None))

    def _gone(self, serving: Serving) -> None:
        self._open.discard(serving)
        self._empty.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._service.clock()
            for serving in tuple(self._open):
                serving.tick(now)


def _no_delay(sock: socket.socket) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _subject(certificate: Any) -> str:
    """Return a verified certificate's subject; empty when there is none. `ssl` gives an empty one for unverified ones."""
    if not certificate:
        return ""
    pairs = [pair for group in certificate.get("subject", ()) for pair in group]
    return ",".join(f"{_NAMES.get(name, name)}={value}" for name, value in pairs)
