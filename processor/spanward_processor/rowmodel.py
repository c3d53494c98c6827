"""The baseline as single rows are scored by it: an immutable snapshot, exchanged after every window."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from spanward_processor.cells import Cells
from spanward_processor.features import FEATURES, Rows, Shape
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tails import score_rows

_CATEGORIES = np.array([feature.shape is Shape.CATEGORY for feature in FEATURES])


@dataclass(frozen=True, slots=True)
class RowModel:
    """Tail shares of every ready stream; arrays as `score_rows` takes them."""

    starts: Ints
    bins: Ints
    below: Floats
    seen_p: Floats
    weights: Floats

    @classmethod
    def empty(cls) -> Self:
        """Return the model that knows nothing."""
        return cls(np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0))

    @classmethod
    def of(cls, cells: Cells, ready: Flags) -> Self:
        """Return the model of the ready streams of a baseline.

        Args:
            cells: The baseline.
            ready: (m,) bool by stream.
        """
        cells = cells.where(ready[cells.streams])
        starts = np.searchsorted(cells.streams, np.arange(ready.size + 1))
        weights: Floats = np.bincount(cells.streams, cells.counts, ready.size).astype(np.float64)
        total = weights[cells.streams]
        below = _running_before(cells.streams, cells.counts) / total
        above = 1.0 - below - cells.counts / total
        seen_p = np.minimum(1.0, 2.0 * np.minimum(1.0 - below, 1.0 - above))
        categories = _CATEGORIES[cells.features]
        seen_p[categories] = _rarity(cells.where(categories)) / total[categories]
        below[categories] = 0.0
        return cls(starts.astype(np.int64), cells.bins, below, seen_p, weights)

    def score(self, rows: Rows) -> Floats:
        """Return (n,) float64 p-values of rows."""
        p = np.ones(len(rows))
        score_rows(rows.keys[0], rows.bins, self.starts, self.bins, self.below, self.seen_p, self.weights, p)
        return p


def _running_before(streams: Ints, counts: Floats) -> Floats:
    """Return, for each cell, the sum of the cells before it in its stream."""
    before = np.cumsum(counts) - counts
    first = np.concatenate(([True], np.diff(streams) != 0)) if streams.size else np.empty(0, bool)
    base = np.maximum.accumulate(np.where(first, before, -np.inf)) if streams.size else before
    return before - base


def _rarity(cells: Cells) -> Floats:
    """Return, for each category, the rows in categories no more frequent than it."""
    order = np.lexsort((cells.counts, cells.streams))
    rows = np.empty(len(cells))
    rows[order] = _running_before(cells.streams[order], cells.counts[order]) + cells.counts[order]
    return rows
