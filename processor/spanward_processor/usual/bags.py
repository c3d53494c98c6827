"""Windows merged into longer ones, and the cells of many streams looked at together."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.cells import Packed, sift_cells
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.windows.cells import Cells, room_for, starts_of, trim, without

_NEVER: Final = float("inf")


class Bag:
    """Windows merged as they come, until what they hold is taken out.

    Two shards' bags of the same time are added as windows are: by equal cells.

    Args:
        wanted: (f,) bool features that are merged.
    """

    def __init__(self, wanted: Flags) -> None:
        self._wanted = wanted
        self._cells = room_for(0)
        self.windows = 0  # merged since cells were last taken out

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies(self._cells._asdict()) | {"windows": np.array([self.windows])}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._cells = Packed(arrays["streams"], arrays["bins"], arrays["counts"])
        self.windows = int(arrays["windows"][0])

    def add(self, cells: Cells) -> None:
        """Merge the cells of one more window."""
        room, sizes = room_for(len(cells) + self._cells.streams.size), np.empty(3, np.int64)
        sift_cells(cells.streams, cells.bins, cells.counts, self._wanted, _NEVER, self._cells, room_for(0), room, sizes)
        self._cells = trim(room, int(sizes[1]))
        self.windows += 1

    def evict(self, gone: Flags) -> None:
        """Let go of keys, (k,) bool."""
        self._cells = without(self._cells, gone)

    def take(self, fewest: float) -> tuple[Packed, Ints]:
        """Take out the streams that have enough rows; the others go on waiting for more.

        Args:
            fewest: Rows that are enough.

        Returns:
            Their cells, and (s + 1,) int64 where each stream's cells begin, and the end of the last.
        """
        size, sizes, nothing = self._cells.streams.size, np.empty(3, np.int64), Cells.empty()
        enough, too_few = room_for(size), room_for(size)
        sift_cells(
            nothing.streams, nothing.bins, nothing.counts, self._wanted, fewest, self._cells, enough, too_few, sizes
        )
        self._cells, self.windows = trim(too_few, int(sizes[1])), 0
        return trim(enough, int(sizes[0])), starts_of(enough, int(sizes[2]))


class Gathered:
    """The cells of some streams, out of a bag that may hold more; what is summed is summed for all of them at once.

    Args:
        bag: The bag.
        streams: (s,) ascending.
    """

    def __init__(self, bag: Packed, streams: NDArray[Any]) -> None:
        firsts = np.searchsorted(bag.streams, streams)
        sizes = np.searchsorted(bag.streams, streams, "right") - firsts
        ends = np.cumsum(sizes)
        self.streams = int(streams.size)
        self.owners: Ints = np.repeat(np.arange(streams.size), sizes)
        places = np.arange(self.owners.size) + np.repeat(firsts - (ends - sizes), sizes)
        self.bins: Ints = bag.bins[places]
        self.counts: Floats = bag.counts[places].astype(np.float64)
        self.rows = self.sums(np.ones(self.owners.size))
        self._ends = ends

    def sums(self, values: NDArray[Any]) -> Floats:
        """Return (s,) float64 each stream's sum of a value per cell, by count."""
        return np.bincount(self.owners, self.counts * values, self.streams).astype(np.float64)

    def packed(self, streams: Ints) -> Packed:
        """Return the cells, as those of (s,) streams."""
        return Packed(streams.astype(np.int32)[self.owners], self.bins, self.counts.astype(np.float32))

    def shares(self) -> Floats:
        """Return (c,) float64 each cell's share of its stream's rows."""
        return self.counts / self.rows[self.owners]

    def middles(self) -> Ints:
        """Return (s,) int64 the bin that holds each stream's median; 0 where a stream has no cells."""
        running = np.cumsum(self.counts)
        half = np.cumsum(self.rows) - self.rows / 2
        places = np.minimum(np.searchsorted(running, half), self._ends - 1)
        return np.where(self.rows > 0, self.bins[places] if self.bins.size else 0, 0)


def shares_side_by_side(left: Gathered, right: Gathered, of: Flags) -> tuple[Ints, Ints, Floats, Floats]:
    """Return the share that each bin has of either side's streams.

    Args:
        left: One side.
        right: The other, of the same streams.
        of: (s,) bool which streams are wanted.

    Returns:
        (b,) int64 the place of each bin's stream, ascending, (b,) int64 the bin, ascending within a stream, and (b,) float64 its
        share on the left and on the right.
    """
    chosen = [of[side.owners] for side in (left, right)]
    owners = np.concatenate((left.owners[chosen[0]], right.owners[chosen[1]]))
    bins = np.concatenate((left.bins[chosen[0]], right.bins[chosen[1]]))
    shares = np.zeros((2, owners.size))
    middle = int(np.count_nonzero(chosen[0]))
    shares[0, :middle] = left.shares()[chosen[0]]
    shares[1, middle:] = right.shares()[chosen[1]]
    order = np.lexsort((bins, owners))
    owners, bins, shares = owners[order], bins[order], shares[:, order]
    if not owners.size:
        return owners, bins, shares[0], shares[1]
    new = np.concatenate(([0], 1 + np.flatnonzero((np.diff(owners) != 0) | (np.diff(bins) != 0))))
    left_shares, right_shares = np.add.reduceat(shares, new, axis=1)
    return owners[new], bins[new], left_shares, right_shares
