"""The same hour of the day before, as far as a stream had rows in it."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.features import FEATURES, Shape
from spanward_processor.kept import Arrays, part, under
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Flags, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.usual.bags import Bag
from spanward_processor.windows.cells import Cells, room_for, widened

_HOUR_NS: Final = 3_600 * 1_000_000_000
_HOURS: Final = 24
_FOLDED: Final = 2  # bits by which bins of numbers are coarser: a factor of 1.4, or a thirty-second of the unit
_FEWEST_ROWS: Final = 300.0  # of a stream in an hour that is kept
_NUMBERS: Final = np.array([feature.shape is Shape.NUMBER for feature in FEATURES])


def folded(cells: Packed) -> Cells:
    """Return cells with the bins of numbers four times as wide."""
    if not cells.streams.size:
        return Cells.empty()
    numbers = _NUMBERS[cells.streams & ((1 << FEATURE_BITS) - 1)]
    bins: Ints = np.where(numbers, cells.bins >> _FOLDED, cells.bins)
    new = np.flatnonzero(np.append(True, (np.diff(cells.streams) != 0) | (np.diff(bins) != 0)))
    counts = np.add.reduceat(cells.counts, new, dtype=np.float64)
    return Cells(cells.streams[new].astype(np.int64), bins[new], counts)


class Yesterday:
    """Keeps the newest 24 hours, each by itself, of streams with enough rows in an hour; bins of numbers are folded.

    Where a stream has no rows in an hour, it is compared with all 24 together, once they are there.

    Args:
        wanted: (f,) bool features that are kept.
    """

    def __init__(self, wanted: Flags) -> None:
        self._wanted = wanted
        self._now = -1  # hour since 1970 that is filled
        self._filling = Bag(wanted)
        self._hours: dict[int, Packed] = {}  # by hour of the day
        self._whole = room_for(0)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        arrays: Arrays = {"now": np.array([self._now]), "hours": np.array(sorted(self._hours), np.int64)}
        for hour, cells in self._hours.items():
            arrays |= under(f"hour{hour}", cells._asdict())
        return arrays | under("filling", self._filling.arrays())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._now = int(arrays["now"][0])
        self._hours = {hour: Packed(**part(f"hour{hour}", arrays)) for hour in arrays["hours"].tolist()}
        self._filling.restore(part("filling", arrays))
        self._whole = self._together()

    def reference(self, time_ns: int) -> tuple[Packed, Packed]:
        """Return the same hour yesterday, and the whole day for streams that are not in it; empty where nothing is known."""
        return self._hours.get(time_ns // _HOUR_NS % _HOURS, room_for(0)), self._whole

    def add(self, cells: Cells, time_ns: int) -> None:
        """Add folded cells to the hour that is filled; when it is over it takes the place of yesterday's.

        Args:
            cells: Folded cells.
            time_ns: Event time at which they begin.
        """
        hour = time_ns // _HOUR_NS
        if hour != self._now and self._now >= 0:
            self._hours[self._now % _HOURS], _ = self._filling.take(_FEWEST_ROWS)
            self._filling = Bag(self._wanted)
            self._whole = self._together()
        self._now = hour
        self._filling.add(cells)

    def _together(self) -> Packed:
        if len(self._hours) < _HOURS:
            return room_for(0)
        whole = Bag(self._wanted)
        for cells in self._hours.values():
            whole.add(widened(cells))
        return whole.take(_FEWEST_ROWS)[0]
