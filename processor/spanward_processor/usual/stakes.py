"""Stakes on items of streams with many: which items are worth one, what each may have, and what a window pays."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Flags, Floats, Ints, Singles
from spanward_processor.kernels.tables import OTHER

PLACES: Final = 12
"""Items of one stream that are staked on at a time."""

BETS: Final = 5
"""Bets on each."""

NOBODY: Final = -(1 << 62)
"""No item has this bin."""

_FACTORS: Final = np.array([2.0, 4.0, 8.0, 16.0, 40.0])  # on what an item may have
_FLOOR: Final = 0.01  # share of the rows that any item may have
_TOLERANCE: Final = 2.0  # times its usual share, that an item may have
_FAR: Final = 2.0  # standard deviations of the baseline's own uncertainty
_FREQUENT: Final = 0.05  # share of the rows from which an item is not rare
_HIGHEST: Final = 0.95  # share that a bet is on at most
_MOST_PER_WINDOW: Final = float(np.log(10.0))  # by which a single window may multiply what a stake is worth
_MOST: Final = 12 * float(np.log(10.0))  # that is kept, so that evidence is gone soon after its cause
_MOST_GREW: Final = 600.0  # natural logarithm of what is told of one window


@dataclass(frozen=True, slots=True)
class Beside:
    """Streams of a window beside what is usual for them.

    Args:
        ranges: (s, 4) int64 where each begins and ends in `seen`, and begins and ends in `usual`.
        seen: The window's cells.
        usual: The baseline's cells.
        rows: (s,) float64 rows of the window.
        known: (s,) float64 rows of the baseline.
    """

    ranges: Ints
    seen: Packed
    usual: Packed
    rows: Floats
    known: Floats

    @classmethod
    def of(cls, ranges: Ints, seen: Packed, usual: Packed) -> Self:
        """Return streams with their rows counted."""
        return cls(ranges, seen, usual, _sums(seen.counts, ranges[:, :2]), _sums(usual.counts, ranges[:, 2:]))

    def where(self, chosen: Flags) -> "Beside":
        """Return the chosen streams."""
        return Beside(self.ranges[chosen], self.seen, self.usual, self.rows[chosen], self.known[chosen])

    def counts(self, bins: Ints, owner: Ints) -> tuple[Floats, Floats]:
        """Return (c,) float64 the rows of items in the window, and in the baseline.

        Args:
            bins: (c,) int64 the items.
            owner: (c,) int64 places of their streams.
        """
        of_window = counts_of(bins, self.ranges[owner, :2], self.seen)
        return of_window, counts_of(bins, self.ranges[owner, 2:], self.usual)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items that have more than they may; of each stream the one that exceeds it most comes first.

    Args:
        owner: (c,) int64 place of the stream, ascending.
        bins: (c,) int64 the item.
        share: (c,) float64 of the window's rows.
        usual: (c,) float64 of the baseline's rows.
    """

    owner: Ints
    bins: Ints
    share: Floats
    usual: Floats

    def where(self, chosen: Flags | Ints) -> "Candidates":
        """Return the chosen ones, in the order in which they are chosen."""
        return Candidates(self.owner[chosen], self.bins[chosen], self.share[chosen], self.usual[chosen])

    def owned(self, places: Ints) -> "Candidates":
        """Return the same ones of streams that stand at other places.

        Args:
            places: (s,) int64 where each stream stands now, in the same order.
        """
        return Candidates(places[self.owner], self.bins, self.share, self.usual)


def tolerated(counts: Floats, known: Floats) -> Floats:
    """Return (c,) float64 the share that items may have.

    Args:
        counts: (c,) float64 rows of each in the baseline.
        known: (c,) float64 all rows of the baseline.
    """
    most = (counts + _FAR * np.sqrt(counts) + _FAR) / np.maximum(known, 1.0)
    return np.clip(_TOLERANCE * most, _FLOOR, _HIGHEST)


