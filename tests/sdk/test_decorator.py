"""The decorator on every shape of function, and what its spans say."""

import asyncio
import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from types import MappingProxyType

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import spanward
from spanward import semconv
from spanward.call import LONGEST_TEXT
from spanward.testing import CapturedSpans, capture_spans

KEY = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    """Spans that end inside the test, under a known key."""
    with capture_spans() as captured:
        spanward.configure(hashing_key=KEY)
        yield captured


def attributes(spans: CapturedSpans) -> dict[str, object]:
    """Return the attributes of the only span."""
    (span,) = spans.finished
    return dict(span.attributes or {})


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
    assert attributes(spans) == {
        semconv.MODEL_NAME: "router",
        semconv.MODEL_VERSION: "1.0",
        semconv.CODE_FUNCTION_NAME: f"{classify.__module__}.{classify.__qualname__}",
        semconv.FEATURES_COUNT: 23,
        semconv.FEATURES_HASH: "18749d730edd1832596937fee37eaf2f",
        semconv.FEATURES_KEY_ID: "d68bb81f",
        semconv.FEATURES_FINGERPRINT: attributes(spans)[semconv.FEATURES_FINGERPRINT],
        semconv.DECISION: "billing",
        semconv.SCORE: 0.75,
        semconv.SCORE_KIND: "probability",
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
    assert attributes(spans)[semconv.SCORE] == 0.5


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


def test_recursion_nests(spans: CapturedSpans) -> None:
    """A function that calls itself makes a span inside a span, and afterwards none is current."""

    @spanward.inference(model="m")
    def countdown(number: int) -> int:
        return countdown(number - 1) if number else 0

    countdown(3)

    by = parents(spans)
    assert sorted(depth(span, by) for span in by) == [0, 1, 2, 3]
    assert not trace.get_current_span().get_span_context().is_valid


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

    assert attributes(spans)["mine"] == 1
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

    assert attributes(spans)[semconv.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


def hashes(spans: CapturedSpans) -> list[object]:
    """Return the input hashes, in the order in which the spans ended."""
    return [(span.attributes or {})[semconv.FEATURES_HASH] for span in spans.finished]


def test_one_input_has_one_hash_however_the_call_is_written(spans: CapturedSpans) -> None:
    """Position, name and the order of names make no difference; which parameter got a value does."""

    @spanward.inference(model="m")
    def predict(first: int, second: int = 0, third: int = 0) -> None:
        del first, second, third

    predict(1, 2)
    predict(1, second=2)
    predict(second=2, first=1)
    predict(1, third=2)

    positional, *same, different = hashes(spans)
    assert same == [positional, positional]
    assert different != positional


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

    assert len(set(hashes(spans))) == 1


def test_an_operation_makes_it_a_genai_span(spans: CapturedSpans) -> None:
    """With an operation of the GenAI conventions, name and attributes are as they ask."""

    @spanward.inference(model="m", operation="chat")
    def predict() -> str:
        return "hello"

    predict()

    (span,) = spans.finished
    assert span.name == "chat m"
    assert attributes(spans)[semconv.GEN_AI_OPERATION_NAME] == "chat"
    assert attributes(spans)[semconv.GEN_AI_REQUEST_MODEL] == "m"


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
    assert len(hashes(spans)) == 5
    assert len(set(hashes(spans))) == 1


@pytest.mark.parametrize(
    ("result", "decision", "score"),
    [
        ({"label": "a", "score": 0.9}, "a", 0.9),
        ({"class": 3, "confidence": 0.5}, "3", 0.5),
        ([{"label": "a", "score": 0.2}, {"label": "b", "score": 0.8}], "b", 0.8),
        (("b", 0.7), "b", 0.7),
        (np.array([0.1, 0.7, 0.2]), "1", 0.7),
        (np.array([[0.25, 0.75]]), "1", 0.75),
        ([0.1, 0.9], "1", 0.9),
        (3, "3", None),
        (True, "True", None),
        (0.25, None, 0.25),
        (np.float64(0.25), None, 0.25),
        ({"label": "a"}, "a", None),
        ({"score": np.float32(0.5)}, None, 0.5),
        (MappingProxyType({"prediction": np.int64(2), "proba": 1}), "2", 1.0),
        ([{"label": "a", "score": 0.9}], "a", 0.9),
        ([("a", 0.75), ("b", 0.25)], "a", 0.75),
        ((np.int64(4), np.float32(0.5)), "4", 0.5),
        (np.array([[[0.5], [0.25], [0.25]]]), "0", 0.5),
        (np.float32(0.25), None, 0.25),
        (np.int64(3), "3", None),
        (np.array(0.5), None, 0.5),
        (np.array([7]), "7", None),
        (np.bool_(True), "True", None),
        ([], None, None),
        ({}, None, None),
        (np.array([]), None, None),
        ((0.25, 0.75), None, None),
        ([1, 2.5, 7], None, None),
        ([12.5, 0.5], None, None),
        (["a", "b"], None, None),
        ({"label": "x" * 65, "score": 0.5}, None, 0.5),
        ([{"label": "a", "score": 0.5}, {"label": "a", "score": 0.6}], None, None),
        ("free text that a model wrote", None, None),
        (None, None, None),
        (np.zeros((2, 3)), None, None),
    ],
    ids=str,
)
def test_common_results_are_understood(
    spans: CapturedSpans, result: object, decision: str | None, score: float | None
) -> None:
    """Decision and score are read from the usual shapes, and nothing is guessed from others."""

    @spanward.inference(model="m")
    def predict() -> object:
        return result

    predict()

    found = attributes(spans)
    assert found.get(semconv.DECISION) == decision
    assert found.get(semconv.SCORE) == (score if score is None else pytest.approx(score))


def test_results_of_a_batch_do_not_speak_for_the_call(spans: CapturedSpans) -> None:
    """One result for each of several inputs is no ranking; the number of items is told instead."""

    @spanward.inference(model="m")
    def predict(texts: list[str]) -> list[dict[str, object]]:
        return [{"label": text, "score": 0.5} for text in texts]

    predict(["one", "three"])

    found = attributes(spans)
    assert found[semconv.BATCH_SIZE] == 2
    assert found[semconv.FEATURES_COUNT] == 8
    assert not {semconv.DECISION, semconv.SCORE} & found.keys()


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ({"label": "a", "score": 0.5}, "probability"),
        ({"label": "a", "score": 7.5}, "score"),
        (("a", 1.0), "probability"),
        (0.5, "score"),
        ([0.5, 0.5], "probability"),
    ],
    ids=str,
)
def test_a_score_says_whether_it_can_be_a_probability(spans: CapturedSpans, result: object, kind: str) -> None:
    """With a label and in range it can be one; a bare number says nothing of the sort."""
    spanward.inference(model="m")(lambda: result)()

    assert attributes(spans)[semconv.SCORE_KIND] == kind


