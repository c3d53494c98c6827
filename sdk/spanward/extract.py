"""Decision and score out of common results, without copying content and without importing numpy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

_LABELS: Final = ("label", "decision", "class", "prediction", "predicted_label")
_SCORES: Final = ("score", "confidence", "probability", "proba")
_SUM_TOLERANCE: Final = 1e-3
_MOST_PROBABILITIES: Final = 100_000
_LONGEST_LABEL: Final = 64  # characters; a longer text is content that a model wrote, not the name of a class
_AS_IT_IS: Final = frozenset({float, str, int, bool, list, tuple})  # what most results are made of

PROBABILITY: Final = "probability"
SCORE: Final = "score"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a result says.

    Args:
        decision: Label, class or top item.
        score: Confidence in it.
        kind: `probability` where it is one by its form, else `score`.
        margin: First less second probability.
        entropy: Shannon entropy of the distribution, nats.
    """

    decision: str | None = None
    score: float | None = None
    kind: str = SCORE
    margin: float | None = None
    entropy: float | None = None


NOTHING: Final = Outcome()


def outcome_of(result: object) -> Outcome:
    """Read decision and score from a mapping with label and score, a list of them, (label, score), probabilities or a scalar.

    Args:
        result: What the model function returned.

    Returns:
        What could be read; nothing is guessed from free text.
    """
    if isinstance(result, dict):  # most results are, and asking for the abstract Mapping costs five times as much
        return _of_mapping(cast("dict[object, object]", result))
    result = _plain(result)
    if isinstance(result, int):
        return Outcome(decision=str(result))
    if isinstance(result, float):
        return Outcome(score=result)
    if isinstance(result, tuple):
        return _of_pair(cast("tuple[object, ...]", result))
    if isinstance(result, list):
        return _of_list(cast("list[object]", result))
    if isinstance(result, Mapping):
        return _of_mapping(cast("Mapping[object, object]", result))
    return NOTHING


def real(value: object) -> float | None:
    """Return a number as float, numpy's and tensors' too; None of anything else, truth values included."""
    value = _plain(value)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def kind_of(score: float) -> str:
    """Return whether a score that comes with a label can be a probability."""
    return PROBABILITY if 0.0 <= score <= 1.0 else SCORE


def _plain(value: object) -> object:
    """Return an array as a list when it is one row of at most so many numbers, and as a scalar when it is one number."""
    if type(value) in _AS_IT_IS:
        return value
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple):
        return value
    lengths = cast("tuple[int, ...]", shape)
    flatten: Any = getattr(value, "reshape", None)
    if flatten is None or math.prod(lengths) > _MOST_PROBABILITIES or sum(length != 1 for length in lengths) > 1:
        return None
    flat: list[object] = flatten(-1).tolist()
    return flat[0] if len(flat) == 1 else flat


def _of_mapping(result: Mapping[object, object]) -> Outcome:
    number = real(_first(result, _SCORES))
    return Outcome(_label(_first(result, _LABELS)), number, SCORE if number is None else kind_of(number))


def _first(result: Mapping[object, object], keys: Sequence[str]) -> object:
    for key in keys:
        if key in result:
            return result[key]
    return None


def _of_pair(result: tuple[object, ...]) -> Outcome:
    if len(result) != 2:
        return NOTHING
    label, number = _label(result[0]), real(result[1])
    return NOTHING if label is None or number is None else Outcome(label, number, kind_of(number))


def _of_list(result: list[object]) -> Outcome:
    """Read probabilities by class, or the ranking of a list of labels with scores."""
    if not 1 <= len(result) <= _MOST_PROBABILITIES:
        return NOTHING
    if isinstance(result[0], float):
        return _of_probabilities(result)
    if not isinstance(result[0], (Mapping, tuple)):
        return NOTHING
    outcomes = [outcome_of(item) for item in result]
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    if len(scores) < len(outcomes) or len({outcome.decision for outcome in outcomes}) < len(outcomes):
        return NOTHING  # the same label twice is no ranking: it is one result for each of several inputs
    best = max(range(len(scores)), key=scores.__getitem__)
    return Outcome(outcomes[best].decision, scores[best], outcomes[best].kind, *_spread(scores))


def _of_probabilities(items: list[object]) -> Outcome:
    numbers = [item for item in items if isinstance(item, float)]
    if len(numbers) < len(items) or not _is_distribution(numbers):
        return NOTHING
    best = max(range(len(numbers)), key=numbers.__getitem__)
    return Outcome(str(best), numbers[best], PROBABILITY, *_spread(numbers))


def _spread(numbers: Sequence[float]) -> tuple[float | None, float | None]:
    """Return margin and entropy of a distribution; of other scores they mean nothing."""
    if not _is_distribution(numbers):
        return None, None
    first, second = sorted(numbers, reverse=True)[:2]
    return first - second, -math.fsum(number * math.log(number) for number in numbers if number > 0) + 0.0


def _is_distribution(numbers: Sequence[float]) -> bool:
    return (
        len(numbers) > 1
        and min(numbers) >= 0.0
        and max(numbers) <= 1.0
        and abs(math.fsum(numbers) - 1.0) <= _SUM_TOLERANCE
    )


def _label(value: object) -> str | None:
    value = _plain(value)
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_LABEL else None
    return str(value) if isinstance(value, int) else None
