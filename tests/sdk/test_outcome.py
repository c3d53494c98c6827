"""What a span says of the answer: common results as they are, others through extractors."""

from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

import spanward
from captured import attributes_of
from spanward import semconv
from spanward.extract import EXTRACTORS, chat, distribution, labelled
from spanward.results import LONGEST_TEXT
from spanward.testing import CapturedSpans


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

    found = attributes_of(spans)
    assert found.get(semconv.DECISION) == decision
    assert found.get(semconv.SCORE) == (score if score is None else pytest.approx(score))


def test_results_of_a_batch_do_not_speak_for_the_call(spans: CapturedSpans) -> None:
    """One result for each of several inputs is no ranking; the number of items is told instead."""

    @spanward.inference(model="m")
    def predict(texts: list[str]) -> list[dict[str, object]]:
        return [{"label": text, "score": 0.5} for text in texts]

    predict(["one", "three"])

    found = attributes_of(spans)
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

    assert attributes_of(spans)[semconv.SCORE_KIND] == kind


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

    found = attributes_of(spans)
    assert (found[semconv.DECISION], found[semconv.SCORE], found[semconv.SCORE_KIND]) == ("b", 7.5, "score")
    assert (found[semconv.GEN_AI_USAGE_OUTPUT_TOKENS], found[semconv.TOKENS_SOURCE]) == (3, "estimated")
    assert semconv.GEN_AI_USAGE_INPUT_TOKENS not in found


def test_margin_and_entropy_come_with_a_distribution(spans: CapturedSpans) -> None:
    """Of probabilities the lead of the first and the spread are told."""

    @spanward.inference(model="m")
    def predict() -> list[float]:
        return [0.5, 0.25, 0.25]

    predict()

    found = attributes_of(spans)
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

    found = attributes_of(spans)
    assert found[semconv.CHANNEL] == "mail"
    assert found[semconv.DIMENSION_PREFIX + "region"] == "eu"
    assert found[semconv.FEATURES_COUNT] == 5
    assert found[semconv.DECISION] == "x"
    assert found[semconv.SCORE] == 0.5
    assert (found[semconv.GEN_AI_USAGE_INPUT_TOKENS], found[semconv.GEN_AI_USAGE_OUTPUT_TOKENS]) == (7, 2)
    assert found[semconv.CLIENT_TRUST] == "claimed"
    assert "alice" not in str(found)


def test_long_texts_of_the_user_are_cut(spans: CapturedSpans) -> None:
    """A decision of any length costs at most 256 characters."""

    @spanward.inference(model="m", decision=lambda result: result)
    def predict() -> str:
        return "x" * 10_000

    predict()

    assert len(str(attributes_of(spans)[semconv.DECISION])) == LONGEST_TEXT


@dataclass
class Answer:
    """What many functions return."""

    label: str
    score: float
    text: str = "secret"


class PydanticAnswer(BaseModel):
    """What many web services return."""

    prediction: int
    confidence: float


@dataclass
class ClassifierOutput:
    """What transformers' classifiers return: logits, and more that is not read."""

    logits: object
    hidden_states: object = None


@dataclass
class Usage:
    """Of an OpenAI-style response."""

    prompt_tokens: int
    completion_tokens: int
    completion_tokens_details: dict[str, int]


@dataclass
class Response:
    """An OpenAI-style response."""

    id: str
    model: str
    choices: list[dict[str, object]]
    usage: Usage


def read(spans: CapturedSpans, result: object, **arguments: Any) -> dict[str, object]:
    """Return the attributes of a call with a result."""
    spanward.inference("m", **arguments)(lambda *_: result)()
    return attributes_of(spans)


@pytest.mark.parametrize(
    ("result", "decision", "score", "kind"),
    [
        (Answer("a", 0.75), "a", 0.75, "probability"),
        (PydanticAnswer(prediction=3, confidence=0.5), "3", 0.5, "probability"),
        ({"sequence": "secret", "labels": ["x", "y"], "scores": [0.75, 0.25]}, "x", 0.75, "probability"),
        (ClassifierOutput(np.array([[0.0, np.log(3.0)]])), "1", 0.75, "softmax"),
        ({"logits": np.array([np.log(3.0), 0.0])}, "0", 0.75, "softmax"),
        (ClassifierOutput(np.array([[2.5]])), None, 2.5, "score"),
        (ClassifierOutput(np.zeros((1, 4, 100))), None, None, None),
        (spanward.Outcome("a", 0.5), "a", 0.5, "score"),
    ],
    ids=str,
)
def test_records_and_logits_are_understood(
    spans: CapturedSpans, result: object, decision: str | None, score: float | None, kind: str | None
) -> None:
    """Dataclasses, pydantic models and model outputs are read without a copy of their content."""
    found = read(spans, result)

    assert found.get(semconv.DECISION) == decision
    assert found.get(semconv.SCORE) == (None if score is None else pytest.approx(score))
    assert found.get(semconv.SCORE_KIND) == kind
    assert "secret" not in str(found)


RESPONSE = Response("r1", "m-0613", [{"finish_reason": "stop", "text": "secret"}], Usage(7, 5, {"reasoning_tokens": 2}))


