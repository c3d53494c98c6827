"""Which streams something is kept for: each has a slot in arrays that grow with the streams there are.

The slots of streams that are let go of are given to others, so whoever keeps something by slot clears it first.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kept import Arrays
from spanward_processor.kernels.jit import Flags, Ints, Narrow
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import among

ABSENT = -1


class Slots:
    """Numbers the streams in the order in which they come; a slot stays its stream's until that is let go of.

    The state is `streams` alone: the (s,) int32 streams by slot, `ABSENT` where one is free.
    """

    def __init__(self) -> None:
        self.streams: Narrow = np.empty(0, np.int32)
        self._sorted: Narrow = np.empty(0, np.int32)
        self._slots: Narrow = np.empty(0, np.int32)  # of the sorted streams
        self._free: Narrow = np.empty(0, np.int32)  # ascending

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return {"streams": self.streams.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self.streams = arrays["streams"]
        self._sort()

    def _sort(self) -> None:
        order, free = np.argsort(self.streams), int(np.count_nonzero(self.streams == ABSENT))
        self._slots = order[free:].astype(np.int32)
        self._free = np.sort(order[:free]).astype(np.int32)
        self._sorted = self.streams[self._slots]

    def __len__(self) -> int:
        """Return how many slots there are, free ones included: so long are arrays by slot."""
        return int(self.streams.size)

    @property
    def used(self) -> int:
        """How many streams have a slot."""
        return int(self._sorted.size)

    def admit(self, streams: Ints) -> Ints:
        """Return (s,) int64 the slots of streams, each named once; those that have none get one."""
        wanted = streams.astype(np.int32)
        at, known = self._look(wanted)
        new = np.sort(wanted[~known])
        if not new.size:
            return self._slots[at].astype(np.int64)
        again, self._free = self._free[: new.size], self._free[new.size :]
        added = np.concatenate((again, np.arange(len(self), len(self) + new.size - again.size, dtype=np.int32)))
        places = np.searchsorted(self._sorted, new)
        self._slots = np.insert(self._slots, places, added)
        self._sorted = np.insert(self._sorted, places, new)
        self.streams[again] = new[: again.size]
        self.streams = np.concatenate((self.streams, new[again.size :]))
        return self._slots[np.searchsorted(self._sorted, wanted)].astype(np.int64)

    def evict(self, gone: Flags) -> Ints:
        """Let go of the streams of keys, (k,) bool; return (s,) int64 their slots, ascending, to be cleared."""
        slots = np.flatnonzero(among(gone, self.streams >> FEATURE_BITS))
        self.streams[slots] = ABSENT
        self._sort()
        return slots

    def find(self, streams: Ints) -> Ints:
        """Return (s,) int64 the slots of streams, `ABSENT` for those that have none."""
        at, known = self._look(streams.astype(np.int32))
        slots = np.full(streams.size, ABSENT, np.int64)
        slots[known] = self._slots[at[known]]
        return slots

    def of(self, stream: int) -> int:
        """Return the slot of one stream, `ABSENT` if it has none."""
        return int(self.find(np.array([stream]))[0])

    def _look(self, streams: Narrow) -> tuple[Ints, Flags]:
        """Return where streams stand among the sorted ones, and which of them do."""
        at = np.searchsorted(self._sorted, streams)
        if not self.used:
            return at, np.zeros(streams.size, bool)
        return at, self._sorted[np.minimum(at, self.used - 1)] == streams
