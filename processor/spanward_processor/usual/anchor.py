"""What was usual at first: learned once, then moved only slowly, and by no client alone."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.evidence import cleared, grown
from spanward_processor.kept import Arrays, copies, gathered, part, scattered, under
from spanward_processor.kernels.cells import Packed, learn_cells
from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow, Singles
from spanward_processor.usual.slots import ABSENT, Slots
from spanward_processor.windows.cells import Cells, room_for, some_of, trim, without

FIRST_BAGS: Final = 3  # bags that an anchor is made of, all alike
HALF_LIFE_S: Final = 7 * 86_400.0  # event time after which half of an anchor would be of newer bags
_NEGLIGIBLE: Final = 1e-3  # rows below which a cell is forgotten
_LEAST_CAP: Final = 0.25  # share of one client that is nothing to be careful about
_CAP_ABOVE_USUAL: Final = 1.5
_INFLUENCE_MOVES: Final = 0.02  # of the way to the newest bag's share, per bag


class Influence:
    """How much of each series the busiest client sends, and so how far its rows may be learned from.

    Cells do not say which client a row was of; so where one client sends more than it should, all rows of the series count
    less, until the part of that client is no larger than its cap.
    """

    def __init__(self) -> None:
        self._top = np.zeros(0)  # rows of each window's busiest client, by key, since `learn`
        self._rows = np.zeros(0)
        self._usual: Singles = np.zeros(0, np.float32)  # share of the busiest client; 0 while unknown

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies({"top": self._top, "rows": self._rows, "usual": self._usual})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._top, self._rows, self._usual = arrays["top"], arrays["rows"], arrays["usual"]

    def see(self, clients: Cells) -> None:
        """Note who sent most in a window, by its cells of clients."""
        if not len(clients):
            return
        starts = clients.starts()[:-1]
        keys = clients.keys[starts]
        self._top, self._rows = grown(self._top, int(keys[-1]) + 1), grown(self._rows, int(keys[-1]) + 1)
        self._top[keys] += np.maximum.reduceat(clients.counts, starts)
        self._rows[keys] += np.add.reduceat(clients.counts, starts)

    def weights(self, parents: Ints) -> Floats:
        """Return (k,) float64 in (0, 1] how far each key's rows since the last `learn` may count; slices as their series."""
        weights = np.ones(max(parents.size, self._rows.size))
        share = self._top / np.maximum(self._rows, 1.0)
        weights[: share.size] = np.minimum(1.0, self._caps() / np.maximum(share, 1e-9))
        return weights[parents]

    def _caps(self) -> Floats:
        self._usual = grown(self._usual, self._rows.size)
        usual = self._usual[: self._rows.size].astype(np.float64)
        return np.where(usual > 0, np.maximum(_LEAST_CAP, _CAP_ABOVE_USUAL * usual), 1.0)

    def learn(self) -> None:
        """Learn how much the busiest client usually sends, no more of it than its cap, and begin anew."""
        seen = np.flatnonzero(self._rows > 0)
        share = np.minimum(self._top / np.maximum(self._rows, 1.0), self._caps())[seen]
        usual = self._usual[seen]
        self._usual[seen] = np.where(usual > 0, usual + _INFLUENCE_MOVES * (share - usual), share)
        self._top[:], self._rows[:] = 0.0, 0.0


class Anchor:
    """The distribution of every stream as it was learned first, moved slowly.

    Its first bags are added up. From then on each bag moves it by the same small part whatever number of rows it has, so
    that a flood moves it no faster than a trickle.
    """

    def __init__(self) -> None:
        self.influence = Influence()
        self.slots = Slots()
        self.cells = room_for(0)
        self.bags: Narrow = np.zeros(0, np.int32)  # learned, by slot
        self._rows: Singles = np.zeros(0, np.float32)  # behind the first bags, by slot

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        parts = gathered({"slots": self.slots, "influence": self.influence})
        return parts | copies(under("cells", self.cells._asdict()) | {"bags": self.bags, "rows": self._rows})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered({"slots": self.slots, "influence": self.influence}, arrays)
        self.cells = Packed(**part("cells", arrays))
        self.bags, self._rows = arrays["bags"], arrays["rows"]

    def admit(self, streams: Ints) -> Ints:
        """Return (s,) int64 the slots of streams, each named once; those that have none get one."""
        slots = self.slots.admit(streams)
        self.bags, self._rows = grown(self.bags, len(self.slots)), grown(self._rows, len(self.slots))
        return slots

    def evict(self, gone: Flags) -> Ints:
        """Let go of keys, (k,) bool; return (s,) int64 the slots that are free now."""
        slots = self.slots.evict(gone)
        cleared(self.bags, slots)
        cleared(self._rows, slots)
        self.cells = without(self.cells, gone)
        return slots

    def forget(self, streams: Ints) -> None:
        """Begin anew with streams, (s,) int64, those among them that have an anchor."""
        slots = self.slots.find(streams)
        slots = slots[slots != ABSENT]
        self.bags[slots], self._rows[slots] = 0, 0.0
        self.cells = some_of(self.cells, ~np.isin(self.cells.streams, streams))

    def rows(self, slots: Ints) -> Floats:
        """Return (s,) float64 rows that the anchors of slots were first made of."""
        return self._rows[slots].astype(np.float64)

    def learn(self, bag: Packed, starts: Ints, slots: Ints, free: Flags, weights: Floats, seconds: float) -> None:
        """Move the anchors of streams towards a bag.

        Args:
            bag: (c,) cells, as taken from a `Bag`.
            starts: (s + 1,) int64 where each stream's cells begin.
            slots: (s,) int64 their slots.
            free: (s,) bool which of them are learned.
            weights: (s,) float64 in (0, 1] from `Influence.weights`, how far each counts.
            seconds: Length of the bag.
        """
        if not slots.size:
            return
        stays = 0.5 ** (seconds / HALF_LIFE_S)
        rows = np.add.reduceat(bag.counts, starts[:-1], dtype=np.float64)
        first = self.bags[slots] < FIRST_BAGS
        self._rows[slots[free & first]] += rows[free & first]
        moves: Floats = (1 - stays) * self.rows(slots) / np.maximum(rows, 1.0)
        scale: Floats = np.where(first, stays, moves) * weights
        scaled = bag._replace(counts=(bag.counts * np.repeat(scale, np.diff(starts))).astype(np.float32))
        to = room_for(self.cells.streams.size + bag.streams.size)
        behind = np.empty(slots.size)
        size = learn_cells(self.cells, scaled, starts, free, np.full(slots.size, stays), _NEGLIGIBLE, to, behind)
        self.cells = trim(to, size)
        self.bags[slots[free]] += 1
