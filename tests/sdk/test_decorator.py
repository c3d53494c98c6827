"""The decorator on every shape of function, and which spans it makes."""

import asyncio
import functools
import inspect
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode

import spanward
from captured import KEY, attributes_of, hashes_of
from spanward import semconv
from spanward.testing import CapturedSpans


def test_with_no_further_argument_a_span_tells_all_it_promises(spans: CapturedSpans) -> None:
    """Duration, size, keyed hash, decision and score come from one decorated line."""

    @spanward.inference(model="router", version="1.0")
    def classify(text: str) -> dict[str, object]:
        return {"label": "billing", "score": 0.75}

    classify("please check my invoice")

    (span,) = spans.finished
    assert span.name == "inference router"
    assert span.kind is SpanKind.INTERNAL
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time >= span.start_time
    told = {name: value for name, value in attributes_of(spans).items() if name != semconv.RUNTIME_GC_PAUSE_S}
    assert told == {  # whether garbage is collected meanwhile is chance
        semconv.MODEL_NAME: "router",
        semconv.MODEL_VERSION: "1.0",
        semconv.CODE_FUNCTION_NAME: f"{classify.__module__}.{classify.__qualname__}",
        semconv.FEATURES_COUNT: 23,
        semconv.FEATURES_HASH: "3d42c11ad7eb6fd8ac899b919d438835",
        semconv.FEATURES_KEY_ID: "d68bb81f",
        semconv.FEATURES_FINGERPRINT: attributes_of(spans)[semconv.FEATURES_FINGERPRINT],
        semconv.DECISION: "billing",
        semconv.SCORE: 0.75,
        semconv.SCORE_KIND: "probability",
        semconv.RUNTIME_CPU_S: attributes_of(spans)[semconv.RUNTIME_CPU_S],
    }


def test_coroutine_functions_are_observed_until_they_return(spans: CapturedSpans) -> None:
    """An async call is one span that lasts as long as the call."""

    @spanward.inference(model="m")
    async def predict(value: float) -> float:
        await asyncio.sleep(0.02)
        return value

    assert asyncio.run(predict(0.5)) == 0.5
    (span,) = spans.finished
    assert (span.end_time or 0) - (span.start_time or 0) >= 20_000_000
    assert attributes_of(spans)[semconv.SCORE] == 0.5


def test_a_decorated_function_looks_like_itself() -> None:
    """Name, documentation, signature and being a coroutine function survive."""

    async def predict(text: str, *, top: int = 1) -> str:
        """Answer."""
        return text * top

    observed = spanward.inference(model="m")(predict)

    assert (observed.__name__, observed.__doc__) == ("predict", "Answer.")
    assert inspect.signature(observed) == inspect.signature(predict)
    assert inspect.iscoroutinefunction(observed)


def parents(spans: CapturedSpans) -> dict[int, int | None]:
    """Return span id to parent id."""
    return {
        span.context.span_id: span.parent.span_id if span.parent else None for span in spans.finished if span.context
    }


def depth(of: int, by: dict[int, int | None]) -> int:
    """Return how many parents a span has."""
    parent = by[of]
    return 0 if parent is None else 1 + depth(parent, by)


