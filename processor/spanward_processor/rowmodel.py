"""The baseline as single rows are scored by it: an immutable snapshot, exchanged after every window."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from spanward_processor.features import FEATURES, Rows, Shape
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Floats, Ints, Narrow, Singles
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.kernels.tails import fill_model, score_rows

_FEATURE_MASK = (1 << FEATURE_BITS) - 1
_CATEGORIES = np.zeros(1 << FEATURE_BITS, bool)
_CATEGORIES[[feature.aspect for feature in FEATURES if feature.shape is Shape.CATEGORY]] = True


@dataclass(frozen=True, slots=True)
class RowModel:
    """Tail shares of every ready stream; arrays as `score_rows` takes them."""

    places: Narrow
    starts: Ints
    bins: Ints
    below: Floats
    seen_p: Singles
    weights: Singles

    @classmethod
    def empty(cls) -> Self:
        """Return the model that knows nothing."""
        nothing = np.empty(0, np.float32)
        return cls(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0), nothing, nothing)

    @classmethod
    def of(cls, usual: Packed, ready: Ints, firsts: Ints) -> Self:
        """Return the model of the ready streams of a baseline.

        Args:
            usual: The baseline.
            ready: (s,) int64 the ready streams, ascending.
            firsts: (s, 2) int64 where each one's cells begin and end.
        """
        keys = np.unique(ready >> FEATURE_BITS)
        places = np.full(int(keys[-1]) + 1 if keys.size else 0, -1, np.int32)
        places[keys] = np.arange(keys.size)
        of_model = places[ready >> FEATURE_BITS].astype(np.int64) << FEATURE_BITS | ready & _FEATURE_MASK
        sizes = np.zeros(keys.size << FEATURE_BITS, np.int64)
        sizes[of_model] = firsts[:, 1] - firsts[:, 0]
        starts = np.concatenate(([0], np.cumsum(sizes)))
        cells = int(starts[-1])
        model = cls(
            places,
            starts,
            np.empty(cells, np.int64),
            np.empty(cells),
            np.empty(cells, np.float32),
            np.zeros(sizes.size, np.float32),
        )
        fill_model(usual, firsts, of_model, starts[of_model], model.bins, model.below, model.seen_p, model.weights)
        model._rank_categories(usual, ready, firsts, of_model)
        return model

    def _rank_categories(self, usual: Packed, ready: Ints, firsts: Ints, of_model: Ints) -> None:
        """Give each category the share of rows in categories no more frequent than it."""
        chosen = _CATEGORIES[ready & _FEATURE_MASK] & (firsts[:, 1] > firsts[:, 0])
        sizes = (firsts[:, 1] - firsts[:, 0])[chosen]
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        owners, counts = np.repeat(of_model[chosen], sizes), usual.counts[np.repeat(firsts[chosen, 0], sizes) + within]
        cells = self.starts[owners] + within
        self.below[cells] = 0.0
        self.seen_p[cells] = _rarity(owners, counts.astype(np.float64)) / self.weights[owners]

    def score(self, rows: Rows) -> Floats:
        """Return (n,) float64 p-values of rows."""
        p = np.ones(len(rows))
        score_rows(
            rows.keys[0],
            rows.bins,
            self.places,
            self.starts,
            self.bins,
            self.below,
            self.seen_p,
            self.weights,
            p,
        )
        return p


def _running_before(streams: Ints, counts: Floats) -> Floats:
    """Return, for each cell, the sum of the cells before it in its stream."""
    before = np.cumsum(counts) - counts
    first = np.concatenate(([True], np.diff(streams) != 0)) if streams.size else np.empty(0, bool)
    base = np.maximum.accumulate(np.where(first, before, -np.inf)) if streams.size else before
    return before - base


def _rarity(streams: Ints, counts: Floats) -> Floats:
    """Return, for each category, the rows in categories no more frequent than it."""
    order = np.lexsort((counts, streams))
    rows = np.empty(counts.size)
    rows[order] = _running_before(streams[order], counts[order]) + counts[order]
    return rows
