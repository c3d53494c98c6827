"""FastAPI through the middleware: which spans, with which parents, and nothing left behind."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceState
from opentelemetry.util.types import Attributes
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

import spanward
from spanward import semconv
from spanward.testing import CapturedSpans, capture_spans
from spanward_integrations.asgi import SpanwardMiddleware
from spanward_integrations.fastapi import instrument_fastapi, uninstrument_fastapi

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@spanward.inference(model="m")
def model(text: str) -> dict[str, object]:
    """Stand in for a model."""
    return {"label": text, "score": 0.5}


def waits(app: FastAPI) -> list[float]:
    """Return how long the model calls of six requests at once waited for one of two threads, each of which takes 0.2 s."""

    async def ask() -> None:
        limiter = current_default_thread_limiter()
        limiter.total_tokens = 2
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            await asyncio.gather(*(client.get("/slow") for _ in range(6)))

    with capture_spans() as captured:
        asyncio.run(ask())
    told = [span.attributes or {} for span in captured.finished if semconv.MODEL_NAME in (span.attributes or {})]
    assert len(told) == 6
    return sorted(float(str(one.get(semconv.RUNTIME_WAIT_S, 0.0))) for one in told)


def slow() -> dict[str, object]:
    """Take a while before the model is called."""
    time.sleep(0.2)
    return model("a")


def slow_application(where: str) -> FastAPI:
    """Return an application that does so in its endpoint or in what that depends on, not instrumented yet."""
    app = FastAPI()
    if where == "endpoint":
        app.add_api_route("/slow", slow)
    else:

        @app.get("/slow")
        async def depending(answer: Annotated[dict[str, object], Depends(slow)]) -> dict[str, object]:
            return answer

    return app


@pytest.mark.parametrize("where", ["endpoint", "dependency"])
def test_a_model_call_tells_how_long_its_endpoint_waited_for_a_thread(where: str) -> None:
    """Two run at once: the last two wait for two others of 0.2 s, and what an endpoint does itself is no wait."""
    app = slow_application(where)
    instrument_fastapi(app)
    try:
        found = waits(app)
    finally:
        uninstrument_fastapi(app)

    assert found[-1] >= 0.35
    assert found[0] < 0.2


def test_waits_are_measured_no_longer_than_an_application_is_instrumented() -> None:
    """What was put into FastAPI is taken out with the last application; in a process where there are no others."""
    program = (
        "from fastapi import FastAPI, routing\n"
        "from spanward_integrations.fastapi import instrument_fastapi, uninstrument_fastapi\n"
        "before, first, second = routing.run_in_threadpool, FastAPI(), FastAPI()\n"
        "instrument_fastapi(first), instrument_fastapi(second), uninstrument_fastapi(first)\n"
        "assert routing.run_in_threadpool is not before\n"
        "uninstrument_fastapi(second)\n"
        "assert routing.run_in_threadpool is before\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def answers(app: FastAPI) -> None:
    """Add endpoints that answer at once."""

    @app.get("/sync/{name}")
    def sync(name: str) -> dict[str, object]:
        return model(name)

    @app.get("/async/{name}")
    async def coroutine(name: str) -> dict[str, object]:
        return model(name)

    @app.get("/background")
    def background(tasks: BackgroundTasks) -> int:
        tasks.add_task(model, "after")
        return 1

    @app.websocket("/socket")
    async def socket(connection: WebSocket) -> None:
        await connection.accept()
        await connection.send_text("hello")
        await connection.close()


def streams(app: FastAPI) -> None:
    """Add endpoints whose answers come in pieces."""

    @app.get("/stream")
    def stream() -> StreamingResponse:
        def chunks() -> Iterator[str]:
            for number in range(5):
                yield str(number)
            model("late")

        return StreamingResponse(chunks())

    @app.get("/streamed-by-coroutine")
    async def streamed() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            for number in range(20):
                yield str(model(str(number))["label"])

        return StreamingResponse(chunks())

    @app.get("/broken-stream")
    def broken() -> StreamingResponse:
        def chunks() -> Iterator[str]:
            yield "first"
            raise ValueError("secret")

        return StreamingResponse(chunks())


def failures(app: FastAPI) -> None:
    """Add endpoints that raise, before their answer and behind it, and a handler of one kind of error."""

    @app.get("/error")
    def error() -> None:
        raise ValueError("secret")

    @app.get("/handled")
    def handled() -> None:
        raise LookupError("secret")

    @app.exception_handler(LookupError)
    def answer(request: Request, error: LookupError) -> PlainTextResponse:
        model("while handling")
        return PlainTextResponse(str(error), status_code=503)

    @app.get("/failing-background")
    def failing_background(tasks: BackgroundTasks) -> int:
        def fail() -> None:
            raise ValueError("secret")

        tasks.add_task(fail)
        return 1


def nested(app: FastAPI) -> None:
    """Add a router under a prefix, and another application in two places."""
    mounted = FastAPI()
    versions = APIRouter(prefix="/v1")

    @versions.get("/items/{name}")
    def item(name: str) -> str:
        return name

    app.include_router(versions, prefix="/api")

    @mounted.get("/inner/{name}")
    def inner(name: str) -> int:
        return len(name)

    app.mount("/mounted", mounted)
    app.mount("/tenants/{tenant}", mounted)


def application() -> FastAPI:
    """Return an application with every kind of endpoint, not instrumented yet."""
    app = FastAPI()
    for add in (answers, streams, failures, nested):
        add(app)
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


def test_every_model_call_of_a_stream_is_a_child_and_no_chunk_is(client: TestClient, spans: CapturedSpans) -> None:
    """Twenty chunks that each ask the model are twenty-one spans."""
    client.get("/streamed-by-coroutine")

    server, children = server_and_models(spans)
    assert [child.name for child in children] == ["inference m"] * 20
    assert {child.parent and child.parent.span_id for child in children} == {identity(server).span_id}


def test_a_stream_that_breaks_is_an_error(client: TestClient, spans: CapturedSpans) -> None:
    """The status was sent before, so the exception is what marks the span."""
    client.get("/broken-stream")

    server, _ = server_and_models(spans)
    assert server.status.status_code is StatusCode.ERROR
    assert (server.attributes or {})[semconv.ERROR_TYPE] == "ValueError"
    assert (server.attributes or {})[semconv.HTTP_RESPONSE_STATUS_CODE] == 200


def test_what_an_exception_handler_answers_counts(client: TestClient, spans: CapturedSpans) -> None:
    """A handled exception is the response it became, and a model asked by the handler is a child."""
    assert client.get("/handled").text == "secret"

    server, (child,) = server_and_models(spans)
    assert (server.attributes or {})[semconv.HTTP_RESPONSE_STATUS_CODE] == 503
    assert (server.attributes or {})[semconv.ERROR_TYPE] == "503"
    assert server.status.description is None
    assert child.parent is not None
    assert child.parent.span_id == identity(server).span_id


def test_a_failing_background_task_does_not_change_the_response_that_was_sent(
    client: TestClient, spans: CapturedSpans
) -> None:
    """The span ended with the last byte; what comes later is not the request's fault, and makes no noise."""
    assert client.get("/failing-background").json() == 1

    server, _ = server_and_models(spans)
    assert server.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/v1/items/secret", "/api/v1/items/{name}"),
        ("/mounted/inner/secret", "/mounted/inner/{name}"),
        ("/tenants/secret/inner/secret", "/tenants/{tenant}/inner/{name}"),
        ("/tenants/secret/unknown", "/tenants/{tenant}"),
        ("/docs", "/docs"),
    ],
)
def test_routes_are_whole_templates(client: TestClient, spans: CapturedSpans, path: str, route: str) -> None:
    """Prefixes of included routers and of mounts are part of the route, and none of what was sent is."""
    client.get(path)

    server, _ = server_and_models(spans)
    assert server.name == f"GET {route}"
    assert (server.attributes or {})[semconv.HTTP_ROUTE] == route


