"""Models of Triton's Python backend without Triton: the model of the server's tests, with what the backend documents in its place."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pytest
from opentelemetry.trace import StatusCode

import backend_utils
import spanward
from backend_utils import InferenceRequest, InferenceResponse, Tensor, TritonError
from captured import KEY, attributes_of, only
from spanward import semconv
from spanward.testing import CapturedSpans, capture_spans
from spanward_integrations.leaving import CANARY, NUMBER, exported, forms_of, leaks
from spanward_integrations.python_backend import observe_model

sys.modules.setdefault("triton_python_backend_utils", backend_utils)  # which the model imports

from triton_model import TritonPythonModel

TRACES: Final = tuple(f"00-{number:032x}-{number:016x}-01" for number in (7, 8, 9))
FINAL: Final = backend_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


@pytest.fixture(autouse=True)
def spans() -> Iterator[CapturedSpans]:
    """Spans of a test."""
    with capture_spans() as captured:
        spanward.configure(hashing_key=KEY)
        yield captured


def told_at_initialize(*, decoupled: bool = False) -> dict[str, str]:
    """Return what Triton tells a model as it is loaded."""
    config = {"model_transaction_policy": {"decoupled": decoupled}}
    return {"model_name": "scorer", "model_version": "3", "model_config": json.dumps(config)}


def loaded(kind: Any = TritonPythonModel, *, decoupled: bool = False) -> Any:
    """Return a model as Triton loads it."""
    model = kind()
    model.initialize(told_at_initialize(decoupled=decoupled))
    return model


def request_of(*rows: float, **settings: Any) -> InferenceRequest:
    """Return a request of some rows."""
    return InferenceRequest([Tensor("features", np.array([[row, 1, 2] for row in rows], "f4"))], **settings)


def test_a_call_for_one_request_tells_its_decision(spans: CapturedSpans) -> None:
    """Name and version are those of Triton; the only row's probabilities tell decision, score and margin."""
    (answer,) = loaded().execute([request_of(0.25)])

    facts = attributes_of(spans)
    assert answer.output_tensors()[0].as_numpy().tolist() == [[0.25, 0.75]]
    assert only(spans).name == "inference scorer"
    assert facts[semconv.MODEL_VERSION] == "3"
    assert facts[semconv.MODEL_FRAMEWORK] == "triton"
    assert facts[semconv.FEATURES_SHAPE] == "1x3"
    assert (facts[semconv.DECISION], facts[semconv.SCORE], facts[semconv.MARGIN]) == ("1", 0.75, 0.5)


def test_requests_that_triton_joins_are_one_span_with_links(spans: CapturedSpans) -> None:
    """It is a child of the first request's span, linked with the others', and tells statistics of all rows."""
    requests = [request_of(0.25, 0.5, traced={"traceparent": TRACES[0]})]
    requests += [request_of(0.75, traced={"traceparent": one}) for one in TRACES[1:]]
    loaded().execute(requests)

    span, facts = only(spans), attributes_of(spans)
    assert span.parent is not None
    assert span.parent.span_id == 7
    assert [link.context.trace_id for link in span.links] == [8, 9]
    assert facts[semconv.FEATURES_SHAPE] == "4x3"
    assert facts[semconv.BATCH_SIZE] == 4
    assert facts[semconv.BATCH_SCORE_MEAN] == pytest.approx((0.75 + 0.5 + 0.75 + 0.75) / 4)


def test_where_triton_does_not_trace_headers_among_the_parameters_do(spans: CapturedSpans) -> None:
    """Triton puts the headers that it forwards into the request's parameters."""
    loaded().execute([request_of(0.25, parameters={"traceparent": TRACES[1], "sequence": 1})])

    parent = only(spans).parent
    assert parent is not None
    assert parent.trace_id == 8


def test_an_error_among_the_answers_marks_the_span(spans: CapturedSpans) -> None:
    """Its message stays inside; the other requests get their answers."""
    good, bad = loaded().execute([request_of(0.25), request_of(-1)])

    assert not good.has_error()
    assert bad.error().message() == "secret"
    assert attributes_of(spans)[semconv.ERROR_TYPE] == "TritonError"
    assert only(spans).status.status_code is StatusCode.ERROR
    assert "secret" not in only(spans).to_json()


def test_what_execute_raises_reaches_triton(spans: CapturedSpans) -> None:
    """The very exception passes, and the span has its class."""
    raised = TritonError("secret")

    @observe_model
    class Raising:
        def execute(self, requests: list[Any]) -> list[Any]:
            raise raised

    with pytest.raises(TritonError) as caught:
        loaded(Raising).execute([request_of(0.25)])

    assert caught.value is raised
    assert attributes_of(spans)[semconv.ERROR_TYPE] == "backend_utils.TritonError"
    assert "secret" not in only(spans).to_json()


