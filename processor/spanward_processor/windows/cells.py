"""A bag of counts: the one mergeable form in which windows and baselines keep what they saw.

A cell is (stream, bin, count); a stream is one feature of one key. Adding two bags adds the counts of equal cells, in any
order and any grouping, so windows of several shards merge into the window of all.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from spanward_processor.kernels.cells import Packed, find_features, merge_cells
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import among


def stream_of(key: int, feature: int) -> int:
    """Return the number of the stream of one feature of one key."""
    return key << FEATURE_BITS | feature


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts sorted by (stream, bin), each cell once.

    Args:
        streams: (c,) int64.
        bins: (c,) int64.
        counts: (c,) float64; whole numbers in a window, decayed ones in a baseline.
    """

    streams: Ints
    bins: Ints
    counts: Floats

    @classmethod
    def empty(cls) -> Self:
        """Return no cells."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    @classmethod
    def of(cls, streams: Ints, bins: Ints, counts: Floats) -> Self:
        """Return cells from columns in any order; no (stream, bin) may stand twice."""
        order = np.lexsort((bins, streams))
        return cls(streams[order], bins[order], counts[order].astype(np.float64))

    def __len__(self) -> int:
        """Return the number of cells."""
        return int(self.streams.size)

    def __add__(self, other: "Cells") -> "Cells":
        """Return the cells of both, equal cells added."""
        room = len(self) + len(other)
        streams, bins, counts = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
        size = merge_cells(
            self.streams, self.bins, self.counts, other.streams, other.bins, other.counts, streams, bins, counts
        )
        return Cells(streams[:size].copy(), bins[:size].copy(), counts[:size].copy())

    def first(self, size: int) -> "Cells":
        """Return the first cells as views; what lies behind them must hold nothing else worth its memory."""
        return Cells(self.streams[:size], self.bins[:size], self.counts[:size])

    def where(self, chosen: Flags) -> "Cells":
        """Return the chosen cells."""
        return Cells(self.streams[chosen], self.bins[chosen], self.counts[chosen])

    def of_features(self, *features: int) -> "Cells":
        """Return the cells of some features."""
        wanted, places = np.zeros(1 << FEATURE_BITS, bool), np.empty(len(self), np.int64)
        wanted[list(features)] = True
        found = places[: find_features(self.streams, wanted, places)]
        return Cells(self.streams[found], self.bins[found], self.counts[found])

    @property
    def features(self) -> Ints:
        """(c,) int64 feature of each cell."""
        return self.streams & ((1 << FEATURE_BITS) - 1)

    @property
    def keys(self) -> Ints:
        """(c,) int64 key of each cell."""
        return self.streams >> FEATURE_BITS

    def starts(self) -> Ints:
        """(s + 1,) int64 where each stream's cells begin, and the end of the last."""
        changes = np.flatnonzero(np.diff(self.streams)) + 1
        return np.concatenate(([0], changes, [len(self)])) if len(self) else np.zeros(1, np.int64)

    def stream(self, stream: int) -> "Cells":
        """Return the cells of one stream."""
        first, last = np.searchsorted(self.streams, [stream, stream + 1])
        return Cells(self.streams[first:last], self.bins[first:last], self.counts[first:last])

    def total(self) -> float:
        """Return the sum of all counts."""
        return float(self.counts.sum())


def room_for(cells: int) -> Packed:
    """Return packed cells to be filled; what is not filled takes no memory once it is cut off by `trim`."""
    return Packed(np.empty(cells, np.int32), np.empty(cells, np.int64), np.empty(cells, np.float32))


def trim(cells: Packed, size: int) -> Packed:
    """Keep the first cells and give the memory of the others back, without a copy; nobody else may hold the arrays."""
    for column in cells:
        column.resize(size, refcheck=False)
    return cells


def packed(cells: Cells) -> Packed:
    """Return a packed copy: 16 bytes a cell, counts to seven digits."""
    return Packed(cells.streams.astype(np.int32), cells.bins.copy(), cells.counts.astype(np.float32))


def widened(cells: Packed) -> Cells:
    """Return packed cells as a window has them."""
    return Cells(cells.streams.astype(np.int64), cells.bins.copy(), cells.counts.astype(np.float64))


def some_of(cells: Packed, chosen: Flags) -> Packed:
    """Return the chosen cells, (c,) bool."""
    return Packed(cells.streams[chosen], cells.bins[chosen], cells.counts[chosen])


def without(cells: Packed, gone: Flags) -> Packed:
    """Return the cells of all but some keys, (k,) bool."""
    return some_of(cells, ~among(gone, cells.streams >> FEATURE_BITS))


def unpacked(cells: Packed, stream: int) -> Cells:
    """Return the cells of one stream."""
    first, last = np.searchsorted(cells.streams, np.array([stream, stream + 1], np.int32))
    return widened(Packed(cells.streams[first:last], cells.bins[first:last], cells.counts[first:last]))


def starts_of(cells: Packed, streams: int) -> Ints:
    """Return (s + 1,) int64 where each stream's cells begin, and the end of the last.

    Args:
        cells: The cells.
        streams: How many streams they are of.
    """
    starts = np.zeros(streams + 1, np.int64)
    if streams:
        starts[1:-1] = np.flatnonzero(np.diff(cells.streams)) + 1
        starts[-1] = cells.streams.size
    return starts
