"""What an estimator of scikit-learn is, and what its results say."""

import sys
from importlib import import_module
from typing import Any, cast

from spanward import Call, Outcome
from spanward.extract.distribution import of_probabilities
from spanward.items import Items
from spanward.outcome import label

Estimator = Any  # scikit-learn and numpy are not needed where types are checked
Array = Any

_OUTLIER, _INLIER = "outlier", "inlier"


def predictor_of(estimator: Estimator) -> Estimator:
    """Return what predicts in the end: the last step of a pipeline, the best one of a search."""
    steps: object = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps:
        return predictor_of(cast("list[tuple[str, Any]]", steps)[-1][1])
    best: Estimator = getattr(estimator, "best_estimator_", None)
    return estimator if best is None else predictor_of(best)


def kind_of(estimator: Estimator) -> str | None:
    """Return what scikit-learn takes an estimator for."""
    predictor = predictor_of(estimator)
    if hasattr(predictor, "__sklearn_tags__"):
        return cast("str | None", import_module("sklearn.utils").get_tags(predictor).estimator_type)
    return cast("str | None", getattr(predictor, "_estimator_type", None))


def readable(data: object) -> object:
    """Return rows that can be hashed, without a copy where that is possible: an only text, or the array that a table holds."""
    if isinstance(data, list):
        rows = cast("list[object]", data)
        return rows[0] if len(rows) == 1 and isinstance(rows[0], str) else rows
    if hasattr(type(data), "__array__") and not hasattr(data, "dtype") and hasattr(data, "shape"):
        return sys.modules["numpy"].asarray(data)
    return data


def tell(call: Call, name: str, estimator: Estimator, result: Array) -> None:
    """Tell decision and score of one row, or the statistics of several; outputs of several targets have neither."""
    shape: tuple[int, ...] = getattr(result, "shape", ())
    if not shape or shape[0] == 0:
        return
    labels, scores, margins = _columns(name, estimator, result, shape)
    if shape[0] > 1:
        items = call.items = Items()
        items.count = shape[0]
        items.add_columns(labels, scores)
        return
    decision = labels[0] if labels else None
    if name == "predict_proba" and scores:
        call.set(result=_of_distribution(decision, result[0].tolist()))
    elif decision is not None or scores:
        score = scores[0] if scores else None
        call.set(result=Outcome(decision, score, margin=margins[0] if margins else None))


def _columns(
    name: str, estimator: Estimator, result: Array, shape: tuple[int, ...]
) -> tuple[list[str], list[float], list[float]]:
    """Return decision, score and margin of every row, as far as a method tells them."""
    kind, classes = kind_of(estimator), _classes_of(estimator)
    if name == "score_samples":
        return [], result.tolist(), []
    if name == "predict" and len(shape) == 1:
        if kind == "outlier_detector":
            return [_OUTLIER if one < 0 else _INLIER for one in result.tolist()], [], []
        if kind != "classifier" and result.dtype.kind == "f":
            return [], result.tolist(), []
        return _labels(result.tolist()), [], []
    if name == "decision_function" and len(shape) == 1:
        scores: list[float] = result.tolist()
        if kind == "outlier_detector":
            return [_OUTLIER if one < 0 else _INLIER for one in scores], scores, []
        if len(classes) == 2:
            return [classes[one > 0] for one in scores], scores, [abs(one) for one in scores]
        return [], scores, []
    if name != "predict" and len(shape) == 2 and len(classes) == shape[1]:
        ordered = result.copy()
        ordered.sort(1)
        best: list[float] = ordered[:, -1].tolist()
        margins: list[float] = (ordered[:, -1] - ordered[:, -2]).tolist() if shape[1] > 1 else []
        return [classes[at] for at in result.argmax(1).tolist()], best, margins
    return [], [], []


def _of_distribution(decision: str | None, probabilities: list[float]) -> Outcome:
    """Return what the probabilities of one row say, under the name of the class."""
    outcome = of_probabilities(probabilities) or Outcome()
    return outcome._replace(decision=decision)


def _classes_of(estimator: Estimator) -> list[str]:
    classes: object = getattr(estimator, "classes_", None)
    listed = cast("Any", classes).tolist() if hasattr(classes, "tolist") else None
    return _labels(cast("list[object]", listed)) if isinstance(listed, list) else []


def _labels(values: list[object]) -> list[str]:
    """Return the names of classes; none where one of them is a text too long to be a name."""
    named = [f"{value:g}" if isinstance(value, float) else label(value) for value in values]
    known = [name for name in named if name is not None]
    return known if len(known) == len(values) else []
