"""What a span says of the answer: common results as they are, others through extractors."""

from types import MappingProxyType

import numpy as np
import pytest

import spanward
from captured import attributes_of
from spanward import semconv
from spanward.call import LONGEST_TEXT
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