def test_what_extractors_say_replaces_what_was_found(spans: CapturedSpans) -> None:
    """An extractor wins over the default, its numbers may be numpy's, and the kind goes with the new score."""

    @spanward.inference(
        model="m",
        decision=lambda result: result["other"],
        score=lambda result: np.float32(7.5),
        tokens=lambda result: spanward.Tokens(output=int(np.int64(3)), source="estimated"),
    )
    def predict() -> dict[str, object]:
        return {"label": "a", "score": 0.5, "other": "b"}

    predict()

    found = attributes(spans)
    assert (found[semconv.DECISION], found[semconv.SCORE], found[semconv.SCORE_KIND]) == ("b", 7.5, "score")
    assert (found[semconv.GEN_AI_USAGE_OUTPUT_TOKENS], found[semconv.TOKENS_SOURCE]) == (3, "estimated")
    assert semconv.GEN_AI_USAGE_INPUT_TOKENS not in found


def test_constants_serve_as_channel_client_and_dimensions(spans: CapturedSpans) -> None:
    """What does not vary is given as it is; of the client only the hash is told."""

    @spanward.inference(model="m", channel="mail", client="batch-job", dimensions={"region": "eu"})
    def predict() -> None:
        """Answer nothing."""

    predict()

    found = attributes(spans)
    assert (found[semconv.CHANNEL], found[semconv.DIMENSION_PREFIX + "region"]) == ("mail", "eu")
    assert len(str(found[semconv.CLIENT_ID])) == 32
    assert "batch-job" not in str(found)


