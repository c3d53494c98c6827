"""One server span per HTTP request, as pure ASGI: nothing is buffered, and no span is made per message.

Source: OpenTelemetry semantic conventions for HTTP servers (stable); ASGI 3.0.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import Token
from functools import lru_cache
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, TracerProvider

from spanward import semconv
from spanward._guard import Guard
from spanward.failure import FAILURE, error_type
from spanward.items import Attributes
from spanward.tracing import SPAN, Tracing, detach, tracing_of
from spanward_integrations.origin import TRANSPORT, Message, Origin, Scope

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OTHER: Final = "_OTHER"
_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
_FIRST_SERVER_ERROR: Final = 500

_starting: Final = Guard("starting a server span")
_naming: Final = Guard("naming a server span")
_ending: Final = Guard("ending a server span")


Headers = Sequence[tuple[bytes, bytes]]
"""Names and values of a request's headers, as ASGI has them."""


class _Reader(Getter[Headers]):
    """Reads W3C context out of headers; so few are asked for that looking through all of them is less than sorting them first."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        asked = _header_called(key)
        size, found = len(asked), None
        for name, value in carrier:  # mostly there is none, and a list that stays empty costs as much as the loop
            if len(name) == size and name.lower() == asked:
                found = [*(found or ()), value.decode("latin-1")]
        return found

    def keys(self, carrier: Headers) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_READER: Final = _Reader()


@lru_cache(maxsize=64)  # propagators ask for the same few in each request
def _header_called(key: str) -> bytes:
    return key.lower().encode("latin-1")


class SpanwardMiddleware:
    """Open a server span for each HTTP request; websockets and lifespan pass untouched.

    When another instrumentation has already opened a server span for the request, no second one is made. Model calls inside are
    told where the request comes from in either case, and in a websocket too.

    Args:
        app: The ASGI application.
        origin: Says where requests come from; by default who the transport has authenticated, where it has.
    """

    def __init__(self, app: App, origin: Origin = TRANSPORT) -> None:
        self.app = app
        self._origin = origin
        self._provider: TracerProvider | None = None
        self._tracing: Tracing | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        self.prepare(scope)
        told = self._origin.tell(scope)
        exchange = None
        if scope["type"] == "http" and not _has_server_span():
            exchange = self._begin(scope, send)
            send = exchange.send
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            if exchange is not None:
                exchange.fail(error)
            raise
        finally:
            if exchange is not None:
                exchange.leave()
            if told is not None:
                detach(told)

    def prepare(self, scope: Scope) -> None:
        """Note in a scope what the framework must know; nothing where it needs to know nothing."""

    def route_of(self, scope: Scope) -> str | None:
        """Return the route's template as the router noted it in the scope; never the path, which names content."""
        path = getattr(scope.get("route"), "path", None)
        return None if path is None else str(path)

    def _begin(self, scope: Scope, send: Send) -> "_Exchange":
        """Start the span; what no sampler looks at is told at the end, all at once, since each time is a lock."""
        facts: Attributes = {}
        verb, remote = "HTTP", Context()
        span: Span = trace.INVALID_SPAN
        try:
            tracing = self._tracing_now()
            method = _method(scope)
            verb = "HTTP" if method == _OTHER else method
            facts = _of_request(scope, method)
            remote = propagate.extract(scope.get("headers", ()), getter=_READER)
            span = tracing.tracer.start_span(verb, remote, SpanKind.SERVER, facts if tracing.at_start else None)
        except Exception as error:  # noqa: BLE001 - a sampler, processor or propagator of the user's may raise
            _starting.swallow(error)
        token = attach(Context({**get_current(), **remote, SPAN: span}))  # with the baggage that came
        return _Exchange(span, verb, scope, send, self.route_of, facts, token)

    def _tracing_now(self) -> Tracing:
        """Return how spans of the global provider are started; it may be set after the application is made."""
        provider = trace.get_tracer_provider()
        if self._tracing is None or provider is not self._provider:
            self._tracing, self._provider = tracing_of(provider, "spanward.asgi"), provider
        return self._tracing


class _Exchange:
    """One request and its response.

    Args:
        span: Its span.
        verb: What the span's name begins with.
        scope: Its scope.
        send: Sends the response.
        route_of: Returns the template of its route.
        facts: What is told of it.
        token: Of the context that was attached for it.
    """

    _failed = False
    _ended = False

    def __init__(
        self,
        span: Span,
        verb: str,
        scope: Scope,
        send: Send,
        route_of: Callable[[Scope], str | None],
        facts: Attributes,
        token: Token[Context],
    ) -> None:
        self._span = span
        self._verb = verb
        self._scope = scope
        self._send = send
        self._route_of = route_of
        self._facts = facts
        self._token = token

    async def send(self, message: Message) -> None:
        """Send a message of the application's on."""
        kind = message["type"]
        if kind == "http.response.start":
            status = self._facts[semconv.HTTP_RESPONSE_STATUS_CODE] = int(message["status"])
            if status >= _FIRST_SERVER_ERROR:
                self._facts[semconv.ERROR_TYPE] = str(status)
                self._failed = True
        await self._send(message)
        if kind == "http.response.body" and not message.get("more_body", False):
            self._end()

    def fail(self, error: BaseException) -> None:
        """Note what the application raised."""
        self._facts[semconv.ERROR_TYPE] = error_type(error)
        self._failed = True

    def leave(self) -> None:
        """End what has not ended yet, as where the application gives up."""
        detach(self._token)
        self._end()

    def _end(self) -> None:
        """End the span once: with the last byte of the body, or when the application gives up."""
        if self._ended:
            return
        self._ended = True
        span = self._span
        try:
            if span.is_recording():
                self._tell(span)
        except Exception as error:  # noqa: BLE001 - routes may be of any class
            _naming.swallow(error)
        try:
            span.end()
        except Exception as error:  # noqa: BLE001 - a processor of the user's may raise
            _ending.swallow(error)

    def _tell(self, span: Span) -> None:
        if self._failed:
            span.set_status(FAILURE)
        try:
            if route := self._route_of(self._scope):
                span.update_name(f"{self._verb} {route}")
                self._facts[semconv.HTTP_ROUTE] = route
        finally:
            span.set_attributes(self._facts)


def _has_server_span() -> bool:
    """Return whether a server span was opened for this request; one that was not sampled does not tell its kind, but is no caller's."""
    span = trace.get_current_span()
    if span is trace.INVALID_SPAN:  # nearly always
        return False
    if span.is_recording():
        return getattr(span, "kind", None) is SpanKind.SERVER
    context = span.get_span_context()
    return context.is_valid and not context.is_remote


def _method(scope: Scope) -> str:
    method = str(scope.get("method", ""))
    return method if method in _METHODS else _OTHER


def _of_request(scope: Scope, method: str) -> Attributes:
    facts: Attributes = {
        semconv.HTTP_REQUEST_METHOD: method,
        semconv.URL_SCHEME: str(scope.get("scheme", "http")),
        semconv.NETWORK_PROTOCOL_VERSION: str(scope.get("http_version", "1.1")),
    }
    if server := scope.get("server"):
        facts[semconv.SERVER_ADDRESS] = str(server[0])
        if server[1] is not None:
            facts[semconv.SERVER_PORT] = int(server[1])
    return facts
