"""ONNX Runtime sessions: the real runtime with small models that are written here."""

import threading
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from opentelemetry.trace import StatusCode

import onnx_models as models
import spanward
from captured import KEY, attributes_of, only
from instrumenting import instrumented
from spanward import semconv
from spanward.testing import CapturedSpans, capture_spans
from spanward_integrations.naming import name_model

onnxruntime: Any = import_module("onnxruntime")  # it has no types

ROW = np.array([[1.0, 2.0]], "f4")
ROWS = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 1.0]], "f4")


@pytest.fixture(autouse=True)
def spans() -> Iterator[CapturedSpans]:
    """Spans of a test whose sessions are instrumented."""
    with instrumented("onnxruntime"), capture_spans() as captured:
        spanward.configure(hashing_key=KEY)
        yield captured


def session_of(model: bytes) -> Any:
    """Return a session that runs on the CPU."""
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def test_name_and_version_are_those_of_the_models_file(spans: CapturedSpans) -> None:
    """The graph's name and the model's version are read once from what the file tells."""
    session_of(models.softmax_model(name="fraud", version=12)).run(None, {"x": ROW})

    facts = attributes_of(spans)
    assert only(spans).name == "inference fraud"
    assert facts[semconv.MODEL_NAME] == "fraud"
    assert facts[semconv.MODEL_VERSION] == "12"
    assert facts[semconv.MODEL_FRAMEWORK] == "onnxruntime"


@pytest.mark.parametrize("version", [None, 0])
def test_a_file_without_a_version_tells_none(spans: CapturedSpans, version: int | None) -> None:
    """What the runtime puts in its place is no version."""
    session_of(models.softmax_model(version=version)).run(None, {"x": ROW})

    assert semconv.MODEL_VERSION not in attributes_of(spans)


def test_a_session_has_the_name_that_its_user_gives(spans: CapturedSpans) -> None:
    """Exporters call their graphs all alike; the newest name counts."""
    session = session_of(models.softmax_model(name="main_graph"))
    for version in ("1", "2"):
        name_model(session, "fraud", version=version)
        session.run(None, {"x": ROW})

    names = [(span.name, (span.attributes or {})[semconv.MODEL_VERSION]) for span in spans.finished]
    assert names == [("inference fraud", "1"), ("inference fraud", "2")]


def test_an_only_output_is_read_by_its_form(spans: CapturedSpans) -> None:
    """Probabilities of one row tell class, score, margin and entropy."""
    (scores,) = session_of(models.softmax_model()).run(["scores"], {"x": ROW})

    facts, ordered = attributes_of(spans), sorted(scores[0], reverse=True)
    assert facts[semconv.DECISION] == str(scores[0].argmax())
    assert facts[semconv.SCORE] == pytest.approx(ordered[0])
    assert facts[semconv.MARGIN] == pytest.approx(ordered[0] - ordered[1])
    assert facts[semconv.FEATURES_SHAPE] == "1x2"
    assert len(facts[semconv.FEATURES_HASH]) == 32


def test_logits_are_told_as_softmax(spans: CapturedSpans) -> None:
    """An output of that name is what a classifier gives before softmax."""
    (logits,) = session_of(models.logits_model()).run(None, {"x": ROW})

    powers = np.exp(logits[0])
    assert attributes_of(spans)[semconv.SCORE] == pytest.approx(max(powers / powers.sum()))
    assert attributes_of(spans)[semconv.SCORE_KIND] == "softmax"


def test_a_converted_classifier_tells_label_and_probability(spans: CapturedSpans) -> None:
    """Its two outputs are known by their names."""
    labels, probabilities = session_of(models.classifying_model()).run(None, {"x": ROW})

    assert attributes_of(spans)[semconv.DECISION] == str(labels[0])
    assert attributes_of(spans)[semconv.SCORE] == pytest.approx(probabilities[0].max())


