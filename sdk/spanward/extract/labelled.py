"""Labels with scores: one as a mapping or a pair, several as a ranking."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from spanward.extract.distribution import spread
from spanward.outcome import MOST_PROBABILITIES, NOTHING, Outcome, fields_of, kind_of, label, real

_LABELS: Final = ("label", "decision", "class", "prediction", "predicted_label")
_SCORES: Final = ("score", "confidence", "probability", "proba")


def of_mapping(result: Any) -> Outcome | None:
    """Read `{"label": ..., "score": ...}` under one of their usual names, and `{"labels": [...], "scores": [...]}`."""
    # Most results are a dict, and asking for the abstract Mapping costs five times as much.
    if not isinstance(result, dict) and not isinstance(result, Mapping):
        return None
    fields = cast("Mapping[object, object]", result)
    name, number = label_and_score(fields)
    if number is not None:
        return Outcome(name, number, kind_of(number))
    return Outcome(name) if name is not None else _of_columns(fields)


def label_and_score(fields: Mapping[Any, object]) -> tuple[str | None, float | None]:
    """Return what stands under the usual names, as far as it is a label and a score."""
    name = number = None
    for key in _LABELS:
        if key in fields:
            name = label(fields[key])
            break
    for key in _SCORES:
        if key in fields:
            number = real(fields[key])
            break
    return name, number


def of_record(result: Any) -> Outcome | None:
    """Read the same out of a dataclass or a pydantic model."""
    fields = fields_of(result)
    return None if fields is None else of_mapping(fields)


def of_pair(result: Any) -> Outcome | None:
    """Read `(label, score)`."""
    if not isinstance(result, tuple):
        return None
    pair = cast("tuple[object, ...]", result)
    if len(pair) != 2:
        return NOTHING
    name, number = label(pair[0]), real(pair[1])
    return NOTHING if name is None or number is None else Outcome(name, number, kind_of(number))


def of_ranking(result: Any) -> Outcome | None:
    """Read a list of labels with scores: the best is the decision, and a distribution tells margin and entropy."""
    if not isinstance(result, list):
        return None
    items = cast("list[object]", result)
    if not 1 <= len(items) <= MOST_PROBABILITIES or not isinstance(items[0], (Mapping, tuple)):
        return None
    outcomes = [of_mapping(item) or of_pair(item) or NOTHING for item in items]
    return _best([outcome.decision for outcome in outcomes], [outcome.score for outcome in outcomes])


def _of_columns(fields: Mapping[object, object]) -> Outcome | None:
    names, numbers = fields.get("labels"), fields.get("scores")
    if not isinstance(names, (list, tuple)) or not isinstance(numbers, (list, tuple)):
        return None
    labels = [label(name) for name in cast("Sequence[object]", names)]
    scores = [real(number) for number in cast("Sequence[object]", numbers)]
    return _best(labels, scores) if labels and len(labels) == len(scores) else NOTHING


def _best(labels: Sequence[str | None], numbers: Sequence[float | None]) -> Outcome:
    scores = [number for number in numbers if number is not None]
    if len(scores) < len(labels) or len(set(labels)) < len(labels):
        return NOTHING  # the same label twice is no ranking: it is one result for each of several inputs
    best = max(range(len(scores)), key=scores.__getitem__)
    return Outcome(labels[best], scores[best], kind_of(scores[best]), *spread(scores))