@pytest.mark.parametrize("result", [RESPONSE, asdict(RESPONSE)], ids=["object", "mapping"])
def test_openai_style_responses_are_understood(spans: CapturedSpans, result: object) -> None:
    """Usage, served model, id and reasons are told; what was generated is not."""
    found = read(spans, result)

    assert (found[semconv.GEN_AI_USAGE_INPUT_TOKENS], found[semconv.GEN_AI_USAGE_OUTPUT_TOKENS]) == (7, 5)
    assert found[semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS] == 2
    assert (found[semconv.GEN_AI_RESPONSE_MODEL], found[semconv.GEN_AI_RESPONSE_ID]) == ("m-0613", "r1")
    assert found[semconv.GEN_AI_RESPONSE_FINISH_REASONS] == ("stop",)
    assert "secret" not in str(found)


class OnDevice:
    """Stands for a tensor on a device that this machine lacks: reading it would wait for the device."""

    device = "cuda:0"
    dtype = "float32"

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def reshape(self, _shape: int) -> "OnDevice":
        """Return another view."""
        return self

    def tolist(self) -> list[float]:
        """Copy to the host."""
        if self.shape[-1] > 4096:
            raise AssertionError("a large tensor was copied")
        return [0.25, 0.75]

    def __eq__(self, other: object) -> bool:
        raise AssertionError("the device was asked to compute")

    def __hash__(self) -> int:
        return id(self)


def test_large_tensors_on_a_device_are_not_copied(spans: CapturedSpans) -> None:
    """Neither as input nor as result; a small result is read."""

    @spanward.inference("m")
    def predict(pixels: object) -> object:
        return OnDevice(1, 100_000)

    predict(OnDevice(3, 224, 224))
    spanward.inference("m")(lambda: OnDevice(1, 2))()

    large, small = (dict(span.attributes or {}) for span in spans.finished)
    assert (large[semconv.FEATURES_SHAPE], large[semconv.FEATURES_COUNT]) == ("3x224x224", 150_528)
    assert semconv.DECISION not in large
    assert (small[semconv.DECISION], small[semconv.SCORE]) == ("1", 0.75)


@pytest.mark.parametrize(
    ("rows", "result", "decisions", "counts", "mean"),
    [
        (np.zeros((3, 4)), np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]), ("0", "1"), (2, 1), 0.75),
        (np.zeros((3, 4)), np.array(["a", "b", "a"]), ("a", "b"), (2, 1), None),
        (np.zeros((3, 4)), np.array([0.5, 0.25, 0.75]), None, None, 0.5),
        ([[0.5, 1.0]] * 2, [{"label": "a", "score": 0.5}, {"label": "a", "score": 1.0}], ("a",), (2,), 0.75),
        (np.zeros((3, 4)), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), None, None, None),
    ],
    ids=["predict_proba", "predict", "regression", "list", "no distribution"],
)
def test_results_for_each_row_are_a_batch(
    spans: CapturedSpans,
    rows: object,
    result: Any,
    decisions: tuple[str, ...] | None,
    counts: tuple[int, ...] | None,
    mean: float | None,
) -> None:
    """What estimators return is told as the statistics of its items."""
    spanward.inference("m")(lambda rows: result)(rows)

    found = attributes_of(spans)
    assert found[semconv.BATCH_SIZE] == len(result)
    assert (found.get(semconv.BATCH_DECISIONS), found.get(semconv.BATCH_DECISION_COUNTS)) == (decisions, counts)
    assert found.get(semconv.BATCH_SCORE_MEAN) == mean
    assert not {semconv.DECISION, semconv.SCORE} & found.keys()


def test_items_of_a_batch_are_events_on_request(spans: CapturedSpans) -> None:
    """Each with its place, decision and score; a span holds 128 of them."""

    @spanward.inference("m", item_events=True)
    def predict(texts: list[str]) -> list[dict[str, object]]:
        return [{"label": "a", "score": 0.5} for _ in texts]

    predict(["x"] * 200)

    events = spans.finished[0].events
    assert (len(events), events[0].name) == (128, semconv.ITEM_EVENT)
    assert dict(events[5].attributes or {}) == {
        semconv.ITEM_INDEX: 5,
        semconv.DECISION: "a",
        semconv.SCORE: 0.5,
        semconv.SCORE_KIND: "probability",
    }


def test_the_user_can_say_all_at_once(spans: CapturedSpans) -> None:
    """`outcome=` replaces what the form tells."""
    found = read(spans, ("x", 0.5), outcome=lambda result: spanward.Outcome(decision=f"class {result[0]}"))

    assert found[semconv.DECISION] == "class x"
    assert semconv.SCORE not in found


def test_every_extractor_is_registered() -> None:
    """The tuple holds every extractor of the folder, once."""
    modules = [chat, distribution, labelled]
    written = {
        function
        for module in modules
        for name, function in vars(module).items()
        if name.startswith("of_") and function.__module__ == module.__name__
    }

    assert set(EXTRACTORS) == written
    assert len(EXTRACTORS) == len(written)
    assert {path.stem for path in Path(chat.__file__).parent.glob("*.py")} == {
        "__init__",
        *(module.__name__.rpartition(".")[2] for module in modules),
    }
