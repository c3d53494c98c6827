"""Sockets of our own, bound before anything else starts, and uvicorn under our command."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Final

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spanward_processor.receive.http1 import Connection, Patience

_BACKLOG: Final = 1024
_BUSY: Final = PlainTextResponse("too many connections", 503, {"retry-after": "1"})
_LAST_ANSWER_S: Final = 6.0  # how long a leaving server waits for the next request of a connection


class PortTakenError(Exception):
    """Another program listens where we should."""


def bind(address: str) -> socket.socket:
    """Return a socket that listens at an address.

    Args:
        address: HOST:PORT, port 0 for any.

    Raises:
        PortTakenError: It cannot be used; says why.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTakenError(f"{address} cannot be used: {error.strerror}") from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(place)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise PortTakenError(f"{address} cannot be used: {error.strerror}") from error
    bound.setblocking(False)
    return bound


def address_of(bound: socket.socket) -> str:
    """Return HOST:PORT of a bound socket, an IPv6 host in brackets."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class WebServer(uvicorn.Server):
    """uvicorn under our command: without signal handlers of its own, and with limits of time, headers and connections.

    Args:
        app: What is served.
        busy: Answers requests when there are too many connections.
        patience: What connections may take.
        tls: How it is encrypted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        busy: ASGIApp = _BUSY,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._leaving = False
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",  # it would not find out of a method
            http="h11",  # it bounds the header; llhttp does not
            ws="none",
            lifespan="off",
            log_level="error",  # what peers do wrong is answered, not logged line by line
            log_config=None,  # else it writes lines of its own form
            access_log=False,
            server_header=False,
            proxy_headers=False,  # anybody may write X-Forwarded-For; rates go by the real address
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._tls = tls
        self._serving: asyncio.Task[None] | None = None
        self.exchange(app, busy=busy, patience=patience)

    def exchange(self, app: ASGIApp, *, busy: ASGIApp, patience: Patience) -> None:
        """Let another application answer from the next request on; the rest holds for new connections."""
        self._app = app
        self._busy = busy
        self._patience = patience
        self.config.h11_max_incomplete_event_size = patience.header_bytes

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, _last_answer(send) if self._leaving else send)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on the sockets by connections of ours; uvicorn calls this."""
        await super().startup(sockets=[])
        self.started = False
        for bound in sockets or ():
            self.servers.append(await self._serve_on(bound))
        self.started = True

    async def _serve_on(self, bound: socket.socket) -> asyncio.Server:
        def connection() -> Connection:
            uvicorns = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
            return Connection(self._patience, self._busy, **uvicorns)

        handshake_s = None if self._tls is None else self._patience.handshake_s
        return await asyncio.get_running_loop().create_server(
            connection, sock=bound, ssl=self._tls, ssl_handshake_timeout=handshake_s, backlog=_BACKLOG
        )

    async def begin(self, bound: socket.socket) -> None:
        """Serve on a socket, and return once it is served."""
        self._serving = asyncio.create_task(self.serve([bound]))
        while not self.started and not self._serving.done():  # noqa: ASYNC110 - uvicorn has no event to wait for
            await asyncio.sleep(0.01)
        if self._serving.done():
            await self._serving

    async def hand_over(self) -> None:
        """End for another server that listens in the same place: each connection is ended by its next answer.

        A connection that is closed while it is idle may be closed on a request that is on its way.
        """
        self._leaving = True
        for server in self.servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ANSWER_S):
                while self.server_state.connections:  # noqa: ASYNC110 - uvicorn has no event to wait for
                    await asyncio.sleep(0.05)
        await self.end()

    async def end(self) -> None:
        """Finish what is open, and return once nothing is served any more."""
        self.should_exit = True
        if self._serving:
            await self._serving


def _last_answer(send: Send) -> Send:
    """Return a `send` that tells the peer to close the connection behind the answer."""

    async def last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return last


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A server on one socket.

    Args:
        begin: Serves on a socket, which is its own from then on.
        hand_over: Ends without failing a request, since another server listens in the same place.
        end: Ends.
    """

    begin: Callable[[socket.socket], Awaitable[None]]
    hand_over: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]


class Listener:
    """One place where senders find us; the server there, and the place itself, may be exchanged while it is in use.

    Servers that follow each other in one place share its socket, so that no connection is refused between them.
    """

    def __init__(self) -> None:
        self.address = ""
        self._wanted = ""
        self._bound: socket.socket | None = None
        self._life: Lifecycle | None = None
        self._handing_over: set[asyncio.Task[None]] = set()

    def reserve(self, wanted: str) -> socket.socket:
        """Return a socket that listens at an address: the one in use, shared, where that is its own.

        Args:
            wanted: HOST:PORT, as configured.

        Raises:
            PortTakenError: It cannot be used.
        """
        return self._bound.dup() if self._bound and wanted == self._wanted else bind(wanted)

    async def serve(self, wanted: str, bound: socket.socket, life: Lifecycle) -> None:
        """Let a server begin on a reserved socket; the one before it hands over.

        Args:
            wanted: As given to `reserve`.
            bound: As returned by it; ours from now on.
            life: The server.
        """
        before, self._life = self._life, life
        if self._bound:
            self._bound.close()
        self._wanted, self._bound, self.address = wanted, bound, address_of(bound)
        await life.begin(bound.dup())
        if before:
            task = asyncio.ensure_future(_awaited(before.hand_over))
            self._handing_over.add(task)
            task.add_done_callback(self._handing_over.discard)

    async def end(self) -> None:
        """End the server, and wait for those that hand over."""
        life, self._life = self._life, None
        if self._bound:
            self._bound.close()
        self._bound, self.address, self._wanted = None, "", ""
        ending = [*self._handing_over, *([asyncio.ensure_future(_awaited(life.end))] if life else [])]
        await asyncio.gather(*ending)


async def _awaited(step: Callable[[], Awaitable[None]]) -> None:
    await step()
