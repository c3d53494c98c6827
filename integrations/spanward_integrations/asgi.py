"""One server span per HTTP request, as pure ASGI: nothing is buffered, and no span is made per message.

Source: OpenTelemetry semantic conventions for HTTP servers (stable); ASGI 3.0.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, use_span
from opentelemetry.util.types import AttributeValue

from spanward import semconv
from spanward._guard import Guard
from spanward.call import error_type

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OTHER: Final = "_OTHER"
_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
_FIRST_SERVER_ERROR: Final = 500


class _Headers(Getter[Scope]):
    """Reads W3C context out of an ASGI scope."""

    def get(self, carrier: Scope, key: str) -> list[str] | None:
        wanted = key.lower().encode("latin-1")
        found = [value.decode("latin-1") for name, value in carrier.get("headers", ()) if name.lower() == wanted]
        return found or None

    def keys(self, carrier: Scope) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier.get("headers", ())]


_HEADERS: Final = _Headers()


class SpanwardMiddleware:
    """Open a server span for each HTTP request; websockets and lifespan pass untouched.

    When another instrumentation has already opened a server span for the request, no second one is made.

    Args:
        app: The ASGI application.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._tracer = trace.get_tracer("spanward.asgi", version("spanward"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or _has_server_span():
            await self.app(scope, receive, send)
            return
        await _Exchange(self._start(scope), scope, send, self.route_of).run(self.app, receive)

    def route_of(self, scope: Scope) -> str | None:
        """Return the route's template as the router noted it in the scope; never the path, which names content."""
        path = getattr(scope.get("route"), "path", None)
        return None if path is None else str(path)

    def _start(self, scope: Scope) -> Span:
        with Guard("starting a server span"):
            return self._tracer.start_span(
                _verb(scope),
                context=propagate.extract(scope, getter=_HEADERS),
                kind=SpanKind.SERVER,
                attributes=dict(_of_request(scope)),
            )
        return trace.INVALID_SPAN


class _Exchange:
    """One request and its response."""

    def __init__(self, span: Span, scope: Scope, send: Send, route_of: Callable[[Scope], str | None]) -> None:
        self._span = span
        self._scope = scope
        self._send = send
        self._route_of = route_of
        self._ended = False

    async def run(self, app: App, receive: Receive) -> None:
        try:
            with use_span(self._span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
                await app(self._scope, receive, self._observe)
        except BaseException as error:
            with Guard("recording a server error"):
                if self._span.is_recording():
                    self._span.set_attribute(semconv.ERROR_TYPE, error_type(error))
                    self._span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            self._end()

    async def _observe(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            with Guard("recording a status"):
                self._record_status(int(message["status"]))
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._end()

    def _record_status(self, status: int) -> None:
        self._span.set_attribute(semconv.HTTP_RESPONSE_STATUS_CODE, status)
        if status >= _FIRST_SERVER_ERROR:
            self._span.set_attribute(semconv.ERROR_TYPE, str(status))
            self._span.set_status(Status(StatusCode.ERROR))

    def _end(self) -> None:
        """End the span once: with the last byte of the body, or when the application gives up."""
        if self._ended:
            return
        self._ended = True
        with Guard("naming a server span"):
            if self._span.is_recording() and (route := self._route_of(self._scope)):
                self._span.update_name(f"{_verb(self._scope)} {route}")
                self._span.set_attribute(semconv.HTTP_ROUTE, route)
        with Guard("ending a server span"):
            self._span.end()


def _has_server_span() -> bool:
    span = trace.get_current_span()
    return span.is_recording() and getattr(span, "kind", None) is SpanKind.SERVER


def _method(scope: Scope) -> str:
    method = str(scope.get("method", ""))
    return method if method in _METHODS else _OTHER


def _verb(scope: Scope) -> str:
    """Return what a span's name begins with: the method, or `HTTP` for one that is none."""
    method = _method(scope)
    return "HTTP" if method == _OTHER else method


def _of_request(scope: Scope) -> Iterable[tuple[str, AttributeValue]]:
    yield semconv.HTTP_REQUEST_METHOD, _method(scope)
    yield semconv.URL_SCHEME, str(scope.get("scheme", "http"))
    yield semconv.NETWORK_PROTOCOL_VERSION, str(scope.get("http_version", "1.1"))
    if server := scope.get("server"):
        yield semconv.SERVER_ADDRESS, str(server[0])
        if server[1] is not None:
            yield semconv.SERVER_PORT, int(server[1])
