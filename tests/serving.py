"""An ASGI application served by a real server, in a thread of its own."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp

from spanward_processor.receive.http1 import Patience
from spanward_processor.receive.listening import WebServer, address_of, bind

PATIENCE = Patience()


@contextmanager
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
    bound = bind("127.0.0.1:0")
    started, stop = threading.Event(), threading.Event()
    failure: list[BaseException] = []

    async def serve(bound: socket.socket) -> None:
        server = WebServer(app, tls=tls, patience=patience, **options)
        await server.begin(bound)
        started.set()
        await asyncio.to_thread(stop.wait)
        await server.end()

    def run() -> None:
        try:
            asyncio.run(serve(bound))
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failure.append(error)
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        if not failure:
            yield address_of(bound)
    finally:
        stop.set()
        thread.join()
        bound.close()
    if failure:
        raise failure[0]
