"""Which streams something is kept for: each has a slot in arrays that grow with the streams there are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kept import Arrays
from spanward_processor.kernels.jit import Flags, Ints, Narrow

ABSENT = -1


class Slots:
    """Numbers the streams in the order in which they come; a slot stays its stream's for ever.

    The state is `streams` alone: the (s,) int32 streams by slot.
    """

    def __init__(self) -> None:
        self.streams: Narrow = np.empty(0, np.int32)
        self._sorted: Narrow = np.empty(0, np.int32)
        self._slots: Narrow = np.empty(0, np.int32)  # of the sorted streams

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return {"streams": self.streams.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self.streams = arrays["streams"]
        self._slots = np.argsort(self.streams).astype(np.int32)
        self._sorted = self.streams[self._slots]

    def __len__(self) -> int:
        """Return how many streams have a slot."""
        return int(self.streams.size)

    def admit(self, streams: Ints) -> Ints:
        """Return (s,) int64 the slots of streams, each named once; those that have none get one."""
        wanted = streams.astype(np.int32)
        at, known = self._look(wanted)
        new = np.sort(wanted[~known])
        if not new.size:
            return self._slots[at].astype(np.int64)
        added = np.arange(len(self), len(self) + new.size, dtype=np.int32)
        places = np.searchsorted(self._sorted, new)
        self._slots = np.insert(self._slots, places, added)
        self._sorted = np.insert(self._sorted, places, new)
        self.streams = np.concatenate((self.streams, new))
        return self._slots[np.searchsorted(self._sorted, wanted)].astype(np.int64)

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
        if not len(self):
            return at, np.zeros(streams.size, bool)
        return at, self._sorted[np.minimum(at, len(self) - 1)] == streams
