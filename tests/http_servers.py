"""HTTP servers of Python's own library, on loopback, each in a thread of its own."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any, cast


class _Silent:
    """Goes before a handler that logs every request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@contextmanager
def served(
    handler: type[BaseHTTPRequestHandler], port: int = 0, kind: type[HTTPServer] = ThreadingHTTPServer
) -> Generator[int]:
    """Serve on loopback without a word in the log; yield the port.

    Args:
        handler: Answers requests.
        port: Where; any by default.
        kind: Class of the server.
    """
    silent = cast("type[BaseHTTPRequestHandler]", type("Silent", (_Silent, handler), {}))
    with kind(("127.0.0.1", port), silent) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
