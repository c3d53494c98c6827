"""The rows that a window keeps of each series, and those that wait until there are enough of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.features import NUMBERS
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Codes, Flags, Ints, Narrow, Singles
from spanward_processor.kernels.sampling import SAMPLED, TOLD, UNKNOWN, Shorts
from spanward_processor.kernels.waiting import Waiters, empty_waiters, sift_rows

_FEWEST_NUMBERS: Final = 2
_LONGEST_WAIT: Final = 16  # windows

FEWEST_ROWS: Final = 20
"""Sampled rows from which a window is judged; fewer wait for the next."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of series as vectors of their numbers, at most `SAMPLED` of each, sorted by (key, rank).

    Those with the smallest ranks are kept, so the sample of two shards is the sample of their rows.

    Args:
        keys: (r,) int64 series.
        ranks: (r,) uint64 hash of the row.
        values: (r, d) int16 numbers by `features.NUMBERS`, `UNKNOWN` where the row has none.
        marks: (r, m) int64 where several attributes slice rows: the key of each slice, -1 for none, then the bins of
            `features.MARKED`; else m is 0.
        measured: (r, 1 + TOLD) float32 seconds from start to end, then what the row told by `DATA` and `RUNTIME`; NaN where it did not.
        routes: (r,) int32 key of the row's first slice, -1 for none.
    """

    keys: Ints
    ranks: Codes
    values: Shorts
    marks: Ints
    measured: Singles
    routes: Narrow

    @classmethod
    def of(cls, rows: int, marks: int = 0) -> Self:
        """Return room for a sample of so many rows, with so many marks each."""
        return cls(
            np.empty(rows, np.int64),
            np.empty(rows, np.uint64),
            np.empty((rows, NUMBERS.size), np.int16),
            np.empty((rows, marks), np.int64),
            np.empty((rows, 1 + TOLD), np.float32),
            np.empty(rows, np.int32),
        )

    @classmethod
    def empty(cls) -> Self:
        """Return the sample of no rows."""
        return cls.of(0)

    def where(self, chosen: Flags | Ints) -> "Sample":
        """Return the chosen rows."""
        return Sample(
            self.keys[chosen],
            self.ranks[chosen],
            self.values[chosen],
            self.marks[chosen],
            self.measured[chosen],
            self.routes[chosen],
        )

    def related(self) -> "Sample":
        """Return the rows with two numbers at least: one says nothing about how numbers go together."""
        return self.where((self.values != UNKNOWN).sum(axis=1) >= _FEWEST_NUMBERS)

    def __add__(self, other: "Sample") -> "Sample":
        """Return the sample of the rows of both."""
        if not self.keys.size or not other.keys.size:  # how many slices rows have, nobody knows without any
            return self if self.keys.size else other
        both = Sample(
            np.concatenate((self.keys, other.keys)),
            np.concatenate((self.ranks, other.ranks)),
            np.concatenate((self.values, other.values)),
            np.concatenate((self.marks, other.marks)),
            np.concatenate((self.measured, other.measured)),
            np.concatenate((self.routes, other.routes)),
        )
        both = both.where(np.lexsort((both.ranks, both.keys)))
        return both.where(within_of(both.keys) < SAMPLED)


def starts_of(keys: Ints) -> Ints:
    """Return (g + 1,) int64 where each of sorted keys begins, and where the last ends."""
    if not keys.size:
        return np.zeros(1, np.int64)
    return np.concatenate(([0], np.flatnonzero(np.diff(keys)) + 1, [keys.size]))


def within_of(keys: Ints) -> Ints:
    """Return (n,) int64 the place of each row among those of its key; keys are sorted."""
    starts = starts_of(keys)
    return np.asarray(np.arange(keys.size) - np.repeat(starts[:-1], np.diff(starts)))


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows by series.

    Args:
        keys: (g,) int64 series, ascending.
        starts: (g + 1,) int64 where the rows of each begin.
        values: (r, d) int16.
    """

    keys: Ints
    starts: Ints
    values: Shorts

    @classmethod
    def empty(cls) -> Self:
        """Return no groups."""
        return cls(np.empty(0, np.int64), np.zeros(1, np.int64), Sample.empty().values)

    def of(self, key: int) -> Shorts:
        """Return the rows of a series, none where it has no group."""
        at = int(np.searchsorted(self.keys, key))
        if at == self.keys.size or self.keys[at] != key:
            return self.values[:0]
        return self.values[self.starts[at] : self.starts[at + 1]]

    def where(self, chosen: Flags) -> "Groups":
        """Return the chosen groups."""
        sizes = np.diff(self.starts)
        starts = np.concatenate(([0], np.cumsum(sizes[chosen])))
        return Groups(self.keys[chosen], starts, self.values[np.repeat(chosen, sizes)])


class Waiting:
    """Rows of series with too few in a window, kept until there are enough; those that have waited long are forgotten.

    So a series that is hardly ever seen costs a few rows and nothing more. In every window each detector calls `gather`, then each
    calls `settle`; whoever is first does it for all.

    Args:
        fewest: Rows that are enough.
    """

    def __init__(self, fewest: int = FEWEST_ROWS) -> None:
        self._fewest = fewest
        self._waiting = self._next = empty_waiters(0, NUMBERS.size)
        self._sample: Sample | None = None  # that was gathered, until it is settled
        self._gathered = Groups.empty()
        self._held: Ints = np.empty(0, np.int64)  # series that were held when rows were settled last

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies(self._waiting._asdict() | {"held": self._held})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._waiting = Waiters(*(arrays[name] for name in Waiters._fields))
        self._held = arrays["held"]

    def gather(self, sample: Sample) -> Groups:
        """Return the series that have enough rows with those of a window, until `settle` as if they had none.

        Rows with one number are left out: they say nothing about how numbers go together.
        """
        if self._sample is not sample:  # after an error the one before was never settled
            self._sample, self._gathered = sample, self._sift(sample)
        return self._gathered

    def _sift(self, sample: Sample) -> Groups:
        rows = sample.keys.size + self._waiting.keys.size
        most = rows // self._fewest
        keys, starts = np.empty(most, np.int64), np.empty(most + 1, np.int64)
        values = np.empty((rows, NUMBERS.size), np.int16)
        stay, sizes = empty_waiters(rows, NUMBERS.size), np.empty(3, np.int64)
        sift_rows(
            sample.keys,
            sample.values,
            _FEWEST_NUMBERS,
            self._waiting,
            self._fewest,
            _LONGEST_WAIT,
            keys,
            starts,
            values,
            stay,
            sizes,
        )
        groups, ready, left = sizes.tolist()
        self._next = Waiters(stay.keys[:left], stay.ages[:left], stay.values[:left])
        return Groups(keys[:groups], starts[: groups + 1], values[:ready])

    def settle(self, held: Ints) -> None:
        """Keep what waits on; what came up is gone, whoever learns it, so that no row is judged twice.

        Rows of held series wait and come up like others, or nobody would see them come back. What is left of them when they are held
        no longer is forgotten.

        Args:
            held: (h,) int64 series, ascending.
        """
        if self._sample is None:
            return
        waiting, self._sample, self._gathered = self._next, None, Groups.empty()
        over = np.setdiff1d(self._held, held)
        if over.size:
            on = ~np.isin(waiting.keys, over)
            waiting = Waiters(waiting.keys[on], waiting.ages[on], waiting.values[on])
        self._held, self._waiting = held, waiting
