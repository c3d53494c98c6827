"""How large an input is, in a few passes at the speed of C: inputs may hold many thousand numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

_DEEPEST: Final = 32


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
    if isinstance(value, str):
        return Size(len(value))
    if isinstance(value, (list, tuple)):
        return _size_of_items(cast("list[object] | tuple[object, ...]", value))
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape and hasattr(value, "dtype"):
        return _size_of_array(value, cast("tuple[int, ...]", shape))
    return Size(_count(value))


def _size_of_items(items: list[object] | tuple[object, ...]) -> Size:
    kinds = set(map(type, items))
    if not kinds:
        return Size()
    if _are_numbers(kinds):
        return Size(len(items), items.count(0) / len(items))
    batch = len(items) if all(issubclass(kind, (str, Mapping)) for kind in kinds) else None
    return Size(_count(items), batch=batch)


def _size_of_array(value: Any, shape: tuple[int, ...]) -> Size:
    count, name = math.prod(shape), "x".join(map(str, shape))
    if getattr(value.dtype, "kind", "f") not in {"b", "i", "u", "f"}:  # numpy's kinds of numbers; tensors name none
        return Size(count, shape=name)
    try:
        zeros = int((value == 0).sum())
    except (AttributeError, TypeError, ValueError):
        return Size(count, shape=name)
    return Size(count, zeros / count if count else None, name)


def _count(value: object, depth: int = 0) -> int:
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = cast("Sequence[object]", value)
    elif isinstance(value, Mapping):
        items = list(cast("Mapping[object, object]", value).values())
    else:
        shape = getattr(value, "shape", None)
        return math.prod(cast("tuple[int, ...]", shape)) if isinstance(shape, tuple) else 1
    if depth == _DEEPEST or _are_numbers(set(map(type, items))):
        return len(items)
    return sum(_count(item, depth + 1) for item in items)


def _are_numbers(kinds: set[type]) -> bool:
    return all(issubclass(kind, (int, float)) and kind is not bool for kind in kinds)
