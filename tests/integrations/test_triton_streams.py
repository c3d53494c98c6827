"""Streams of Triton's gRPC clients against a real server: one span for each request, and when each ends."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from typing import Any, Final

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import spanward
import triton_running
from instrumenting import instrumented
from requiring import require_peer
from spans import eventually
from spanward import semconv
from spanward.testing import CapturedSpans, capture_spans
from spanward_integrations import triton_streams
from triton_running import inputs

pytestmark = [
    pytest.mark.triton,
    pytest.mark.filterwarnings("default"),  # gevent and grpc warn of their own use of older names
]

SERVER_ERROR: Final = "tritonclient.utils.InferenceServerException"
WITHIN_S: Final = 30
LONG: Final = 400  # answers, four seconds


@pytest.fixture(autouse=True)
def spans() -> Iterator[CapturedSpans]:
    """Spans of a test whose clients are instrumented."""
    require_peer("tritonclient", find_spec("tritonclient") is not None, "pip install 'spanward[triton]'")
    triton_running.require_server()
    with instrumented("triton"), capture_spans() as captured:
        yield captured


class Client:
    """A client whose one stream is open, and what its callback got."""

    def __init__(self) -> None:
        module: Any = import_module("tritonclient.grpc")
        self.told: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
        self.client = module.InferenceServerClient(f"127.0.0.1:{triton_running.server().grpc_port}")
        self.client.start_stream(lambda result, error: self.told.put((result, error)))

    def ask(self, model: str, number: float, request_id: str = "", **options: Any) -> None:
        """Send one request."""
        self.client.async_stream_infer(model, inputs("grpc", number), request_id=request_id, **options)

    def stop(self, **options: Any) -> list[tuple[Any, Any]]:
        """Stop the stream and return what the callback got."""
        self.client.stop_stream(**options)
        self.client.close()
        got: list[tuple[Any, Any]] = []
        while True:
            try:
                got.append(self.told.get_nowait())
            except Empty:
                return got


def facts(span: ReadableSpan) -> dict[str, Any]:
    """Return what a span says."""
    return dict(span.attributes or {})


def ended(spans: CapturedSpans, count: int = 1) -> tuple[ReadableSpan, ...]:
    """Return the spans, once so many have ended; there must be no more."""
    assert eventually(lambda: len(spans.finished) >= count), "the spans must end"
    assert len(spans.finished) == count
    return spans.finished


@pytest.mark.parametrize("request_id", ["one", ""])
@pytest.mark.parametrize("model", ["counter", "words"])
def test_a_request_is_one_span_until_its_last_answer(spans: CapturedSpans, model: str, request_id: str) -> None:
    """It ends when the model says so, though the stream goes on; the client gets the answers it asked for and no end."""
    client = Client()
    client.ask(model, 3, request_id)
    (span,) = ended(spans)
    got = client.stop()

    assert [result.as_numpy("probabilities").tolist() for result, _ in got] == [[[0.25, 0.75]]] * 3
    assert span.kind is SpanKind.CLIENT
    told = facts(span)
    assert told[semconv.MODEL_NAME] == model
    assert told[semconv.MODEL_VERSION] == {"counter": "3", "words": "1"}[model]
    assert told[semconv.FEATURES_COUNT] == 3
    assert told[semconv.STREAM_ITEMS] == 3
    assert told[semconv.STREAM_END] == "complete"
    assert told[semconv.BATCH_DECISION_COUNTS] == (3,)
    assert 0 < told[semconv.STREAM_FIRST_ITEM_S] < WITHIN_S
    assert 0 < told[semconv.STREAM_BETWEEN_ITEMS_MEAN_S] <= told[semconv.STREAM_BETWEEN_ITEMS_MAX_S]
    assert span.status.status_code is StatusCode.UNSET


def test_an_end_without_content_reaches_who_asked_for_it(spans: CapturedSpans) -> None:
    """Who asks for the empty last answer gets it, and it is no item."""
    client = Client()
    client.ask("counter", 2, enable_empty_final_response=True)
    got = client.stop()

    assert len(got) == 3
    assert facts(ended(spans)[0])[semconv.STREAM_ITEMS] == 2


def test_an_only_answer_speaks_for_the_call(spans: CapturedSpans) -> None:
    """A model that answers once tells what it tells outside of a stream."""
    client = Client()
    client.ask("router", 0.25)
    client.stop()

    told = facts(ended(spans)[0])
    assert (told[semconv.DECISION], told[semconv.SCORE], told[semconv.MODEL_VERSION]) == ("1", 0.75, "7")


def test_answers_find_the_requests_they_belong_to(spans: CapturedSpans) -> None:
    """Requests that are open at the same time are told apart by their ids."""
    client = Client()
    for count in range(1, 9):
        client.ask("counter", count, f"id-{count}")
    client.stop()

    assert sorted(facts(span)[semconv.STREAM_ITEMS] for span in ended(spans, 8)) == list(range(1, 9))


@pytest.mark.parametrize("model", ["counter", "words", "router", "scorer", "unknown"])
@pytest.mark.parametrize("request_id", ["one", ""])
def test_an_error_inside_an_answer_marks_the_span_of_its_request(
    spans: CapturedSpans, model: str, request_id: str
) -> None:
    """The callback gets it; its message stays in the process. The request beside it is not touched."""
    client = Client()
    client.ask(model, -2, request_id)
    assert eventually(lambda: len(spans.finished) == 1), "the span must end"
    client.ask("router", 0.25, request_id)
    got = client.stop()

    failed, good = ended(spans, 2)
    assert any("secret" in str(error) or "unknown model" in str(error) for _, error in got)
    assert facts(failed)[semconv.ERROR_TYPE] == SERVER_ERROR
    assert facts(failed)[semconv.STREAM_END] == "failed"
    assert failed.status.status_code is StatusCode.ERROR
    assert "secret" not in str(facts(failed)) + str(failed.status.description)
    assert good.status.status_code is StatusCode.UNSET


def test_a_cancelled_stream_ends_its_spans_as_cancelled(spans: CapturedSpans) -> None:
    """The counts so far are kept."""
    client = Client()
    client.ask("words", LONG)
    client.told.get(timeout=WITHIN_S)
    client.stop(cancel_requests=True)

    (span,) = ended(spans)
    assert facts(span)[semconv.STREAM_END] == "cancelled"
    assert facts(span)[semconv.STREAM_ITEMS] >= 1
    assert span.status.status_code is StatusCode.ERROR


def test_a_client_that_is_dropped_leaves_no_span_open(spans: CapturedSpans) -> None:
    """Its thread reads on, as without us, and the span ends with the last answer."""
    client = Client()
    client.ask("words", 30)
    client.told.get(timeout=WITHIN_S)
    del client.client
    gc.collect()

    assert facts(ended(spans)[0])[semconv.STREAM_ITEMS] == 30


def test_a_request_that_cannot_be_sent_ends_as_an_error(spans: CapturedSpans) -> None:
    """The client's own error passes."""
    client = Client()
    with pytest.raises(Exception, match="string"):
        client.client.async_stream_infer("router", inputs("grpc", 0.25), model_version=7)
    client.stop()

    assert facts(ended(spans)[0])[semconv.ERROR_TYPE] == SERVER_ERROR


