"""A closed window: what was counted in a stretch of event time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.features import Aspect
from spanward_processor.kept import Arrays
from spanward_processor.kernels.jit import Codes, Floats, Ints
from spanward_processor.kernels.tables import OTHER
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.sample import Sample

_SECOND_NS: Final = 1_000_000_000
_SAMPLE: Final = ("keys", "ranks", "values", "marks", "measured", "routes")


@dataclass(frozen=True, slots=True)
class Window:
    """A closed window.

    Args:
        start_ns: First nanosecond of event time in it.
        end_ns: First nanosecond after it.
        cells: What was counted.
        example_keys: (k,) int64 keys that have an example row.
        example_p: (k,) float64 p-value of that row, the smallest of its key.
        examples: (k, 2) uint64 trace id of that row.
        sample: Some rows of each series.
        whole: Whether its time was seen from end to end; else its rate says nothing.
    """

    start_ns: int
    end_ns: int
    cells: Cells
    example_keys: Ints
    example_p: Floats
    examples: Codes
    sample: Sample
    whole: bool = True
    rates: Cells = field(init=False, repr=False, compare=False)
    """How many rows each key has; nearly everybody asks."""

    def __post_init__(self) -> None:
        """Find the rates once for all."""
        object.__setattr__(self, "rates", self.cells.of_features(Aspect.RATE))

    @classmethod
    def empty(cls, start_ns: int, end_ns: int) -> Self:
        """Return a window in which nothing happened."""
        nothing = np.empty(0, np.int64)
        return cls(start_ns, end_ns, Cells.empty(), nothing, np.empty(0), np.empty((0, 2), np.uint64), Sample.empty())

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the window that gave these arrays; see `arrays`."""
        start_ns, end_ns, whole = (int(number) for number in arrays["times"])
        cells = Cells(arrays["streams"], arrays["bins"], arrays["counts"])
        sample = Sample(*(arrays[f"sample_{part}"] for part in _SAMPLE))
        return cls(start_ns, end_ns, cells, arrays["keys"], arrays["p"], arrays["traces"], sample, bool(whole))

    def arrays(self) -> Arrays:
        """Return what is kept over a restart; see `Kept`."""
        return {
            "times": np.array([self.start_ns, self.end_ns, self.whole], np.int64),
            "streams": self.cells.streams,
            "bins": self.cells.bins,
            "counts": self.cells.counts,
            "keys": self.example_keys,
            "p": self.example_p,
            "traces": self.examples,
        } | {f"sample_{part}": getattr(self.sample, part) for part in _SAMPLE}

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end_ns - self.start_ns) / _SECOND_NS

    def others(self) -> int:
        """Return how many values of rows found no counter of their own, and were counted as "other"."""
        return int(self.cells.counts[self.cells.bins == OTHER].sum())

    def example(self, key: int) -> str:
        """Return the hex trace id of the most surprising row of a key, or an empty string."""
        at = int(np.searchsorted(self.example_keys, key))
        if at == self.example_keys.size or self.example_keys[at] != key or not self.examples[at].any():
            return ""
        return f"{int(self.examples[at, 0]):016x}{int(self.examples[at, 1]):016x}"

    def __add__(self, other: "Window") -> "Window":
        """Return the window of two shards over the same time."""
        if (self.start_ns, self.end_ns) != (other.start_ns, other.end_ns):
            raise ValueError(f"window: only equal times merge, got {self.start_ns} and {other.start_ns}")
        keys = np.concatenate((self.example_keys, other.example_keys))
        p = np.concatenate((self.example_p, other.example_p))
        first = _first_of_each(keys, p)
        traces = np.concatenate((self.examples, other.examples))
        whole = self.whole and other.whole
        cells, sample = self.cells + other.cells, self.sample + other.sample
        return Window(self.start_ns, self.end_ns, cells, keys[first], p[first], traces[first], sample, whole)


def _first_of_each(keys: Ints, p: Floats) -> Ints:
    """Return where each key stands with its smallest p."""
    order = np.lexsort((p, keys))
    _, first = np.unique(keys[order], return_index=True)
    return np.asarray(order[first], np.int64)
