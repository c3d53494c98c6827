"""FastAPI: one line, one server span per request, one child per model call."""

from typing import TYPE_CHECKING

from spanward_integrations.asgi import SpanwardMiddleware
from spanward_integrations.base import missing

try:
    from starlette.middleware import Middleware
except ModuleNotFoundError as error:
    raise missing("FastAPI", "fastapi") from error

if TYPE_CHECKING:
    from fastapi import FastAPI


def instrument_fastapi(app: "FastAPI") -> None:
    """Put the middleware outermost, where it sees every request and every error; a second time changes nothing.

    Starlette builds its middleware when the first request comes; instrumenting a running application makes it build anew.

    Args:
        app: The application.
    """
    if not any(entry.cls is SpanwardMiddleware for entry in app.user_middleware):
        app.user_middleware.insert(0, Middleware(SpanwardMiddleware))
        app.middleware_stack = None


def uninstrument_fastapi(app: "FastAPI") -> None:
    """Take the middleware out again; what else is there stays as it was.

    Args:
        app: The application.
    """
    kept = [entry for entry in app.user_middleware if entry.cls is not SpanwardMiddleware]
    if len(kept) < len(app.user_middleware):
        app.user_middleware[:] = kept
        app.middleware_stack = None
