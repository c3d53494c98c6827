"""Triton clients against a real server: what a span says, and when each form of call ends."""

import asyncio
import gc
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from queue import SimpleQueue
from typing import Any, Final

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

import instrumenting
import triton_running
from requiring import require_peer
from spans import eventually
from spanward import semconv
from spanward.testing import CapturedSpans, capture_spans
from spanward_integrations.triton import TritonInstrumentor
from triton_running import Server, inputs

pytestmark = [
    pytest.mark.triton,
    pytest.mark.filterwarnings("default"),  # gevent and grpc warn of their own use of older names
]

SERVER_ERROR: Final = "InferenceServerException"
WITHIN_S: Final = 30


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    """Instrument all clients for the time of a test."""
    require_peer("tritonclient", find_spec("tritonclient") is not None, "pip install 'spanward[triton]'")
    triton_running.require_server()
    with instrumenting.instrumented("triton"):
        yield


def client(transport: str, server: Server | None = None) -> Any:
    """Return a new client of the server, of the module `tritonclient.<transport>`."""
    server = server or triton_running.server()
    port = server.grpc_port if transport.startswith("grpc") else server.http_port
    return import_module(f"tritonclient.{transport}").InferenceServerClient(f"127.0.0.1:{port}")


def infer(transport: str, *rows: float) -> Any:
    """Ask once, with whichever of the four clients, and return the answer."""
    if not transport.endswith(".aio"):
        asked = client(transport)
        try:
            return asked.infer("router", inputs(transport, *rows))
        finally:
            asked.close()

    async def ask() -> Any:
        async with client(transport) as asked:
            return await asked.infer("router", inputs(transport.removesuffix(".aio"), *rows))

    return asyncio.run(ask())


def only(spans: CapturedSpans) -> ReadableSpan:
    """Return the one span there is, once it has ended."""
    assert eventually(lambda: bool(spans.finished)), "the span must end"
    (span,) = spans.finished
    return span


TRANSPORTS: Final = ("http", "grpc", "http.aio", "grpc.aio")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_call_is_one_client_span_with_the_version_that_answered(transport: str) -> None:
    """No version is asked for, and the span names the server's."""
    with capture_spans() as spans:
        assert infer(transport, 0.25).as_numpy("probabilities").tolist() == [[0.25, 0.75]]

    span = only(spans)
    facts = dict(span.attributes or {})
    assert span.kind is SpanKind.CLIENT
    assert facts[semconv.MODEL_NAME] == "router"
    assert facts[semconv.MODEL_VERSION] == "7"
    assert facts[semconv.MODEL_FRAMEWORK] == "triton"
    assert facts[semconv.FEATURES_COUNT] == 3
    assert span.status.status_code is StatusCode.UNSET


def test_every_transport_tells_the_same_hash_of_the_same_tensor() -> None:
    """What is hashed is the array, and not how it was carried."""
    with capture_spans() as spans:
        for transport in TRANSPORTS:
            infer(transport, 0.25)
        infer("http", 0.5)

    *same, other = [dict(span.attributes or {})[semconv.FEATURES_HASH] for span in spans.finished]
    assert len(set(same)) == 1
    assert other not in same


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_error_of_the_model_reaches_the_caller_and_marks_the_span(transport: str) -> None:
    """The message stays in the process."""
    with capture_spans() as spans, pytest.raises(Exception, match="secret"):
        infer(transport, -1)

    span = only(spans)
    assert str((span.attributes or {})[semconv.ERROR_TYPE]).endswith(SERVER_ERROR)
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("row", [0.25, -1])
def test_a_callback_gets_its_answer_after_the_one_span_ended(row: float) -> None:
    """The callback of `async_infer` over gRPC is called as it was, with result or error."""
    told: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
    with capture_spans() as spans:
        asked = client("grpc")
        asked.async_infer("router", inputs("grpc", row), lambda result, error: told.put((result, error)))
        result, error = told.get(timeout=WITHIN_S)
        span = only(spans)
        asked.close()

    assert (result is None) == (row < 0)
    assert (error is not None) == (row < 0) == (span.status.status_code is StatusCode.ERROR)


def test_a_cancelled_callback_call_ends_its_span_as_an_error() -> None:
    """The callback still gets the cancellation."""
    told: SimpleQueue[Any] = SimpleQueue()
    with capture_spans() as spans:
        asked = client("grpc")
        asked.async_infer("router", inputs("grpc", 0.25), lambda result, error: told.put(error)).cancel()
        error = told.get(timeout=WITHIN_S)
        span = only(spans)
        asked.close()

    assert error is not None
    assert span.status.status_code is StatusCode.ERROR


def test_a_cancelled_coroutine_ends_its_span_as_an_error() -> None:
    """The cancellation passes."""

    async def ask() -> None:
        async with client("grpc.aio") as asked:
            task = asyncio.ensure_future(asked.infer("router", inputs("grpc", 0.25)))
            await asyncio.sleep(0)  # it has begun
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with capture_spans() as spans:
        asyncio.run(ask())

    assert only(spans).status.status_code is StatusCode.ERROR


def test_an_http_answer_is_read_when_it_is_taken() -> None:
    """`async_infer` over HTTP has one span, with the version, after `get_result`."""
    with capture_spans() as spans:
        asked = client("http")
        request = asked.async_infer("router", inputs("http", 0.25))
        assert request.get_result().as_numpy("probabilities").tolist() == [[0.25, 0.75]]
        span = only(spans)
        asked.close()

    assert dict(span.attributes or {})[semconv.MODEL_VERSION] == "7"


def test_an_http_answer_that_nobody_takes_ends_its_span() -> None:
    """A request that is thrown away has a span, without an error."""
    with capture_spans() as spans:
        asked = client("http")
        asked.async_infer("router", inputs("http", 0.25))
        asked.close()
        gc.collect()
        span = only(spans)

    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_metrics_tell_the_version_that_answered_of_a_dropped_span(transport: str) -> None:
    """What is measured does not depend on what is sampled."""
    reader = InMemoryMetricReader()
    instrumentor = TritonInstrumentor()
    instrumentor.uninstrument()
    instrumentor.instrument(
        tracer_provider=TracerProvider(ALWAYS_OFF, shutdown_on_exit=False),
        meter_provider=MeterProvider([reader], shutdown_on_exit=False),
    )
    infer(transport, 0.5)

    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    (point,) = metric.data.data_points
    assert (point.attributes or {})[semconv.MODEL_VERSION] == "7"