def test_a_mounted_application_may_be_instrumented_too(spans: CapturedSpans) -> None:
    """Instrumented outside and inside, a request is still one server span."""
    app, mounted = FastAPI(), FastAPI()
    mounted.add_api_route("/inner", lambda: 1)
    app.mount("/mounted", mounted)
    instrument_fastapi(app)
    instrument_fastapi(mounted)

    TestClient(app).get("/mounted/inner")

    server, others = server_and_models(spans)
    assert server.name == "GET /mounted/inner"
    assert others == []


def scopes(spans: CapturedSpans) -> set[str]:
    """Return which instrumentations made spans."""
    return {span.instrumentation_scope.name for span in spans.finished if span.instrumentation_scope}


def test_fastapis_own_spans_stay_off_while_instrumented_and_come_back(spans: CapturedSpans) -> None:
    """FastAPI traces by itself before and after, and not in between; its switch is as the user left it."""
    pytest.importorskip("fastapi.telemetry", reason="FastAPI traces by itself since 0.165")
    app = FastAPI()
    app.add_api_route("/", lambda: 1)
    seen: list[set[str]] = []
    for step in (None, instrument_fastapi, uninstrument_fastapi):
        if step:
            step(app)
        with capture_spans() as captured:
            TestClient(app).get("/")
            seen.append(scopes(captured))

    assert seen == [{"fastapi"}, {"spanward.asgi"}, {"fastapi"}]


