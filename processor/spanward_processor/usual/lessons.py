"""What the baselines are taught, bag by bag, beside an anchor of it: kept once for all detectors that judge five minutes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.features import Aspect
from spanward_processor.held import held_among
from spanward_processor.kept import Arrays, Kept, copies, gathered, scattered
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory, among
from spanward_processor.usual.anchor import FIRST_BAGS, Anchor
from spanward_processor.usual.bags import Bag
from spanward_processor.usual.calendar import Calendar, twice
from spanward_processor.usual.quorum import DISTRIBUTIONS, Quorum
from spanward_processor.windows.cells import Cells, room_for, some_of, widened
from spanward_processor.windows.window import Window

BAG_WINDOWS: Final = 30  # five minutes of the default windows
FEWEST_ROWS: Final = 200.0  # a stream with fewer waits for the next bag


@dataclass(frozen=True, slots=True)
class Lesson:
    """A bag of what was learned, not yet followed by the anchor.

    Args:
        cells: Its cells.
        starts: (s + 1,) int64 where each stream's cells begin.
        streams: (s,) int64.
        slots: (s,) int64.
        weights: (s,) float64 how far its rows may be learned from.
        anchored: (s,) bool which streams have an anchor.
        rows: (s,) float64 rows that the anchors were first made of.
    """

    cells: Packed
    starts: Ints
    streams: Ints
    slots: Ints
    weights: Floats
    anchored: Flags
    rows: Floats

    @classmethod
    def nothing(cls) -> Self:
        """Return what there is while a bag is filled."""
        none, zero = np.empty(0, np.int64), np.empty(0)
        return cls(room_for(0), np.zeros(1, np.int64), none, none, zero, np.empty(0, bool), zero)

    def where(self, chosen: Flags) -> "Lesson":
        """Return the lesson of the chosen (s,) bool streams."""
        sizes = np.diff(self.starts)
        cells = some_of(self.cells, np.repeat(chosen, sizes))
        starts = np.concatenate(([0], np.cumsum(sizes[chosen])))
        return Lesson(
            cells,
            starts,
            self.streams[chosen],
            self.slots[chosen],
            self.weights[chosen],
            self.anchored[chosen],
            self.rows[chosen],
        )


class Lessons:
    """Bags of what was learned, and the anchor that follows them; every detector of a panel reads the same.

    What is held because of an alarm teaches nobody, and is in no bag, but for streams that a detector has found beyond
    what it tolerates: else it could not see them come back. What one detector objects to, the anchor does not follow.

    In every window each detector calls `take`, then each calls `learn`; whoever is first does it for all.

    Args:
        calendar: What streams turned to at the same time of earlier weeks, if somebody notes it.
        quorum: Who has heard each window before; None for one of its own.
    """

    def __init__(self, calendar: Calendar | None = None, quorum: Quorum | None = None) -> None:
        self._calendar = calendar or Calendar()
        self._alone = quorum is None
        self._quorum = quorum or Quorum()
        self._bag = Bag(DISTRIBUTIONS)
        self.anchor = Anchor()
        self._outside: Ints = np.empty(0, np.int64)  # streams that were objected to, ascending
        self._lesson = Lesson.nothing()
        self._objected: Flags = np.empty(0, bool)  # (s,) of the lesson
        self._free: Flags = np.empty(0, bool)
        self._taken = False  # of the window that was tested last, and is not learned yet
        self._evicted: Ints = np.empty(0, np.int64)  # slots that were let go of since

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered(self._parts()) | copies({"outside": self._outside})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._outside = arrays["outside"]

    def _parts(self) -> dict[str, Kept]:
        parts: dict[str, Kept] = {"bag": self._bag, "anchor": self.anchor}
        return parts | {"quorum": self._quorum} if self._alone else parts

    def take(self, window: Window, parents: Ints) -> Lesson:
        """Return the bag if it is full, nothing otherwise.

        Args:
            window: The newest window, which is none of the bag's yet.
            parents: (k,) int64 the series of each key.
        """
        if not self._taken:
            self._taken, self._evicted = True, np.empty(0, np.int64)
            if self._alone:
                self._quorum.hear(window.cells)
            self._lesson = self._next(parents) if self._bag.windows >= BAG_WINDOWS else Lesson.nothing()
            self._objected = np.zeros(self._lesson.streams.size, bool)
        return self._lesson

    def _next(self, parents: Ints) -> Lesson:
        cells, starts = self._bag.take(FEWEST_ROWS)
        streams = cells.streams[starts[:-1]].astype(np.int64)
        slots = self.anchor.admit(streams)
        weights = self.anchor.influence.weights(parents)[streams >> FEATURE_BITS]
        anchored = self.anchor.bags[slots] >= FIRST_BAGS
        return Lesson(cells, starts, streams, slots, weights, anchored, self.anchor.rows(slots))

    def again(
        self,
        lesson: Lesson,
        time_ns: int,
        directory: KeyDirectory,
        asked: Flags,
        beyond: Callable[[Flags, Packed], Floats],
    ) -> Floats:
        """Return how far streams are beyond what is tolerated, compared with what they turned to by this time of earlier weeks.

        Args:
            lesson: The lesson, or a part of it.
            time_ns: Event time.
            directory: Names of the keys.
            asked: (s,) bool which streams are asked about.
            beyond: Gives (c,) float64 how far the chosen, (s,) bool, are beyond, given what they are compared with.

        Returns:
            (s,) float64, infinity where nobody asks, or a stream has not turned in two weeks.
        """
        never = np.full(asked.size, np.inf)
        cycles = self._calendar.since(time_ns / 1e9) if asked.any() else ()
        if len(cycles) < 2:
            return never
        subjects = directory.by_subject(lesson.streams)
        by_week: list[Floats] = []
        for cycle in cycles:
            least = never.copy()
            for shape in (page.shape(subjects) for page in cycle):
                chosen = asked & (shape.rows > 0)
                if chosen.any():
                    least[chosen] = np.minimum(least[chosen], beyond(chosen, shape.packed(lesson.streams)))
            by_week.append(least)
        return twice(by_week)

    def begin_anew(self, streams: Ints) -> None:
        """Give streams, (s,) int64, new anchors, made of the next bags."""
        self.anchor.forget(streams)
        self._outside = self._outside[~np.isin(self._outside, streams)]

    def evict(self, gone: Flags) -> Ints:
        """Let go of keys, (k,) bool; whoever is first does it for all, and each is told the (s,) int64 slots that are free now."""
        slots = self.anchor.evict(gone)
        self._evicted = slots if slots.size else self._evicted
        self._bag.evict(gone)  # who has too few rows for an anchor waits in it
        if self._alone:
            self._quorum.evict(gone)
        self._outside = self._outside[~among(gone, self._outside >> FEATURE_BITS)]
        return self._evicted

    def object_to(self, streams: Ints) -> None:
        """Keep the anchor from following streams of the lesson, given ascending."""
        self._objected |= np.isin(self._lesson.streams, streams)

    def learn(self, window: Window, held: Flags) -> Flags:
        """Follow the lesson where nothing is held or objected to, and merge the window into the next one.

        Returns:
            (s,) bool which streams of the lesson are not held.
        """
        if self._taken:
            self._taken = False
            self._free = ~held_among(held, self._lesson.streams)
            if self._lesson.streams.size:
                self._follow(window)
            self._merge(window, held)
        return self._free

    def _follow(self, window: Window) -> None:
        lesson, followed = self._lesson, self._free & ~self._objected
        seconds = BAG_WINDOWS * window.seconds
        self.anchor.learn(lesson.cells, lesson.starts, lesson.slots, followed, lesson.weights, seconds)
        self.anchor.influence.learn()
        others = self._outside[~np.isin(self._outside, lesson.streams)]
        self._outside = np.sort(np.concatenate((others, lesson.streams[self._objected])))

    def _merge(self, window: Window, held: Flags) -> None:
        """Add what is free of a window to the next lesson; one in which everything is held does not count at all."""
        told = (window.rates, window.cells.of_features(Aspect.CLIENT), widened(self._quorum.heard.cells))
        rates, clients, heard = (self._free_of(cells, held) for cells in told)
        if len(rates) or len(clients) or len(heard) or not len(window.cells):
            self.anchor.influence.see(clients)
            self._bag.add(heard)

    def _free_of(self, cells: Cells, held: Flags) -> Cells:
        """Return the cells that are not held; those of streams found beyond what is tolerated are learned all the same."""
        if not held.size:
            return cells
        return cells.where(~held_among(held, cells.streams) | np.isin(cells.streams, self._outside))
