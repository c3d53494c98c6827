"""Decision and score out of common results, and size and shape out of common inputs, without copying content."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

_ITEMS: Final[tuple[type[object], ...]] = (str, Mapping)  # a list of such is a batch
_LABELS: Final = ("label", "decision", "class", "prediction", "predicted_label")
_SCORES: Final = ("score", "confidence", "probability", "proba")
_SUM_TOLERANCE: Final = 1e-3
_MOST_PROBABILITIES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a result says.

    Args:
        decision: Label, class or top item.
        score: Confidence in it.
        kind: `probability` where it is one by its form, else `score`.
        margin: First less second probability.
        entropy: Shannon entropy of the distribution, nats.
        size: Items, where the result is a list of them.
    """

    decision: str | None = None
    score: float | None = None
    kind: str | None = None
    margin: float | None = None
    entropy: float | None = None
    size: int | None = None


NOTHING: Final = Outcome()


def outcome_of(result: object) -> Outcome:
    """Read decision and score from a mapping with label and score, a list of them, (label, score), probabilities or a scalar.

    Args:
        result: What the model function returned.

    Returns:
        What could be read; nothing is guessed from free text.
    """
    if isinstance(result, Mapping):
        return _of_mapping(cast("Mapping[object, object]", result))
    if isinstance(result, (bool, int)):
        return Outcome(decision=str(result))
    if isinstance(result, float):
        return Outcome(score=result, kind="score")
    numbers = _numbers(result)
    if numbers is not None:
        return _of_numbers(numbers)
    if isinstance(result, tuple):
        return _of_pair(cast("tuple[object, ...]", result))
    if isinstance(result, list):
        return _of_list(cast("list[object]", result))
    return NOTHING


def _of_mapping(result: Mapping[object, object]) -> Outcome:
    label = next((result[key] for key in _LABELS if key in result), None)
    score = next((result[key] for key in _SCORES if key in result), None)
    number = _real(score)
    if label is None and number is None:
        return NOTHING
    return Outcome(decision=_label(label), score=number, kind=_kind(number))


def _of_pair(result: tuple[object, ...]) -> Outcome:
    if len(result) == 2 and isinstance(result[0], (str, int)) and (score := _real(result[1])) is not None:
        return Outcome(decision=str(result[0]), score=score, kind=_kind(score))
    return NOTHING


def _of_list(result: list[object]) -> Outcome:
    outcomes = [outcome_of(item) for item in result]
    scored = [outcome for outcome in outcomes if outcome.score is not None]
    if not scored:
        return NOTHING
    best = max(scored, key=lambda outcome: outcome.score or 0.0)
    ranked = sorted((outcome.score or 0.0 for outcome in scored), reverse=True)
    margin = ranked[0] - ranked[1] if _is_distribution(ranked) else None
    entropy = _entropy(ranked) if _is_distribution(ranked) else None
    return Outcome(best.decision, best.score, best.kind, margin, entropy, len(result))


def _of_numbers(numbers: Sequence[float]) -> Outcome:
    if not _is_distribution(numbers):
        return NOTHING
    best = max(range(len(numbers)), key=numbers.__getitem__)
    ranked = sorted(numbers, reverse=True)
    return Outcome(str(best), ranked[0], "probability", ranked[0] - ranked[1], _entropy(numbers))


def _numbers(value: object) -> Sequence[float] | None:
    """Return a flat vector's numbers, of an array with one row too; without importing numpy."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        if not shape:
            item = getattr(value, "item", None)
            return [float(item())] if item else None
        flat = [size for size in shape if size != 1]
        if len(flat) > 1 or math.prod(shape) > _MOST_PROBABILITIES:
            return None
        flatten: Any = getattr(value, "reshape", None)
        value = flatten(-1).tolist() if flatten else None
    if not isinstance(value, list) or not 2 <= len(cast("list[object]", value)) <= _MOST_PROBABILITIES:
        return None
    items = cast("list[object]", value)
    numbers = [item for item in items if isinstance(item, float)]
    return numbers if len(numbers) == len(items) else None


def _is_distribution(numbers: Sequence[float]) -> bool:
    return (
        len(numbers) > 1
        and all(0.0 <= number <= 1.0 for number in numbers)
        and abs(math.fsum(numbers) - 1.0) <= _SUM_TOLERANCE
    )


def _entropy(numbers: Sequence[float]) -> float:
    return -math.fsum(number * math.log(number) for number in numbers if number > 0) + 0.0


def _real(value: object) -> float | None:
    item = getattr(value, "item", None)
    if item is not None and not getattr(value, "shape", ()):
        value = item()
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _label(value: object) -> str | None:
    item = getattr(value, "item", None)
    value = item() if item is not None and not getattr(value, "shape", ()) else value
    return str(value) if isinstance(value, (str, int, bool)) else None


def _kind(score: float | None) -> str | None:
    if score is None:
        return None
    return "probability" if 0.0 <= score <= 1.0 else "score"


@dataclass(frozen=True, slots=True)
class Size:
    """How large an input is.

    Args:
        count: Characters of texts, numbers of arrays and sequences, 1 for a scalar; of several arguments the sum.
        sparsity: Share of zeros, where the input is numbers.
        shape: Of a single array, as `1x768`.
        batch: Items, where the only argument is a list of texts or mappings.
    """

    count: int = 0
    sparsity: float | None = None
    shape: str | None = None
    batch: int | None = None


def size_of(values: Sequence[object]) -> Size:
    """Measure the arguments of a call.

    Args:
        values: The arguments that are the input.
    """
    if len(values) != 1:
        return Size(sum(_count(value) for value in values))
    value = values[0]
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "dtype"):
        return _size_of_array(value, cast("tuple[int, ...]", shape))
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[object]", value)
        numbers = [float(item) for item in items if isinstance(item, (int, float)) and not isinstance(item, bool)]
        if numbers and len(numbers) == len(items):
            return Size(len(items), numbers.count(0.0) / len(items))
        if items and all(isinstance(item, _ITEMS) for item in items):
            return Size(_count(items), batch=len(items))
    return Size(_count(value))


def _size_of_array(value: object, shape: tuple[int, ...]) -> Size:
    count = math.prod(int(length) for length in shape)
    try:
        zeros = int((value == 0).sum())  # type: ignore[attr-defined] # pyright: ignore
    except (AttributeError, TypeError, ValueError):
        return Size(count, shape="x".join(map(str, shape)))
    return Size(count, zeros / count if count else None, "x".join(map(str, shape)))


def _count(value: object) -> int:
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_count(item) for item in cast("Mapping[object, object]", value).values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return sum(_count(item) for item in cast("Sequence[object]", value))
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return math.prod(int(length) for length in cast("tuple[int, ...]", shape))
    return 1