def test_a_coroutine_is_observed_until_it_answers(spans: CapturedSpans) -> None:
    """Triton awaits an `execute` that is a coroutine function."""

    @observe_model
    class Later:
        async def execute(self, requests: list[Any]) -> list[Any]:
            await asyncio.sleep(0)
            assert not spans.finished
            return [InferenceResponse([Tensor("score", np.array([0.5]))]) for _ in requests]

    asyncio.run(loaded(Later).execute([request_of(0.25)]))

    assert attributes_of(spans)[semconv.SCORE] == 0.5


@pytest.mark.parametrize(("count", "items"), [(3, 3), (1, 1), (0, 0)])
def test_a_decoupled_request_is_a_span_until_its_sender_says_the_end(
    spans: CapturedSpans, count: int, items: int
) -> None:
    """Answers are counted, also where there is none but the end; all of them reach Triton, in order."""
    request = request_of(count)
    assert loaded(decoupled=True).execute([request]) is None

    facts = attributes_of(spans)
    assert facts[semconv.STREAM_ITEMS] == items
    assert facts[semconv.STREAM_END] == "complete"
    assert [flags for _, flags in request.sender.sent] == [0] * items + [FINAL]


def test_each_request_of_a_decoupled_model_is_a_span_of_its_own(spans: CapturedSpans) -> None:
    """Each belongs to the trace of its request."""
    loaded(decoupled=True).execute([request_of(2, traced={"traceparent": one}) for one in TRACES])

    assert [span.context.trace_id for span in spans.finished if span.context] == [7, 8, 9]


def test_a_decoupled_request_may_end_after_execute(spans: CapturedSpans) -> None:
    """A sender that is kept sends from elsewhere, and the span lasts until it ends."""
    kept: list[Any] = []

    @observe_model
    class Keeping:
        def execute(self, requests: list[Any]) -> None:
            kept.extend(request.get_response_sender() for request in requests)

    loaded(Keeping, decoupled=True).execute([request_of(0.25)])
    assert not spans.finished
    kept[0].send(InferenceResponse([Tensor("score", np.array([0.5]))]), FINAL)

    assert attributes_of(spans)[semconv.STREAM_ITEMS] == 1


def test_an_error_that_is_sent_marks_the_span(spans: CapturedSpans) -> None:
    """As one that is returned does."""
    loaded(decoupled=True).execute([request_of(-2)])

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "TritonError"
    assert attributes_of(spans)[semconv.STREAM_END] == "failed"
    assert "secret" not in only(spans).to_json()


def test_tensors_on_a_device_are_not_read(spans: CapturedSpans) -> None:
    """There is a span, without a hash and without a decision, and the model runs."""

    @observe_model
    class OnDevice:
        def execute(self, requests: list[Any]) -> list[Any]:
            return [InferenceResponse([Tensor("score", None, on_device=True)]) for _ in requests]

    answers = loaded(OnDevice).execute([InferenceRequest([Tensor("features", None, on_device=True)])])

    assert len(answers) == 1
    assert semconv.FEATURES_HASH not in attributes_of(spans)
    assert semconv.SCORE not in attributes_of(spans)


def test_a_model_that_is_asked_in_another_way_still_answers(
    spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests of a form that we do not know, as of a later Triton, reach the model, and there is no span."""
    monkeypatch.setenv("SPANWARD_ERRORS", "log")

    @observe_model
    class Counting:
        def execute(self, requests: list[Any]) -> list[int]:
            return [len(requests)]

    assert loaded(Counting).execute([object()]) == [1]
    assert not spans.finished


def test_what_says_what_the_answers_say_may_be_given(spans: CapturedSpans) -> None:
    """`outcome=` gets the output tensors by name, of all requests as one."""

    def outcome(outputs: dict[str, Any]) -> spanward.Outcome:
        return spanward.Outcome(decision=str(outputs["probabilities"].shape))

    @observe_model(outcome=outcome)
    class Answering:
        def execute(self, requests: list[Any]) -> list[Any]:
            return [InferenceResponse([Tensor("probabilities", np.zeros((1, 2), "f4"))]) for _ in requests]

    loaded(Answering).execute([request_of(0.25), request_of(0.5)])

    assert attributes_of(spans)[semconv.DECISION] == "(2, 2)"


def test_no_content_of_tensors_parameters_and_errors_leaves() -> None:
    """The kit's canary check, for what no instrumentor patches."""

    @observe_model
    class Repeating:
        def execute(self, requests: list[Any]) -> list[Any]:
            if requests[0].inputs()[0].as_numpy()[0, 0] < 0:
                raise ValueError(f"{CANARY} is below zero") from KeyError(CANARY)
            error = InferenceResponse(error=TritonError(f"{CANARY} is refused"))
            return [InferenceResponse(request.inputs()) for request in requests[1:]] + [error]

    words = InferenceRequest([Tensor("text", np.array([[CANARY.encode()]], object))], parameters={CANARY: CANARY})
    with exported() as sent:
        model = loaded(Repeating)
        model.execute([request_of(NUMBER), request_of(NUMBER, parameters={"note": CANARY})])
        model.execute([request_of(0.25), words])
        with pytest.raises(ValueError, match=CANARY):
            model.execute([request_of(-NUMBER)])

    assert sent.spans == 3
    assert leaks(sent.bodies, forms_of()) == []