def settled(before: Floats, seen: Floats, rows: Floats, most: Floats) -> tuple[Floats, Floats]:
    """Settle stakes by the rows of a window.

    The ratio of a larger share's likelihood to that of the largest tolerated one rises with the rows seen, so its mean is at most
    one for every share that is tolerated.

    Args:
        before: (c, b) float64 what each bet on each item was worth, not all nothing.
        seen: (c,) float64 rows of the item.
        rows: (c,) float64 rows of its stream.
        most: (c,) float64 share that it may have.

    Returns:
        What each bet is worth now, (c, b), by ten times more in all than before at most; and by how much it would have grown
        without that bound, (c,).
    """
    most, seen, rows = most[:, None], seen[:, None], rows[:, None]
    bets = np.minimum(_FACTORS * most, (1 + most) / 2)
    gain = seen * np.log(bets / most) + (rows - seen) * np.log((1 - bets) / (1 - most))
    top = gain.max(axis=1, keepdims=True, initial=-np.inf)
    paid = before * np.exp(gain - top)
    total = paid.sum(axis=1, keepdims=True)
    log_before = np.log(before.sum(axis=1, keepdims=True))
    grew = np.log(np.maximum(total, 1e-300)) + top - log_before
    now = np.minimum(log_before + np.minimum(grew, _MOST_PER_WINDOW), _MOST)
    return paid / np.maximum(total, 1e-300) * np.exp(now), np.exp(np.clip(grew[:, 0], -_MOST_GREW, _MOST_GREW))


def candidates(beside: Beside) -> Candidates:
    """Return the rare items that have more than they may in a window."""
    begins, ends = beside.ranges[:, 0], beside.ranges[:, 1]
    sizes = ends - begins
    owner = np.repeat(np.arange(sizes.size), sizes)
    at = np.arange(owner.size) + np.repeat(begins - (np.cumsum(sizes) - sizes), sizes)
    many = beside.seen.counts[at] > _FLOOR * beside.rows[owner]
    owner, at = owner[many], at[many]
    bins, share, known = beside.seen.bins[at], beside.seen.counts[at] / beside.rows[owner], beside.known[owner]
    counts = counts_of(bins, beside.ranges[owner, 2:], beside.usual)
    usual, ratio = counts / np.maximum(known, 1.0), share / tolerated(counts, known)
    odd = np.flatnonzero((ratio > 1) & (usual < _FREQUENT) & (bins != OTHER))
    order = odd[np.lexsort((bins[odd], -ratio[odd], owner[odd]))]
    return Candidates(owner, bins, share, usual).where(order)


def counts_of(bins: Ints, ranges: Ints, cells: Packed) -> Floats:
    """Return (c,) float64 the counts of bins, each looked up in a stretch of cells of its own; 0 where there is none.

    Args:
        bins: (c,) int64.
        ranges: (c, 2) int64 where the cells of its stream begin and end.
        cells: Sorted by bin in each stretch.
    """
    low, end = ranges[:, 0].copy(), ranges[:, 1]
    high, last = end.copy(), max(cells.bins.size - 1, 0)
    if not cells.bins.size:
        return np.zeros(bins.size)
    while (low < high).any():  # halves all stretches at once
        middle = (low + high) // 2
        before = (low < high) & (cells.bins[np.minimum(middle, last)] < bins)
        low, high = np.where(before, middle + 1, low), np.where(before, high, np.minimum(middle, high))
    place = np.minimum(low, last)
    found = (low < end) & (cells.bins[place] == bins)
    return np.where(found, cells.counts[place].astype(np.float64), 0.0)


def _sums(counts: Singles, ranges: Ints) -> Floats:
    """Return (s,) float64 the sums of stretches of counts, which follow each other, with gaps or none between them."""
    edges = ranges.ravel()
    if not counts.size:
        return np.zeros(len(ranges))
    within = edges[edges < counts.size]  # only the last ones can end where the counts do
    sums = np.zeros(edges.size)
    sums[: within.size] = np.add.reduceat(counts, within, dtype=np.float64) if within.size else 0.0
    return np.where(ranges[:, 0] < ranges[:, 1], sums[::2], 0.0)
