"""What model calls are told of the request that an ASGI application serves: channel, slices, and who asks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from opentelemetry import baggage, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import SpanKind
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

import spanward
from spanward import semconv
from spanward.request import AUTHENTICATED, CLAIMED
from spanward.testing import CapturedSpans, capture_spans
from spanward_integrations.fastapi import FastAPIInstrumentor, instrument_fastapi
from spanward_integrations.origin import Origin

NAME = "CN=alice,O=customers"
TENANT = semconv.DIMENSION_PREFIX + "tenant"


@spanward.inference("m")
def model(text: str) -> dict[str, object]:
    """Stand in for a model."""
    return {"label": text, "score": 0.5}


def application() -> FastAPI:
    """Return an application that asks the model in an endpoint, in a thread, and in a websocket; not instrumented yet."""
    app = FastAPI()

    @app.get("/ask/{tenant}")
    async def ask(tenant: str) -> dict[str, object]:
        return model("a")

    @app.get("/thread")
    def ask_in_thread() -> dict[str, object]:
        return model("a")

    @app.get("/baggage")
    def carried() -> dict[str, object]:
        return dict(baggage.get_all())

    @app.websocket("/socket")
    async def socket(connection: WebSocket) -> None:
        await connection.accept()
        await connection.send_json(model("a"))
        await connection.close()

    return app


def over_tls(app: FastAPI, **told: object) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return an application behind a server that tells of TLS, as ASGI's extension has it."""

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": {"tls": told}}, receive, send)

    return server


class Header(AuthenticationBackend):
    """Takes the user's name from a header, as one that has been verified."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Return the user."""
        return AuthCredentials(["authenticated"]), SimpleUser(conn.headers["x-user"])


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    """Spans that end inside the test."""
    with capture_spans() as captured:
        spanward.configure(hashing_key=b"0123456789abcdef")
        yield captured


def told(spans: CapturedSpans) -> dict[str, Any]:
    """Return the attributes of the only model call."""
    (found,) = (span for span in spans.finished if semconv.MODEL_NAME in (span.attributes or {}))
    return dict(found.attributes or {})


def pseudonym(client: str) -> str:
    """Return what leaves of a client's name."""
    with capture_spans() as captured, spanward.request_context(client=client):
        model("a")
    return str(told(captured)[semconv.CLIENT_ID])


@pytest.mark.parametrize("path", ["/ask/a", "/thread"])
def test_a_verified_certificate_names_the_client(spans: CapturedSpans, path: str) -> None:
    """Where the server verified the client's certificate its name is the client's, and only a keyed hash of it leaves."""
    app = application()
    instrument_fastapi(app)
    TestClient(over_tls(app, client_cert_name=NAME, client_cert_error=None)).get(path)

    found = told(spans)
    assert found[semconv.CLIENT_TRUST] == AUTHENTICATED
    assert found[semconv.CLIENT_ID] == pseudonym(NAME)
    assert b"alice" not in encode_spans(spans.finished).SerializeToString()


@pytest.mark.parametrize(
    "tls",
    [{"client_cert_name": NAME, "client_cert_error": "expired"}, {"client_cert_name": None, "client_cert_error": None}],
)
def test_a_certificate_that_is_not_verified_names_nobody(spans: CapturedSpans, tls: dict[str, object]) -> None:
    """A name that the server could not verify, or none, says nothing of the client."""
    app = application()
    instrument_fastapi(app)
    TestClient(over_tls(app, **tls)).get("/ask/a")

    assert semconv.CLIENT_ID not in told(spans)


def test_without_tls_nothing_is_said(spans: CapturedSpans) -> None:
    """A plain request has no client: an address is no identity."""
    app = application()
    instrument_fastapi(app)
    TestClient(app).get("/ask/a")

    assert not {semconv.CLIENT_ID, semconv.CLIENT_TRUST, semconv.CHANNEL} & told(spans).keys()


def test_the_applications_own_authentication_names_the_client(spans: CapturedSpans) -> None:
    """Functions are asked when the model is: by then a middleware further in has verified the user."""
    app = application()
    app.add_middleware(AuthenticationMiddleware, backend=Header())
    instrument_fastapi(app, Origin(client=lambda scope: scope["user"].display_name, trust=AUTHENTICATED))
    TestClient(app).get("/ask/a", headers={"x-user": "bob"})

    found = told(spans)
    assert (found[semconv.CLIENT_ID], found[semconv.CLIENT_TRUST]) == (pseudonym("bob"), AUTHENTICATED)