def test_margin_and_entropy_come_with_a_distribution(spans: CapturedSpans) -> None:
    """Of probabilities the lead of the first and the spread are told."""

    @spanward.inference(model="m")
    def predict() -> list[float]:
        return [0.5, 0.25, 0.25]

    predict()

    found = attributes(spans)
    assert found[semconv.MARGIN] == pytest.approx(0.25)
    assert found[semconv.ENTROPY] == pytest.approx(1.5 * np.log(2))


def test_extractors_are_asked(spans: CapturedSpans) -> None:
    """Callables of the call and of the result fill in what the default cannot know."""

    @spanward.inference(
        model="m",
        framework="sklearn",
        task="text-classification",
        channel=lambda text, source: source,
        client=lambda text, source: "alice@example.org",
        dimensions=lambda text, source: {"region": "eu"},
        input=lambda text, source: text,
        decision=lambda result: result[0],
        score=lambda result: result[2],
        tokens=lambda result: spanward.Tokens(input=7, output=2),
    )
    def predict(text: str, source: str) -> tuple[str, str, float]:
        return ("x", text, 0.5)

    predict("hello", "mail")

    found = attributes(spans)
    assert found[semconv.CHANNEL] == "mail"
    assert found[semconv.DIMENSION_PREFIX + "region"] == "eu"
    assert found[semconv.FEATURES_COUNT] == 5
    assert found[semconv.DECISION] == "x"
    assert found[semconv.SCORE] == 0.5
    assert (found[semconv.GEN_AI_USAGE_INPUT_TOKENS], found[semconv.GEN_AI_USAGE_OUTPUT_TOKENS]) == (7, 2)
    assert found[semconv.CLIENT_TRUST] == "claimed"
    assert "alice" not in str(found)


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
    assert attributes(spans)[semconv.ERROR_TYPE] == "KeyError"


def test_inputs_without_canonical_form_are_not_hashed(spans: CapturedSpans) -> None:
    """An object whose repr might leak or vary gets a size and no hash."""

    class Opaque:
        def __repr__(self) -> str:
            return "secret"

    @spanward.inference(model="m")
    def predict(value: object) -> None:
        del value

    predict(Opaque())

    assert semconv.FEATURES_HASH not in attributes(spans)
    assert "secret" not in str(attributes(spans))


def test_long_texts_of_the_user_are_cut(spans: CapturedSpans) -> None:
    """A decision of any length costs at most 256 characters."""

    @spanward.inference(model="m", decision=lambda result: result)
    def predict() -> str:
        return "x" * 10_000

    predict()

    assert len(str(attributes(spans)[semconv.DECISION])) == LONGEST_TEXT


def test_size_shape_and_sparsity_of_arrays(spans: CapturedSpans) -> None:
    """Of an array the number of values, the share of zeros and the shape are told."""

    @spanward.inference(model="m")
    def predict(values: object) -> None:
        del values

    predict(np.array([[0.0, 1.0], [0.0, 2.0]]))

    found = attributes(spans)
    assert (found[semconv.FEATURES_COUNT], found[semconv.FEATURES_SPARSITY], found[semconv.FEATURES_SHAPE]) == (
        4,
        0.5,
        "2x2",
    )


