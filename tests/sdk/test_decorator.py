"""The decorator on every shape of function, and what its spans say."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
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

    assert Model().method("x")
    assert Model.of_class("x")
    assert Model.static("x")
    hashes = {str((span.attributes or {})[semconv.FEATURES_HASH]) for span in spans.finished}
    assert len(spans.finished) == 3
    assert len(hashes) == 1


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


def test_a_failing_extractor_never_reaches_the_user() -> None:
    """Outside of tests the call goes on, the span says less, and the log names the place without content."""
    program = (
        "import spanward\n"
        "from spanward.testing import capture_spans\n"
        "with capture_spans() as spans:\n"
        "    @spanward.inference(model='m', channel=lambda text: {}[text])\n"
        "    def predict(text): return 7\n"
        "    assert predict('secret') == 7\n"
        "    (span,) = spans.finished\n"
        "    assert span.attributes['spanward.decision'] == '7'\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "spanward failed while asking who called (KeyError)" in done.stderr
    assert "secret" not in done.stderr


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
