"""The baseline as single rows are scored by it: an immutable snapshot, exchanged after every window."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from spanward_processor.features import FEATURES, Rows, Shape
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Floats, Ints, Narrow, Singles
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING
from spanward_processor.kernels.tails import Tails, empty_asked, fill_tails, score_rows
from spanward_processor.windows.cells import room_for

_FEATURE_MASK = (1 << FEATURE_BITS) - 1
_CLOSE = 2  # places per bin that was seen, up to which a stream has one for every bin
_FEW = 16  # places that no stream needs to save
_CATEGORIES = np.zeros(1 << FEATURE_BITS, bool)
_CATEGORIES[[feature.aspect for feature in FEATURES if feature.shape is Shape.CATEGORY]] = True


@dataclass(frozen=True, slots=True)
class RowModel:
    """Tail shares of every ready stream."""

    tails: Tails

    @classmethod
    def empty(cls) -> Self:
        """Return the model that knows nothing."""
        nothing = np.empty(0, np.int64)
        return cls.of(room_for(0), nothing, np.empty((0, 2), np.int64))

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
        streams = places[ready >> FEATURE_BITS].astype(np.int64) << FEATURE_BITS | ready & _FEATURE_MASK
        model = cls(_room(places, streams, usual, ready, firsts))
        fill_tails(usual, firsts, streams, model.tails)
        model._rank_categories(usual, ready, firsts, streams)
        return model

    def _rank_categories(self, usual: Packed, ready: Ints, firsts: Ints, streams: Ints) -> None:
        """Give each category the share of rows in categories no more frequent than it."""
        chosen = _CATEGORIES[ready & _FEATURE_MASK] & (firsts[:, 1] > firsts[:, 0])
        sizes = (firsts[:, 1] - firsts[:, 0])[chosen]
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        owners, counts = np.repeat(streams[chosen], sizes), usual.counts[np.repeat(firsts[chosen, 0], sizes) + within]
        tails, weights = self.tails, self.tails.weights[owners].astype(np.float64)
        cells = tails.spans[owners, 0] + within
        tails.below[cells] = 0.0
        rarity = _rarity(owners, counts) / weights
        tails.p[cells] = np.maximum(rarity, 1.0 / (weights + 1.0))

    def score(self, rows: Rows) -> Floats:
        """Return (n,) float64 p-values of rows."""
        p = np.empty(len(rows))
        score_rows(rows.keys[0], rows.bins, self.tails, empty_asked(rows.bins.shape[0]), p)
        return p


def _room(places: Narrow, streams: Ints, usual: Packed, ready: Ints, firsts: Ints) -> Tails:
    """Return tails to be filled; see `RowModel.of`, `streams` being the number of each ready stream in them."""
    seen = firsts[:, 1] - firsts[:, 0]
    known = seen > 0
    sizes, lows = np.zeros(ready.size, np.int64), np.full(ready.size, MISSING)
    lowest, highest = usual.bins[firsts[known, 0]], usual.bins[firsts[known, 1] - 1]
    close = ~_CATEGORIES[ready[known] & _FEATURE_MASK] & (highest - lowest < _CLOSE * seen[known] + _FEW)
    lows[known] = np.where(close, lowest, MISSING)
    sizes[known] = np.where(close, highest - lowest + 1, seen[known])
    order = np.argsort(lows != MISSING, kind="stable")  # those that are searched come first
    ends = np.cumsum(sizes[order])
    begins = np.empty(ready.size, np.int64)
    begins[order] = ends - sizes[order]
    cells, searched = int(sizes.sum()), int(sizes[lows == MISSING].sum())
    places_in_use = (int(places.max(initial=-1)) + 1) << FEATURE_BITS
    tails = Tails(
        places=places,
        spans=np.zeros((places_in_use, 2), np.int32),
        lows=np.full(places_in_use, MISSING),
        p=np.empty(cells, np.float32),
        bins=np.empty(searched, np.int64),
        below=np.empty(searched),
        weights=np.zeros(places_in_use, np.float32),
    )
    tails.spans[streams], tails.lows[streams] = np.stack((begins, sizes), 1), lows
    return tails


def _rarity(streams: Ints, counts: Singles) -> Floats:
    """Return, for each category, the rows in categories of its stream that are no more frequent than it.

    Args:
        streams: (c,) int64, below 2^31.
        counts: (c,) float32, none negative, so that they sort as their bits do: one integer sorts quicker than two keys.
    """
    ranks = streams << 32 | counts.view(np.int32)
    order = np.argsort(ranks)
    ranks = ranks[order]
    running = np.cumsum(counts[order], dtype=np.float64)
    last = _last_alike(ranks)  # what is equally frequent is no more frequent
    before = np.concatenate(([0.0], running))[_first_alike(ranks >> 32)]
    rows = np.empty(counts.size)
    rows[order] = running[last] - before
    return rows


def _first_alike(numbers: Ints) -> Ints:
    """Return, for each of some sorted numbers, where the first one equal to it is."""
    begins = np.flatnonzero(np.diff(numbers, prepend=-1))
    return np.repeat(begins, np.diff(begins, append=numbers.size))


def _last_alike(numbers: Ints) -> Ints:
    """Return, for each of some sorted numbers, where the last one equal to it is."""
    ends = np.append(np.flatnonzero(np.diff(numbers)), numbers.size - 1)[: numbers.size]
    return np.repeat(ends, np.diff(ends, prepend=-1))