def test_channel_and_dimensions_come_from_the_scope(spans: CapturedSpans) -> None:
    """Constants and functions of the scope, which holds the path's parameters once the router has found them."""
    origin = Origin(
        channel="api", client="batch", dimensions=lambda scope: {"tenant": scope["path_params"].get("tenant", "")}
    )
    app = application()
    instrument_fastapi(app, origin)
    TestClient(app).get("/ask/blue")

    found = told(spans)
    assert (found[semconv.CHANNEL], found[TENANT], found[semconv.CLIENT_TRUST]) == ("api", "blue", CLAIMED)


def test_a_gateway_may_have_counted_tokens(spans: CapturedSpans) -> None:
    """A function of the scope reads what was counted before the application, as out of a header."""

    def counted(scope: MutableMapping[str, Any]) -> spanward.Tokens | None:
        headers = dict(scope["headers"])
        return spanward.Tokens(input=int(headers[b"x-tokens"])) if b"x-tokens" in headers else None

    app = application()
    instrument_fastapi(app, Origin(tokens=counted))
    TestClient(app).get("/ask/a", headers={"x-tokens": "7"})

    assert told(spans)[semconv.GEN_AI_USAGE_INPUT_TOKENS] == 7


def test_what_the_endpoint_says_wins(spans: CapturedSpans) -> None:
    """A request context inside the endpoint adds to what the middleware said."""
    app = application()

    @app.get("/own")
    async def own(request: Request) -> dict[str, object]:
        with spanward.request_context(client="carol", trust=AUTHENTICATED):
            return model("a")

    instrument_fastapi(app, Origin(channel="api", client="batch"))
    TestClient(app).get("/own")

    found = told(spans)
    assert (found[semconv.CHANNEL], found[semconv.CLIENT_ID]) == ("api", pseudonym("carol"))


def test_a_function_that_fails_costs_what_it_would_say(spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is answered, and the rest is told."""
    monkeypatch.setenv("SPANWARD_ERRORS", "log")
    app = application()
    instrument_fastapi(app, Origin(channel="api", client=lambda scope: scope["nobody"]))

    assert TestClient(app).get("/ask/a").status_code == 200
    assert told(spans)[semconv.CHANNEL] == "api"
    assert semconv.CLIENT_ID not in told(spans)


def test_it_is_told_beside_another_instrumentation(spans: CapturedSpans) -> None:
    """Where another one opened the server span, ours adds no second span and says where the request comes from."""
    app = application()
    instrument_fastapi(app, Origin(channel="api"))

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        with trace.get_tracer("other").start_as_current_span("theirs", kind=SpanKind.SERVER):
            await app(scope, receive, send)

    TestClient(outer).get("/ask/a")

    assert [span.name for span in spans.finished if span.kind is SpanKind.SERVER] == ["theirs"]
    assert told(spans)[semconv.CHANNEL] == "api"


def test_calls_in_a_websocket_are_told(spans: CapturedSpans) -> None:
    """A websocket makes no span; model calls in it know where it comes from."""
    app = application()
    instrument_fastapi(app, Origin(channel="chat"))
    with TestClient(app).websocket_connect("/socket") as socket:
        socket.receive_json()

    assert told(spans)[semconv.CHANNEL] == "chat"


def test_what_passes_before_a_thread_is_asked_for_is_no_wait(spans: CapturedSpans) -> None:
    """A coroutine that did something else first did not wait for its worker thread meanwhile."""
    app = application()

    @app.get("/later")
    async def later() -> dict[str, object]:
        await asyncio.sleep(0.02)
        return await asyncio.to_thread(model, "a")

    instrument_fastapi(app, Origin(channel="api"))
    TestClient(app).get("/later")

    assert semconv.RUNTIME_WAIT_S not in told(spans)


def test_afterwards_nothing_is_left(spans: CapturedSpans) -> None:
    """What was said of a request holds inside of it only."""
    app = application()
    instrument_fastapi(app, Origin(channel="api"))
    TestClient(app).get("/ask/a")

    assert spanward.current_request() is None


def test_the_instrumentor_takes_an_origin(spans: CapturedSpans) -> None:
    """Applications that are made later say the same of their requests."""
    FastAPIInstrumentor().instrument(origin=Origin(channel="api"))
    try:
        TestClient(application()).get("/ask/a")
    finally:
        FastAPIInstrumentor().uninstrument()

    assert told(spans)[semconv.CHANNEL] == "api"


def test_the_callers_baggage_reaches_the_application(spans: CapturedSpans) -> None:
    """W3C baggage of the request is in the context of what runs inside."""
    app = application()
    instrument_fastapi(app)

    assert TestClient(app).get("/baggage", headers={"baggage": "tenant=blue"}).json() == {"tenant": "blue"}
