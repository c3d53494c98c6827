"""How large an input is, in a few passes at the speed of C: inputs may hold many thousand numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from spanward import semconv
from spanward.items import Attributes
from spanward.outcome import in_host_memory

_DEEPEST: Final = 32


class Size(NamedTuple):
    """How large an input is; a named tuple, since one is made for every call.

    Args:
        length: Characters of texts, numbers of arrays and sequences, 1 for a scalar; of several arguments the sum.
        sparsity: Share of zeros, where the input is numbers.
        shape: Of a single array, as `1x768`.
        batch: Items, where the only argument is a list of texts or mappings.
        rows: Where the only argument is a list, or an array of two dimensions or more, the length of its first: what may
            be the items of a batch.
    """

    length: int = 0
    sparsity: float | None = None
    shape: str | None = None
    batch: int | None = None
    rows: int | None = None


def size_of(values: Sequence[object]) -> Size:
    """Measure the arguments of a call.

    Args:
        values: The arguments that are the input.
    """
    if len(values) != 1:
        return Size(sum(_count(value) for value in values))
    value = values[0]
    if isinstance(value, (list, tuple)):
        return _size_of_items(cast("list[object] | tuple[object, ...]", value))
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape and hasattr(value, "dtype"):
        return _size_of_array(value, cast("tuple[int, ...]", shape))
    rows = cast("int", shape[0]) if isinstance(shape, tuple) and len(cast("tuple[int, ...]", shape)) > 1 else None
    return Size(_count(value), rows=rows)


def tell_size(facts: Attributes, values: Sequence[object]) -> int | None:
    """Add how large an input is to what is told of its call.

    Args:
        facts: What is told of the call.
        values: The arguments that are the input.

    Returns:
        How many items the input may have.
    """
    length, sparsity, shape, batch, rows = size_of(values)
    facts[semconv.FEATURES_COUNT] = length
    if sparsity is not None:
        facts[semconv.FEATURES_SPARSITY] = sparsity
    if shape is not None:
        facts[semconv.FEATURES_SHAPE] = shape
    if batch is not None:
        facts[semconv.BATCH_SIZE] = batch
    return rows


def _size_of_items(items: list[object] | tuple[object, ...]) -> Size:
    kinds = set(map(type, items))
    if not kinds:
        return Size()
    if _are_numbers(kinds):
        return Size(len(items), items.count(0) / len(items))
    batch = len(items) if all(issubclass(kind, (str, Mapping)) for kind in kinds) else None
    return Size(_count(items), batch=batch, rows=len(items))


def _size_of_array(value: Any, shape: tuple[int, ...]) -> Size:
    count, name, rows = math.prod(shape), "x".join(map(str, shape)), shape[0] if len(shape) > 1 else None
    # numpy's kinds of numbers; tensors name none. To count the zeros of one on a device would wait for the device.
    if getattr(value.dtype, "kind", "f") not in {"b", "i", "u", "f"} or not in_host_memory(value):
        return Size(count, shape=name, rows=rows)
    stored = getattr(value, "nnz", None)  # of a sparse matrix, which would have to be filled up to be compared
    try:
        zeros = count - stored if isinstance(stored, int) else int((value == 0).sum())
    except (AttributeError, TypeError, ValueError):
        return Size(count, shape=name, rows=rows)
    return Size(count, zeros / count if count else None, name, rows=rows)


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