@pytest.mark.parametrize(
    ("value", "count", "sparsity", "shape", "batch"),
    [
        ("four", 4, None, None, None),
        (b"four", 4, None, None, None),
        (7, 1, None, None, None),
        ([0.0, 1, 2.5, -0.0], 4, 0.5, None, None),
        ([], 0, None, None, None),
        ([True, False], 2, None, None, None),
        (["one", "three"], 8, None, None, 2),
        ([{"a": "xx"}, {"a": "y"}], 3, None, None, 2),
        ({"a": 1, "b": [1, 2]}, 3, None, None, None),
        ([[0.0, 1.0], [2.0, 3.0]], 4, None, None, None),
        (np.zeros((2, 0)), 0, None, "2x0", None),
        (np.array(["a", "b"]), 2, None, "2", None),
        (np.float64(0.5), 1, None, None, None),
        (None, 1, None, None, None),
    ],
    ids=str,
)
def test_sizes_of_inputs(
    spans: CapturedSpans, value: object, count: int, sparsity: float | None, shape: str | None, batch: int | None
) -> None:
    """Size means characters of text, numbers of arrays and sequences, and items of a batch."""
    spanward.inference(model="m")(lambda value: None)(value)

    found = attributes(spans)
    assert found[semconv.FEATURES_COUNT] == count
    assert found.get(semconv.FEATURES_SPARSITY) == sparsity
    assert found.get(semconv.FEATURES_SHAPE) == shape
    assert found.get(semconv.BATCH_SIZE) == batch


def test_generators_are_refused_when_decorated() -> None:
    """A stream would be timed wrongly, so the decorator says so at once."""

    def stream() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        spanward.inference(model="m")(stream)


def test_a_failing_extractor_is_seen_under_pytest(spans: CapturedSpans) -> None:
    """Our failures, and those of extractors, are not hidden from tests."""

    @spanward.inference(model="m", channel=lambda: 1 // 0)
    def predict() -> int:
        return 7

    with pytest.raises(ZeroDivisionError):
        predict()


FAILING = """
import spanward
from spanward.testing import capture_spans

def fail(*args):
    raise KeyError("secret", *args)

with capture_spans() as spans:
    @spanward.inference(model="m", {argument}=fail)
    def predict(text):
        return {{"label": "a", "score": 0.5}}

    assert predict("secret") == predict("secret") == {{"label": "a", "score": 0.5}}
    for span in spans.finished:
        print(*sorted(span.attributes), span.status.status_code.name)
"""


@pytest.mark.parametrize(
    ("argument", "place", "lost"),
    [
        ("input", "hashing an input", {"count", "hash", "key_id", "fingerprint"}),
        ("channel", "asking for the channel", set[str]()),
        ("dimensions", "asking for dimensions", set[str]()),
        ("client", "asking for the client", set[str]()),
        ("decision", "asking for the decision", set[str]()),
        ("score", "asking for the score", set[str]()),
        ("tokens", "asking for tokens", set[str]()),
    ],
)
def test_a_failing_extractor_never_reaches_the_user(argument: str, place: str, lost: set[str]) -> None:
    """Outside of tests the call goes on, all else is still told, and the log names the place once, without content."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [sys.executable, "-c", FAILING.format(argument=argument)],
        env=environment | {"SPANWARD_HASHING_KEY": KEY.decode()},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == f"spanward failed while {place} (KeyError); your code goes on untouched\n"
    told = {semconv.DECISION, semconv.SCORE, semconv.SCORE_KIND, semconv.MODEL_NAME, semconv.CODE_FUNCTION_NAME}
    told |= {
        name
        for name in (
            semconv.FEATURES_COUNT,
            semconv.FEATURES_HASH,
            semconv.FEATURES_KEY_ID,
            semconv.FEATURES_FINGERPRINT,
        )
        if name.rpartition(".")[2] not in lost
    }
    assert done.stdout.splitlines() == [" ".join([*sorted(told), "UNSET"])] * 2


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
