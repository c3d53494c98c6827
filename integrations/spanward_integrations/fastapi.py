"""FastAPI: one line, one server span per request, one child per model call.

FastAPI 0.165 and later trace requests by themselves once a TracerProvider is set: a server span that carries the raw path and
query, and three internal spans per request. Both go against what Spanward promises, so the native spans of an instrumented
application are switched off; its native metrics and logs stay as they are.

Endpoints and dependencies that are no coroutines run in a pool of threads; how long a request waits there for a free one is told by the model call.
"""

from collections.abc import Callable, Collection, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary, WeakSet

from spanward.runtime import timed
from spanward_integrations.asgi import App, SpanwardMiddleware
from spanward_integrations.base import BaseInstrumentor, missing
from spanward_integrations.origin import TRANSPORT, Origin, Scope
from spanward_integrations.patching import Patches

try:
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute, Match, Mount
except ModuleNotFoundError as error:
    raise missing("FastAPI", "fastapi") from error

if TYPE_CHECKING:
    from fastapi import FastAPI

_NATIVE: Final = "fastapi.telemetry"

_tracing_before: Final[WeakKeyDictionary[Any, bool]] = WeakKeyDictionary()
_instrumented: Final[WeakSet[Any]] = WeakSet()
_handing: Final = Patches()


class FastAPIInstrumentor(BaseInstrumentor):
    """Instruments every application that is made from now on; `instrument_fastapi` does one that is there already."""

    _patches: ClassVar = Patches()
    _apps: ClassVar[WeakSet[Any]] = WeakSet()
    _origin: Origin = TRANSPORT

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed."""
        return ("fastapi >= 0.115",)

    def _instrument(self, **kwargs: Any) -> None:
        import fastapi

        self._origin = kwargs.get("origin", TRANSPORT)
        self._patches.wrap(fastapi.FastAPI, "__init__", self._make)

    def _make(
        self, wrapped: Callable[..., None], app: "FastAPI", args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        wrapped(*args, **kwargs)
        instrument_fastapi(app, self._origin)
        self._apps.add(app)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - there is nothing to choose
        self._patches.undo()
        for app in list(self._apps):
            uninstrument_fastapi(app)
        self._apps.clear()


class FastAPIMiddleware(SpanwardMiddleware):
    """The middleware, which knows FastAPI's routes and keeps mounted FastAPI applications from tracing once more.

    Args:
        app: The ASGI application.
        owner: The FastAPI application whose routes name the spans.
        origin: Says where requests come from.
    """

    def __init__(self, app: App, owner: "FastAPI", origin: Origin = TRANSPORT) -> None:
        super().__init__(app, origin)
        self._owner = owner

    def prepare(self, scope: Scope) -> None:
        """Note what FastAPI itself sets for requests that mounted applications shall leave alone."""
        scope.setdefault(_NATIVE, None)

    def route_of(self, scope: Scope) -> str | None:
        """Return the whole template: prefixes of included routers and of mounts, which the inner route does not know."""
        route = scope.get("route")
        included = scope.get("fastapi", {}).get("effective_route_context")
        noted = included if getattr(included, "original_route", None) is route else route
        path = getattr(noted, "path", None)
        if "endpoint" not in scope or (path is not None and "app_root_path" not in scope):
            return path  # nothing matched, or a route that is under no mount
        start = {**scope, "root_path": scope.get("app_root_path", scope.get("root_path", ""))}
        return _template(self._owner.routes, start, path) or None


def _template(routes: Sequence[BaseRoute], scope: Scope, noted: str | None) -> str:
    """Return the template of a request by matching anew: a mounted prefix is in its scope only as it was sent.

    Args:
        routes: The routes that were asked first.
        scope: The request's scope as it was before any mount took its part of the path.
        noted: What the innermost router noted, which knows included routers' prefixes.
    """
    for route in routes:
        match, child = route.matches(scope)
        if match is not Match.FULL:
            continue
        if isinstance(route, Mount):
            return route.path + _template(route.routes, {**scope, **child}, noted)
        return str(getattr(route, "path", "")) if noted is None else noted
    return ""


def instrument_fastapi(app: "FastAPI", origin: Origin = TRANSPORT) -> None:
    """Put the middleware outermost, where it sees every request and every error; a second time changes nothing.

    Starlette builds its middleware when the first request comes; instrumenting a running application makes it build anew.

    Args:
        app: The application.
        origin: Says where requests come from, for the model calls inside; default who the transport has authenticated.
    """
    if any(_is_ours(entry) for entry in app.user_middleware):
        return
    _measure_waits()
    _instrumented.add(app)
    native = _native_settings(app)
    if native is not None:
        _tracing_before[app] = bool(native.get("tracing", True))
        native["tracing"] = False
    app.user_middleware.insert(0, Middleware(FastAPIMiddleware, owner=app, origin=origin))
    app.middleware_stack = None


def uninstrument_fastapi(app: "FastAPI") -> None:
    """Take the middleware out again and let FastAPI trace as before; what else is there stays as it was.

    Args:
        app: The application.
    """
    kept = [entry for entry in app.user_middleware if not _is_ours(entry)]
    if len(kept) == len(app.user_middleware):
        return
    _instrumented.discard(app)
    if not _instrumented:
        _handing.undo()
    app.user_middleware[:] = kept
    app.middleware_stack = None
    native = _native_settings(app)
    if native is not None and app in _tracing_before:
        native["tracing"] = _tracing_before.pop(app)


def _measure_waits() -> None:
    """Measure from now on how long endpoints and dependencies wait for a thread; FastAPI hands all of them over by one function."""
    from fastapi import routing
    from fastapi.dependencies import utils

    for module in (routing, utils):
        if hasattr(module, "run_in_threadpool") and not _handing.has(module, "run_in_threadpool"):
            _handing.wrap(module, "run_in_threadpool", _hand_over)


def _hand_over(wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    endpoint, *others = args
    return wrapped(timed(endpoint), *others, **kwargs)


def _is_ours(entry: "Middleware") -> bool:
    return cast("object", entry.cls) is FastAPIMiddleware


def _native_settings(app: "FastAPI") -> MutableMapping[str, Any] | None:
    """Return the settings of FastAPI's own telemetry; there is no public way to change them after construction."""
    settings = getattr(app, "_telemetry", None)
    return cast("dict[str, Any]", settings) if isinstance(settings, dict) else None
