"""Sockets of our own, bound before anything else starts, and uvicorn under our command."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

_BACKLOG: Final = 1024


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
    """uvicorn under our command: without signal handlers of its own, and with header and connection limits.

    Args:
        app: What is served.
        connections: Open connections beyond which 503 is answered; None sets no bound.
        header_bytes: Largest header of a request.
        tls: How it is encrypted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        connections: int | None = None,
        header_bytes: int = 16 << 10,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http="h11",  # it bounds the header; llhttp does not
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # anybody may write X-Forwarded-For; rates go by the real address
            limit_concurrency=None if connections is None else connections + 1,  # uvicorn counts the one that asks
            h11_max_incomplete_event_size=header_bytes,
            timeout_graceful_shutdown=1,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        super().__init__(config)
        self._serving: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield

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