def test_open_requests_are_bounded(spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more requests than are kept open the oldest ends, and its later answers do no harm."""
    monkeypatch.setattr(triton_streams, "MOST_OPEN", 2)
    client = Client()
    for name in ("first", "second", "third"):
        client.ask("words", LONG, name)
    assert eventually(lambda: len(spans.finished) == 1), "the oldest must end"
    client.stop(cancel_requests=True)

    assert [facts(span)[semconv.STREAM_END] for span in ended(spans, 3)] == ["abandoned", "cancelled", "cancelled"]


def asked(*numbers: float, model: str = "counter") -> AsyncIterator[dict[str, Any]]:
    """Yield requests as the client for asyncio takes them."""

    async def each() -> AsyncIterator[dict[str, Any]]:
        for number in numbers:
            yield {"model_name": model, "inputs": inputs("grpc", number), "request_id": str(number)}

    return each()


async def read(requests: AsyncIterator[dict[str, Any]], most: int = LONG) -> list[tuple[Any, Any]]:
    """Read the answers to some requests, or the first ones, and drop the rest."""
    module: Any = import_module("tritonclient.grpc.aio")
    got: list[tuple[Any, Any]] = []
    async with module.InferenceServerClient(f"127.0.0.1:{triton_running.server().grpc_port}") as client:
        answers = client.stream_infer(requests)
        async for answer in answers:
            got.append(answer)
            if len(got) == most:
                break
        del answers
        gc.collect()
    return got


def test_every_request_of_a_coroutine_is_a_span(spans: CapturedSpans) -> None:
    """Requests that end without content end with the stream."""
    got = asyncio.run(read(asked(1, 2, 3)))

    assert len(got) == 6
    assert sorted(facts(span)[semconv.STREAM_ITEMS] for span in ended(spans, 3)) == [1, 2, 3]
    assert {facts(span)[semconv.STREAM_END] for span in spans.finished} == {"complete"}


def test_errors_reach_a_coroutine_and_mark_the_span(spans: CapturedSpans) -> None:
    """They are given as answers, and not raised; a request that Triton joined with the one that fails, fails with it."""
    got = asyncio.run(read(asked(-1, 0.25, model="router")))

    errors = [error is not None for _, error in got].count(True)
    assert errors in {1, 2}
    assert [span.status.status_code.name for span in ended(spans, 2)].count("ERROR") == errors


def test_a_coroutine_that_reads_no_further_abandons_its_requests(spans: CapturedSpans) -> None:
    """The span ends with what came."""
    got = asyncio.run(read(asked(LONG, model="words"), most=2))

    (span,) = ended(spans)
    assert len(got) == 2
    assert facts(span)[semconv.STREAM_END] in {"abandoned", "cancelled"}
    assert facts(span)[semconv.STREAM_ITEMS] == 2


def test_a_coroutine_that_is_cancelled_ends_its_spans(spans: CapturedSpans) -> None:
    """The cancellation passes."""

    async def ask() -> None:
        task = asyncio.ensure_future(read(asked(LONG, model="words")))
        while not task.done():  # the client may be at any of its waits
            await asyncio.sleep(0.2)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())

    (span,) = ended(spans)
    assert facts(span)[semconv.STREAM_END] == "cancelled"
    assert facts(span)[semconv.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


def test_a_stream_carries_the_trace_in_which_it_was_started(spans: CapturedSpans) -> None:
    """Spans of requests are children of what is current when they are sent."""
    with spanward.inference("caller") as call:
        client = Client()
        client.ask("router", 0.25)
        client.stop()

    request, caller = ended(spans, 2)
    assert request.parent is not None
    assert request.parent.span_id == call.span.get_span_context().span_id
    assert caller.name == "inference caller"