def test_concurrent_coroutines_do_not_nest(spans: CapturedSpans) -> None:
    """Calls that wait at the same time are siblings, each with its own child."""

    @spanward.inference(model="inner")
    async def inner(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @spanward.inference(model="outer")
    async def outer(number: int) -> int:
        await asyncio.sleep(0)
        return await inner(number)

    async def both() -> tuple[int, int]:
        return await asyncio.gather(outer(1), outer(2))

    assert tuple(asyncio.run(both())) == (1, 2)
    by = parents(spans)
    assert sorted(depth(span, by) for span in by) == [0, 0, 1, 1]


def test_the_span_is_current_inside_and_not_after(spans: CapturedSpans) -> None:
    """User code can add to the span; an exception leaves no span behind as current."""

    @spanward.inference(model="m")
    def predict() -> None:
        trace.get_current_span().set_attribute("mine", 1)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        predict()

    assert attributes_of(spans)["mine"] == 1
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_cancelled_coroutine_ends_its_span(spans: CapturedSpans) -> None:
    """A call that is given up while it waits is an error of its class, and the cancellation goes on."""

    @spanward.inference(model="m")
    async def predict() -> None:
        await asyncio.sleep(60)

    async def give_up() -> None:
        await asyncio.wait_for(predict(), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_bound_methods_and_partials_can_be_decorated(spans: CapturedSpans, asynchronous: bool) -> None:
    """What is callable and returns is observed, with the arguments of the call as input."""

    class Model:
        def answer(self, text: str) -> str:
            return text

        async def answer_later(self, text: str) -> str:
            return text

    model = Model()
    if asynchronous:
        later = spanward.inference(model="m")(functools.partial(model.answer_later))
        assert asyncio.run(later("x")) == "x"
    else:
        assert spanward.inference(model="m")(functools.partial(model.answer))("x") == "x"
        assert spanward.inference(model="m")(model.answer)("x") == "x"

    assert len(set(hashes_of(spans))) == 1


def test_an_operation_makes_it_a_genai_span(spans: CapturedSpans) -> None:
    """With an operation of the GenAI conventions, name and attributes are as they ask."""

    @spanward.inference(model="m", operation="chat")
    def predict() -> str:
        return "hello"

    predict()

    (span,) = spans.finished
    assert span.name == "chat m"
    assert attributes_of(spans)[semconv.GEN_AI_OPERATION_NAME] == "chat"
    assert attributes_of(spans)[semconv.GEN_AI_REQUEST_MODEL] == "m"


def test_instances_and_classes_are_no_input(spans: CapturedSpans) -> None:
    """Methods, class and static methods hash their arguments, never self or cls."""

    class Model:
        @spanward.inference(model="m")
        def method(self, text: str) -> bool:
            return bool(text)

        @spanward.inference(model="m")
        @classmethod
        def of_class(cls, text: str) -> bool:
            return bool(text)

        @staticmethod
        @spanward.inference(model="m")
        def static(text: str) -> bool:
            return bool(text)

        @classmethod
        @spanward.inference(model="m")
        def of_class_below(cls, text: str) -> bool:
            return bool(text)

        @spanward.inference(model="m")
        @staticmethod
        def static_above(text: str) -> bool:
            return bool(text)

    assert Model().method("x")
    assert Model.of_class("x")
    assert Model.of_class_below("x")
    assert Model.static("x")
    assert Model.static_above("x")
    assert len(hashes_of(spans)) == 5
    assert len(set(hashes_of(spans))) == 1


def test_constants_serve_as_channel_client_and_dimensions(spans: CapturedSpans) -> None:
    """What does not vary is given as it is; of the client only the hash is told."""

    @spanward.inference(model="m", channel="mail", client="batch-job", dimensions={"region": "eu"})
    def predict() -> None:
        """Answer nothing."""

    predict()

    found = attributes_of(spans)
    assert (found[semconv.CHANNEL], found[semconv.DIMENSION_PREFIX + "region"]) == ("mail", "eu")
    assert len(str(found[semconv.CLIENT_ID])) == 32
    assert "batch-job" not in str(found)


def test_exceptions_pass_unchanged_and_only_their_type_is_told(spans: CapturedSpans) -> None:
    """The user's exception is the very object, and its message stays in the process."""
    raised = KeyError("secret input")

    @spanward.inference(model="m")
    def predict() -> None:
        raise raised

    with pytest.raises(KeyError) as caught:
        predict()

    (span,) = spans.finished
    assert caught.value is raised
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert list(span.events) == []
    assert attributes_of(spans)[semconv.ERROR_TYPE] == "KeyError"


def test_sampled_out_calls_cost_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody records, nothing is hashed."""
    program = (
        "import spanward, spanward.call\n"
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.sampling import ALWAYS_OFF\n"
        "trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))\n"
        "def never(): raise AssertionError('hashed')\n"
        "spanward.call.hasher = never\n"
        "assert spanward.inference(model='m')(lambda text: 7)('x') == 7\n"
    )
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "so that a failure of ours is raised")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


class ByModel(Sampler):
    """Drops the calls of one model."""

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        """Decide by the model's name."""
        given: dict[str, object] = dict(attributes or {})
        dropped = given.get(semconv.MODEL_NAME) == "dropped"
        return SamplingResult(Decision.DROP if dropped else Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        """Name it."""
        return "by model"


@pytest.mark.parametrize(
    "sampler",
    [ByModel(), ParentBased(ByModel()), ALWAYS_ON, ParentBased(ALWAYS_ON)],
    ids=["by model", "parent, by model", "on", "parent, on"],
)
def test_samplers_see_what_is_known_before_the_call(sampler: Sampler) -> None:
    """Who decides by attributes gets them in time, and the span is the same for all."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    spanward.configure(hashing_key=KEY)
    for model in ("dropped", "kept"):
        spanward.inference(model, version="1", tracer_provider=provider)(lambda: True)()

    spans = {(span.attributes or {})[semconv.MODEL_NAME]: span for span in kept.get_finished_spans()}
    assert spans.keys() == ({"kept"} if "ByModel" in repr(vars(sampler)) + repr(sampler) else {"dropped", "kept"})
    assert (spans["kept"].attributes or {})[semconv.MODEL_VERSION] == "1"
    assert (spans["kept"].attributes or {})[semconv.DECISION] == "True"
