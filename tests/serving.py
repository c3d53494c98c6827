"""An ASGI application served by a real server, in a thread of its own."""

import contextlib
import ssl
from collections.abc import AsyncGenerator, Generator
from typing import Any

from starlette.types import ASGIApp

from beside import beside
from spanward_processor.receive.http1 import Patience
from spanward_processor.receive.listening import WebServer, address_of, bind

PATIENCE = Patience()


@contextlib.contextmanager
def serving(
    app: ASGIApp, tls: ssl.SSLContext | None = None, patience: Patience = PATIENCE, **options: Any
) -> Generator[str]:
    """Serve an application on loopback as the processor serves its receiver; yield HOST:PORT.

    Args:
        app: What is served.
        tls: How it is encrypted.
        patience: What connections may take.
        options: Of the server.
    """
    with contextlib.closing(bind("127.0.0.1:0")) as bound:

        @contextlib.asynccontextmanager
        async def served() -> AsyncGenerator[str]:
            server = WebServer(app, tls=tls, patience=patience, **options)
            await server.begin(bound)
            yield address_of(bound)
            await server.end()

        with beside(served) as address:
            yield address
