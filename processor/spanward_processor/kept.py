"""What is kept of the state over a restart: named arrays, given and taken back by whoever holds them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


class Kept(Protocol):
    """Holds state that outlives the process."""

    def arrays(self) -> Arrays:
        """Return copies of all that must be kept, by name."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `arrays` gave, in place of all there is; the arrays are ours from then on.

        Raises:
            KeyError: One is missing.
            ValueError: One is of another shape.
        """
        ...


def copies(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return arrays that nobody else changes."""
    return {name: array.copy() for name, array in arrays.items()}


def under(name: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the arrays of a part by their names in the whole."""
    return {f"{name}.{key}": array for key, array in arrays.items()}


def part(name: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the arrays of a part of the whole, by their names in the part."""
    begin = f"{name}."
    return {key.removeprefix(begin): array for key, array in arrays.items() if key.startswith(begin)}


def gathered(parts: Mapping[str, Kept]) -> Arrays:
    """Return the arrays of all parts."""
    return {key: array for name, kept in parts.items() for key, array in under(name, kept.arrays()).items()}


def scattered(parts: Mapping[str, Kept], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Give every part its arrays back."""
    for name, kept in parts.items():
        kept.restore(part(name, arrays))


def from_json(value: object) -> NDArray[np.uint8]:
    """Return what is no array as one."""
    return np.frombuffer(json.dumps(value, separators=(",", ":")).encode(), np.uint8)


def to_json(array: NDArray[Any]) -> Any:
    """Return what `from_json` was given, tuples as lists."""
    return json.loads(array.astype(np.uint8, copy=False).tobytes())


def of_texts(texts: Mapping[int, str]) -> Arrays:
    """Return texts by code."""
    return {"codes": np.fromiter(texts, np.uint64, len(texts)), "texts": from_json(list(texts.values()))}


def to_texts(arrays: Mapping[str, NDArray[Any]]) -> dict[int, str]:
    """Return what `of_texts` was given."""
    texts = cast("Iterable[str]", to_json(arrays["texts"]))
    return dict(zip(arrays["codes"].tolist(), texts, strict=True))