def test_native_tracing_that_a_user_switched_off_stays_off(spans: CapturedSpans) -> None:
    """Undoing restores the user's choice, not the framework's default."""
    pytest.importorskip("fastapi.telemetry", reason="FastAPI traces by itself since 0.165")
    app = FastAPI(telemetry={"tracing": False})
    app.add_api_route("/", lambda: 1)
    instrument_fastapi(app)
    uninstrument_fastapi(app)

    TestClient(app).get("/")

    assert spans.finished == ()


def test_the_middleware_serves_any_asgi_application(spans: CapturedSpans) -> None:
    """It is plain ASGI: no framework is needed to name method and status."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    TestClient(SpanwardMiddleware(app)).get("/secret")

    server, _ = server_and_models(spans)
    assert server.name == "GET"
    assert "secret" not in str(server.attributes)


def test_a_client_that_goes_away_ends_the_span(spans: CapturedSpans) -> None:
    """An application that gives up without a last byte leaves no span open."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    async def drop(message: Message) -> None:
        del message

    asyncio.run(SpanwardMiddleware(app)({"type": "http", "method": "GET"}, nothing, drop))

    server, _ = server_and_models(spans)
    assert server.end_time is not None


def test_messages_pass_as_they_are(spans: CapturedSpans) -> None:
    """Nothing is buffered, changed or read: the same objects arrive in the same order."""
    sent: list[Message] = [
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": b"1", "more_body": True},
        {"type": "http.response.body", "body": b"2"},
    ]
    got: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert receive is nothing
        for message in sent:
            await send(message)
            assert got[-1] is message

    async def nothing() -> Message:
        raise AssertionError("read")

    async def keep(message: Message) -> None:
        got.append(message)

    asyncio.run(SpanwardMiddleware(app)({"type": "http", "method": "GET"}, nothing, keep))

    assert len(got) == 3


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


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_beside_the_official_instrumentor_a_request_is_one_server_span(first: str) -> None:
    """Whichever is put in first, theirs is the only one, and model calls are below it; once theirs is gone it is ours."""
    pytest.importorskip("opentelemetry.instrumentation.fastapi", reason="CI has a step that installs it")
    program = (
        "import sys\n"
        "from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor\n"
        "from test_fastapi import application, capture_spans, instrument_fastapi, server_and_models, TestClient\n"
        "with capture_spans() as spans:\n"
        "    app = application()\n"
        "    for who in (sys.argv[1], 'theirs' if sys.argv[1] == 'ours' else 'ours'):\n"
        "        instrument_fastapi(app) if who == 'ours' else FastAPIInstrumentor.instrument_app(app)\n"
        "    TestClient(app).get('/async/x')\n"
        "    server, below = server_and_models(spans)\n"
        "    models = [span for span in below if span.name == 'inference m']\n"
        "    print(server.instrumentation_scope.name, len(models), models[0].parent.trace_id == server.context.trace_id)\n"
        "FastAPIInstrumentor.uninstrument_app(app)\n"
        "with capture_spans() as spans:\n"
        "    TestClient(app).get('/async/x')\n"
        "    server, below = server_and_models(spans)\n"
        "    print(server.instrumentation_scope.name, len(below))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, first],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout.splitlines() == ["opentelemetry.instrumentation.fastapi 1 True", "spanward.asgi 1"], done.stderr


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


def test_opentelemetry_instrument_needs_no_change_of_code() -> None:
    """Under OpenTelemetry's own command every application of a program is instrumented."""
    program = "from fastapi import FastAPI; print([entry.cls.__name__ for entry in FastAPI().user_middleware])"
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    done = subprocess.run([command, sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "['FastAPIMiddleware']", done.stderr


class LookingSampler(Sampler):
    """A sampler that decides by what it is told of a request, and keeps that."""

    def __init__(self) -> None:
        self.seen: list[Attributes] = []

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Keep the attributes and drop the span."""
        self.seen.append(attributes)
        return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        """Return its name."""
        return "looks"


def test_a_sampler_that_looks_at_requests_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes are told at the end only where the sampler is one that ignores them."""
    sampler = LookingSampler()
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    app = application()
    instrument_fastapi(app)

    assert TestClient(app).get("/sync/x").status_code == 200
    assert (sampler.seen[0] or {})[semconv.HTTP_REQUEST_METHOD] == "GET"
    assert (sampler.seen[0] or {})[semconv.URL_SCHEME] == "http"


def test_what_another_instrumentation_drops_is_not_sampled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was not sampled is no reason to ask the sampler a second time: more would be kept than was asked for."""
    sampler = LookingSampler()
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    app = application()
    instrument_fastapi(app)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        with provider.get_tracer("other").start_as_current_span("theirs", kind=SpanKind.SERVER):
            await app(scope, receive, send)

    assert TestClient(outer).get("/sync/x").status_code == 200
    assert [seen for seen in sampler.seen if seen and semconv.HTTP_REQUEST_METHOD in seen] == []
