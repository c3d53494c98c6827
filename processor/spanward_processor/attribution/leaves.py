"""Counts by leaf, bounded and mergeable: what a window keeps of each combination of attribute values.

A leaf is a combination of attribute values that was seen, such as channel, client group, region and model version; for
decisions the decision is one more value. Windows add up to longer windows and shards to the whole, in any order. At most
`most` leaves are kept; the lightest are folded into "other", first their last value alone (a rare decision becomes "other
decisions of this channel"), then all of them. Totals stay exact; `floor` says how many rows a leaf may have lost.

Source: the bound on what a fold loses is that of the mergeable frequent-items summaries of Agarwal et al., "Mergeable
summaries", PODS 2012, section 2, with whole leaves folded instead of counts lowered.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.tables import OTHER


@dataclass(frozen=True, slots=True)
class LeafCounts:
    """Sums by leaf, sorted by the leaves' values, each leaf once.

    Args:
        codes: (l, a) int64 value of each attribute; `OTHER` where a leaf was folded.
        sums: (l, m) float64; the first column is rows, the others add up likewise: events, sums, sums of squares.
        floor: Rows that any one leaf may have lost to "other", and the most that a leaf not kept can have.
    """

    codes: Ints
    sums: Floats
    floor: float = 0.0

    @classmethod
    def of(cls, codes: Ints, sums: Floats) -> Self:
        """Return counts from rows in any order; equal leaves are added.

        Args:
            codes: (n, a) int64.
            sums: (n, m) float64.
        """
        return cls(*_added(codes, sums))

    def __len__(self) -> int:
        """Return the number of leaves kept, "other" included."""
        return int(self.codes.shape[0])

    def __add__(self, other: "LeafCounts") -> "LeafCounts":
        """Return the counts of both; `bounded` afterwards keeps them small."""
        codes = np.concatenate((self.codes, other.codes))
        added = _added(codes, np.concatenate((self.sums, other.sums)))
        return LeafCounts(*added, self.floor + other.floor)

    def bounded(self, most: int) -> "LeafCounts":
        """Return at most so many leaves, the lightest folded into "other"."""
        counts = self
        for kept_values in (self.codes.shape[1] - 1, 0):
            if len(counts) > most:
                counts = counts._folded(most, kept_values)
        return counts

    def _folded(self, most: int, kept_values: int) -> "LeafCounts":
        """Fold the lightest leaves, keeping their first values and room for what they are folded into."""
        heaviest_first = np.lexsort((*self.codes.T[::-1], -self.sums[:, 0]))
        light = np.zeros(len(self), bool)
        light[heaviest_first[max(most - 1 - _groups(self.codes[:, :kept_values]), 0) :]] = True
        light &= (self.codes[:, kept_values:] != OTHER).any(axis=1)
        if not light.any():
            return self
        codes = self.codes.copy()
        codes[light, kept_values:] = OTHER
        return LeafCounts(*_added(codes, self.sums), self.floor + float(self.sums[light, 0].max()))


def _groups(codes: Ints) -> int:
    """Return how many leaves "other" may need, one for each combination of the values kept."""
    return int(np.unique(codes, axis=0).shape[0]) if codes.shape[1] else 0


def _added(codes: Ints, sums: Floats) -> tuple[Ints, Floats]:
    """Return the leaves in order, each once, and their sums."""
    order = np.lexsort(codes.T[::-1])
    codes, sums = codes[order], sums[order]
    first = np.ones(codes.shape[0], bool)
    first[1:] = (codes[1:] != codes[:-1]).any(axis=1)
    starts = np.flatnonzero(first)
    totals = np.add.reduceat(sums, starts, axis=0) if starts.size else sums
    return codes[starts], np.asarray(totals)
