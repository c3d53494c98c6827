"""Sockets of our own, bound before anything else starts, and uvicorn under our command."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from typing import Final

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from spanward_processor.http1 import Connection, Patience

_BACKLOG: Final = 1024
_BUSY: Final = PlainTextResponse("too many connections", 503, {"retry-after": "1"})


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
        config = uvicorn.Config(
            app,
            http="h11",  # it bounds the header; llhttp does not
            ws="none",
            lifespan="off",
            log_level="error",  # what peers do wrong is answered, not logged line by line
            access_log=False,
            server_header=False,
            proxy_headers=False,  # anybody may write X-Forwarded-For; rates go by the real address
            h11_max_incomplete_event_size=patience.header_bytes,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._busy = busy
        self._patience = patience
        self._tls = tls
        self._serving: asyncio.Task[None] | None = None

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

    async def end(self) -> None:
        """Finish what is open, and return once nothing is served any more."""
        self.should_exit = True
        if self._serving:
            await self._serving
