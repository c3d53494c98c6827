"""FastAPI: one line, one server span per request, one child per model call.

FastAPI 0.165 and later trace requests by themselves once a TracerProvider is set: a server span that carries the raw path and
query, and three internal spans per request. Both go against what Spanward promises, so the native spans of an instrumented
application are switched off; its native metrics and logs stay as they are.
"""

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

from spanward_integrations.asgi import Receive, Scope, Send, SpanwardMiddleware
from spanward_integrations.base import missing

try:
    from starlette.middleware import Middleware
except ModuleNotFoundError as error:
    raise missing("FastAPI", "fastapi") from error

if TYPE_CHECKING:
    from fastapi import FastAPI

_NATIVE: Final = "fastapi.telemetry"

_tracing_before: Final[WeakKeyDictionary[Any, bool]] = WeakKeyDictionary()


class FastAPIMiddleware(SpanwardMiddleware):
    """The middleware, which also keeps mounted FastAPI applications from tracing the request once more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        scope.setdefault(
            _NATIVE, None
        )  # what FastAPI itself sets for requests that mounted applications shall leave alone
        await super().__call__(scope, receive, send)


def instrument_fastapi(app: "FastAPI") -> None:
    """Put the middleware outermost, where it sees every request and every error; a second time changes nothing.

    Starlette builds its middleware when the first request comes; instrumenting a running application makes it build anew.

    Args:
        app: The application.
    """
    if any(_is_ours(entry) for entry in app.user_middleware):
        return
    native = _native_settings(app)
    if native is not None:
        _tracing_before[app] = bool(native.get("tracing", True))
        native["tracing"] = False
    app.user_middleware.insert(0, Middleware(FastAPIMiddleware))
    app.middleware_stack = None


def uninstrument_fastapi(app: "FastAPI") -> None:
    """Take the middleware out again and let FastAPI trace as before; what else is there stays as it was.

    Args:
        app: The application.
    """
    kept = [entry for entry in app.user_middleware if not _is_ours(entry)]
    if len(kept) == len(app.user_middleware):
        return
    app.user_middleware[:] = kept
    app.middleware_stack = None
    native = _native_settings(app)
    if native is not None and app in _tracing_before:
        native["tracing"] = _tracing_before.pop(app)


def _is_ours(entry: "Middleware") -> bool:
    return cast("object", entry.cls) is FastAPIMiddleware


def _native_settings(app: "FastAPI") -> MutableMapping[str, Any] | None:
    """Return the settings of FastAPI's own telemetry; there is no public way to change them after construction."""
    settings = getattr(app, "_telemetry", None)
    return cast("dict[str, Any]", settings) if isinstance(settings, dict) else None
