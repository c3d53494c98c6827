"""Streams with too few rows in a window wait for the next one, once for all detectors that learn distributions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.features import FEATURES, Aspect, Shape
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.cells import Packed, sift_cells
from spanward_processor.kernels.jit import Flags, Ints
from spanward_processor.windows.cells import Cells, room_for, starts_of, trim, without

FEWEST_ROWS: Final = 20.0
"""Rows that a stream's distribution is looked at with."""

DISTRIBUTIONS: Final = np.array(
    [feature.shape is not Shape.COUNT and feature.aspect is not Aspect.CLIENT for feature in FEATURES]
)
"""(f,) bool features that wait for one: a rate is no distribution, and clients have detectors of their own."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The streams that have rows enough, with all rows that they had since they were heard before.

    Args:
        cells: Their cells.
        starts: (s + 1,) int64 where each stream's cells begin, and the end of the last.
    """

    cells: Packed
    starts: Ints

    @classmethod
    def nothing(cls) -> Self:
        """Return what is heard while nobody has rows enough."""
        return cls(room_for(0), np.zeros(1, np.int64))

    @property
    def streams(self) -> Ints:
        """(s,) int64 the streams, ascending."""
        return self.cells.streams[self.starts[:-1]].astype(np.int64)


class Quorum:
    """Lets each stream be heard once it has twenty rows, be it after one window or after hours.

    Two shards' waiting rows are added as windows are: by equal cells.
    """

    def __init__(self) -> None:
        self._waiting = room_for(0)
        self.heard = Heard.nothing()
        """Who was heard in the newest window."""

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies(self._waiting._asdict())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._waiting = Packed(**arrays)

    def hear(self, cells: Cells) -> Heard:
        """Add a window's cells to the rows that wait, and return who has rows enough now."""
        room, sizes = len(cells) + self._waiting.streams.size, np.empty(3, np.int64)
        enough, too_few = room_for(room), room_for(room)
        sift_cells(
            cells.streams, cells.bins, cells.counts, DISTRIBUTIONS, FEWEST_ROWS, self._waiting, enough, too_few, sizes
        )
        self._waiting, tested = trim(too_few, int(sizes[1])), trim(enough, int(sizes[0]))
        self.heard = Heard(tested, starts_of(tested, int(sizes[2])))
        return self.heard

    def evict(self, gone: Flags) -> None:
        """Let go of keys, (k,) bool."""
        self._waiting = without(self._waiting, gone)