@pytest.mark.parametrize("names", [None, ["label"]])
def test_several_rows_are_statistics(spans: CapturedSpans, names: list[str] | None) -> None:
    """Of a batch the labels are counted; scores are told where they were asked for."""
    labels, *rest = session_of(models.classifying_model()).run(names, {"x": ROWS})

    facts = attributes_of(spans)
    counts = dict(zip(facts[semconv.BATCH_DECISIONS], facts[semconv.BATCH_DECISION_COUNTS], strict=True))
    assert counts == {str(one): labels.tolist().count(one) for one in set(labels.tolist())}
    assert facts[semconv.BATCH_SIZE] == 3
    if rest:
        assert facts[semconv.BATCH_SCORE_MAX] == pytest.approx(rest[0].max())
    else:
        assert semconv.BATCH_SCORE_MAX not in facts


def test_several_inputs_are_hashed_together_and_told_by_shape(spans: CapturedSpans) -> None:
    """Their names are part of the hash, their order is not."""
    session = session_of(models.adding_model())
    session.run(None, {"a": ROW, "b": ROWS[:1]})
    session.run(None, {"b": ROWS[:1], "a": ROW})
    session.run(None, {"a": ROW, "b": 2 * ROW})

    first, second, third = (dict(span.attributes or {}) for span in spans.finished)
    assert first[semconv.FEATURES_SHAPE] == "a:1x2,b:1x2"
    assert first[semconv.FEATURES_HASH] == second[semconv.FEATURES_HASH] != third[semconv.FEATURES_HASH]


def test_values_of_the_runtime_are_not_read(spans: CapturedSpans) -> None:
    """They may be on a device; the run is observed all the same."""
    value = onnxruntime.OrtValue.ortvalue_from_numpy(ROW)
    session_of(models.softmax_model()).run_with_ort_values(None, {"x": value})

    assert only(spans).name == "inference router"
    assert semconv.FEATURES_HASH not in attributes_of(spans)


def test_a_bound_run_is_observed(spans: CapturedSpans) -> None:
    """Inputs and outputs that are bound are the user's; the run tells how long it took."""
    session = session_of(models.softmax_model())
    binding = session.io_binding()
    binding.bind_cpu_input("x", ROW)
    binding.bind_output("scores")
    session.run_with_iobinding(binding)

    assert binding.copy_outputs_to_cpu()[0].shape == (1, 3)
    assert attributes_of(spans)[semconv.MODEL_NAME] == "router"


def test_a_run_that_calls_back_ends_with_the_answer(spans: CapturedSpans) -> None:
    """Callback and its data are the user's own, the span is ended before they hear of it."""
    answered, heard = threading.Event(), list[Any]()

    def callback(outputs: Any, user_data: object, error: str) -> None:
        heard.extend((outputs[0].shape, user_data, error, len(spans.finished)))
        answered.set()

    session_of(models.softmax_model()).run_async(None, {"x": ROW}, callback, "mine")

    assert answered.wait(30)
    assert heard == [(1, 3), "mine", "", 1]
    assert attributes_of(spans)[semconv.SCORE_KIND] == "probability"


def test_a_run_that_calls_back_with_an_error_marks_its_span(spans: CapturedSpans) -> None:
    """The runtime tells a text alone, which stays here."""
    answered, heard = threading.Event(), list[str]()

    def callback(outputs: Any, user_data: object, error: str) -> None:
        heard.append(error)
        answered.set()

    session_of(models.softmax_model()).run_async(None, {"x": np.zeros((1, 5), "f4")}, callback, None)

    assert answered.wait(30)
    assert "dimensions" in heard[0]
    assert only(spans).status.status_code is StatusCode.ERROR
    assert attributes_of(spans)[semconv.ERROR_TYPE] == "spanward_integrations.onnxruntime.OnnxRunError"


def test_a_wrong_name_reaches_the_caller(spans: CapturedSpans) -> None:
    """The runtime's own error is raised, and its class is told."""
    with pytest.raises(ValueError, match="Required inputs"):
        session_of(models.softmax_model()).run(None, {"y": ROW})

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "ValueError"


def test_a_run_inside_a_decorated_function_without_a_name_is_the_same_call(spans: CapturedSpans) -> None:
    """One span then, with the model's name and version."""
    session = session_of(models.softmax_model())

    @spanward.inference
    def classify(features: list[float]) -> str:
        return str(session.run(None, {"x": np.array([features], "f4")})[0].argmax())

    classify([1.0, 2.0])

    assert only(spans).name == "inference router"
    assert attributes_of(spans)[semconv.MODEL_VERSION] == "7"
