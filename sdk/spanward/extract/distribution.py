"""Numbers: one, the probabilities of all classes, or the logits they come from."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from spanward.outcome import (
    MOST_PROBABILITIES,
    NOTHING,
    PROBABILITY,
    SCORE,
    SOFTMAX,
    Outcome,
    fields_of,
    plain,
    shape_of,
)

SUM_TOLERANCE: Final = 1e-3


def of_scalar(result: Any) -> Outcome | None:
    """Read an integer as the class and a float as the score."""
    if isinstance(result, int):
        return Outcome(decision=str(result))
    return Outcome(score=float(result)) if isinstance(result, float) else None


def of_probabilities(result: Any) -> Outcome | None:
    """Read a list of floats where they are the probabilities of all classes."""
    if not isinstance(result, list):
        return None
    items = cast("list[object]", result)
    if not 1 <= len(items) <= MOST_PROBABILITIES or not isinstance(items[0], float):
        return None
    numbers = [item for item in items if isinstance(item, float)]
    if len(numbers) < len(items) or not _is_distribution(numbers):
        return NOTHING
    return _of_best(numbers, PROBABILITY)


def of_array(result: Any) -> Outcome | None:
    """Read an array or tensor of one number, or of one row that is a distribution."""
    if shape_of(result) is None:
        return None
    value = plain(result)
    return of_scalar(value) or of_probabilities(value) or NOTHING


def of_logits(result: Any) -> Outcome | None:
    """Read what a classifier gives before softmax: `logits` of one row, by attribute or by key.

    The probability is computed here, so its kind is `softmax`: whether the model means one label of many is not known.
    One logit is a regression's value; logits of several rows or of every token say nothing of one decision.
    """
    fields = cast("Mapping[object, object]", result) if isinstance(result, Mapping) else fields_of(result)
    logits = None if fields is None else fields.get("logits")
    if logits is None:
        return None
    numbers = plain(logits)
    if isinstance(numbers, float):
        return Outcome(score=numbers, kind=SCORE)
    if not isinstance(numbers, list):
        return NOTHING
    row = [number for number in cast("list[object]", numbers) if isinstance(number, float)]
    return _of_best(_softmax(row), SOFTMAX) if len(row) > 1 else NOTHING


def spread(numbers: Sequence[float]) -> tuple[float | None, float | None]:
    """Return margin and entropy of a distribution; of other scores they mean nothing."""
    if not _is_distribution(numbers):
        return None, None
    first, second = sorted(numbers, reverse=True)[:2]
    return first - second, -math.fsum(number * math.log(number) for number in numbers if number > 0) + 0.0


def _of_best(numbers: Sequence[float], kind: str) -> Outcome:
    best = max(range(len(numbers)), key=numbers.__getitem__)
    return Outcome(str(best), numbers[best], kind, *spread(numbers))


def _softmax(logits: Sequence[float]) -> list[float]:
    highest = max(logits)
    powers = [math.exp(logit - highest) for logit in logits]
    whole = math.fsum(powers)
    return [power / whole for power in powers]


def _is_distribution(numbers: Sequence[float]) -> bool:
    return (
        len(numbers) > 1
        and min(numbers) >= 0.0
        and max(numbers) <= 1.0
        and abs(math.fsum(numbers) - 1.0) <= SUM_TOLERANCE
    )
