"""FastAPI through the middleware: which spans, with which parents, and nothing left behind."""

from collections.abc import Iterator

import pytest
from fastapi import BackgroundTasks, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

import spanward
from spanward import semconv
from spanward.testing import CapturedSpans, capture_spans
from spanward_integrations.fastapi import instrument_fastapi, uninstrument_fastapi

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@spanward.inference(model="m")
def model(text: str) -> dict[str, object]:
    """Stand in for a model."""
    return {"label": text, "score": 0.5}


def application() -> FastAPI:
    """Return an application with every kind of endpoint, not instrumented yet."""
    app, mounted = FastAPI(), FastAPI()

    @app.get("/sync/{name}")
    def sync(name: str) -> dict[str, object]:
        return model(name)

    @app.get("/async/{name}")
    async def coroutine(name: str) -> dict[str, object]:
        return model(name)

    @app.get("/stream")
    def stream() -> StreamingResponse:
        def chunks() -> Iterator[str]:
            for number in range(5):
                yield str(number)
            model("late")

        return StreamingResponse(chunks())

    @app.get("/background")
    def background(tasks: BackgroundTasks) -> int:
        tasks.add_task(model, "after")
        return 1

    @app.get("/error")
    def error() -> None:
        raise ValueError("secret")

    @app.websocket("/socket")
    async def socket(connection: WebSocket) -> None:
        await connection.accept()
        await connection.send_text("hello")
        await connection.close()

    @mounted.get("/inner/{name}")
    def inner(name: str) -> int:
        return len(name)

    app.mount("/mounted", mounted)
    return app


@pytest.fixture
def client() -> TestClient:
    """A client of the instrumented application."""
    app = application()
    instrument_fastapi(app)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    """Spans that end inside the test."""
    with capture_spans() as captured:
        spanward.configure(hashing_key=b"0123456789abcdef")
        yield captured


def server_and_models(spans: CapturedSpans) -> tuple[ReadableSpan, list[ReadableSpan]]:
    """Return the one server span and the model spans."""
    (server,) = (span for span in spans.finished if span.kind is SpanKind.SERVER)
    return server, [span for span in spans.finished if span is not server]


def identity(span: ReadableSpan) -> SpanContext:
    """Return the ids of a span."""
    found = span.get_span_context()
    assert found is not None
    return found


@pytest.mark.parametrize("path", ["sync", "async"])
def test_one_server_span_with_one_child_per_model_call(client: TestClient, spans: CapturedSpans, path: str) -> None:
    """A request is a server span named by its route, and the model call is its child, in a thread pool too."""
    client.get(f"/{path}/x")

    server, (child,) = server_and_models(spans)
    assert server.name == f"GET /{path}/{{name}}"
    assert dict(server.attributes or {}) == {
        semconv.HTTP_REQUEST_METHOD: "GET",
        semconv.HTTP_ROUTE: f"/{path}/{{name}}",
        semconv.HTTP_RESPONSE_STATUS_CODE: 200,
        semconv.URL_SCHEME: "http",
        semconv.NETWORK_PROTOCOL_VERSION: "1.1",
        semconv.SERVER_ADDRESS: "testserver",
        semconv.SERVER_PORT: 80,
    }
    assert child.parent is not None
    assert child.parent.span_id == identity(server).span_id


def test_a_stream_is_one_span_to_its_last_byte(client: TestClient, spans: CapturedSpans) -> None:
    """Five chunks make no five spans, and what the stream does last is still inside."""
    assert client.get("/stream").text == "01234"

    server, (child,) = server_and_models(spans)
    assert (server.end_time or 0) >= (child.end_time or 0)
    assert server.name == "GET /stream"


def test_a_background_task_keeps_its_request_as_parent(client: TestClient, spans: CapturedSpans) -> None:
    """What runs after the response belongs to the same trace."""
    client.get("/background")

    server, (child,) = server_and_models(spans)
    assert identity(child).trace_id == identity(server).trace_id


def test_an_exception_marks_the_span_and_is_answered_by_the_framework(client: TestClient, spans: CapturedSpans) -> None:
    """The span says the class of the exception, never its message; the client gets the usual 500."""
    assert client.get("/error").status_code == 500

    server, _ = server_and_models(spans)
    assert server.status.status_code is StatusCode.ERROR
    assert (server.attributes or {})[semconv.ERROR_TYPE] == "ValueError"
    assert list(server.events) == []


def test_an_unknown_path_is_no_error_and_has_no_route(client: TestClient, spans: CapturedSpans) -> None:
    """A 404 is the client's affair; the raw path would be content and unbounded."""
    client.get("/no/such/path")

    server, _ = server_and_models(spans)
    assert server.name == "GET"
    assert server.status.status_code is StatusCode.UNSET
    assert semconv.HTTP_ROUTE not in (server.attributes or {})


def test_a_mounted_application_makes_no_second_server_span(client: TestClient, spans: CapturedSpans) -> None:
    """FastAPI inside FastAPI is still one request."""
    assert client.get("/mounted/inner/abc").json() == 3

    server, others = server_and_models(spans)
    assert server.name == "GET /mounted/inner/{name}"
    assert others == []


def test_the_callers_trace_goes_on(client: TestClient, spans: CapturedSpans) -> None:
    """W3C context of the request is the server span's parent."""
    client.get("/sync/x", headers={"traceparent": TRACEPARENT})

    server, _ = server_and_models(spans)
    assert server.parent is not None
    assert f"{server.parent.trace_id:032x}" == TRACEPARENT.split("-")[1]


def test_websockets_pass_untouched(client: TestClient, spans: CapturedSpans) -> None:
    """A websocket works and makes no span."""
    with client.websocket_connect("/socket") as socket:
        assert socket.receive_text() == "hello"

    assert spans.finished == ()


def test_an_existing_server_span_is_not_doubled(spans: CapturedSpans) -> None:
    """Where another instrumentation opened a server span already, ours adds none."""
    app = application()
    instrument_fastapi(app)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        with trace.get_tracer("other").start_as_current_span("theirs", kind=SpanKind.SERVER):
            await app(scope, receive, send)

    TestClient(outer).get("/sync/x")

    server, children = server_and_models(spans)
    assert server.name == "theirs"
    assert len(children) == 1


def test_instrumenting_a_running_application_takes_effect(spans: CapturedSpans) -> None:
    """Starlette builds its middleware at the first request; a later change is honoured both ways."""
    app = application()
    client = TestClient(app)
    client.get("/sync/x")
    before = [span.instrumentation_scope.name for span in spans.finished if span.instrumentation_scope]
    instrument_fastapi(app)
    client.get("/sync/x")
    names = [span.instrumentation_scope.name for span in spans.finished if span.instrumentation_scope]
    uninstrument_fastapi(app)

    assert "spanward.asgi" not in before
    assert names.count("spanward.asgi") == 1
