"""What the baselines are taught, bag by bag, beside an anchor of it: what detectors that judge five minutes have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Surprise, held_among
from spanward_processor.evidence import Dispersion
from spanward_processor.kept import Arrays, copies, gathered, scattered
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.usual.anchor import FIRST_BAGS, Anchor
from spanward_processor.usual.bags import Bag
from spanward_processor.usual.natural import Natural
from spanward_processor.windows.cells import room_for
from spanward_processor.windows.window import Window

BAG_WINDOWS: Final = 30  # five minutes of the default windows
_SCATTER_DECAY: Final = 0.995  # per bag: the scatter of half a day


@dataclass(frozen=True, slots=True)
class Lesson:
    """A bag of what was learned, not yet followed by the anchor.

    Args:
        cells: Its cells.
        starts: (s + 1,) int64 where each stream's cells begin.
        streams: (s,) int64.
        slots: (s,) int64.
        weights: (s,) float64 how far its rows may be learned from.
    """

    cells: Packed
    starts: Ints
    streams: Ints
    slots: Ints
    weights: Floats

    @classmethod
    def nothing(cls) -> "Lesson":
        """Return what there is while a bag is filled."""
        none = np.empty(0, np.int64)
        return cls(room_for(0), np.zeros(1, np.int64), none, none, np.empty(0))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a detector makes of a lesson, by stream.

    Args:
        shift: (s,) float64 from the anchor.
        scatter: (s,) float64 squared distance from the lesson before, in errors, of one degree of freedom.
        beyond: (s,) float64 squared distance beyond what is tolerated, in errors.
    """

    shift: Floats
    scatter: Floats
    beyond: Floats

    @classmethod
    def nothing(cls) -> "Verdict":
        """Return the verdict on nothing."""
        return cls(np.empty(0), np.empty(0), np.empty(0))


class Lessons:
    """Bags of what was learned, the anchor that follows them, and how far streams stray from it by themselves.

    What is held because of an alarm teaches nobody, and is in no bag, but for streams that the detector itself has found
    beyond what is tolerated: else it could not see them come back.

    Args:
        wanted: (f,) bool features that are looked at.
        fewest: Rows below which a stream waits for the next bag.
    """

    def __init__(self, wanted: Flags, fewest: float) -> None:
        self._fewest = fewest
        self._bag = Bag(wanted)
        self.anchor = Anchor()
        self.natural = Natural()
        self._dispersion = Dispersion(_SCATTER_DECAY)
        self._outside: Ints = np.empty(0, np.int64)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered(self._parts()) | copies({"outside": self._outside})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._outside = arrays["outside"]

    def _parts(self) -> dict[str, Bag | Anchor | Natural | Dispersion]:
        return {"bag": self._bag, "anchor": self.anchor, "natural": self.natural, "dispersion": self._dispersion}

    def take(self, parents: Ints) -> Lesson:
        """Return the bag if it is full, nothing otherwise.

        Args:
            parents: (k,) int64 the series of each key.
        """
        if self._bag.windows < BAG_WINDOWS:
            return Lesson.nothing()
        cells, starts = self._bag.take(self._fewest)
        streams = cells.streams[starts[:-1]].astype(np.int64)
        slots = self.anchor.admit(streams)
        self.natural.grow(len(self.anchor.slots))
        self._dispersion.grow(len(self.anchor.slots))
        weights = self.anchor.influence.weights(parents)[streams >> FEATURE_BITS]
        return Lesson(cells, starts, streams, slots, weights)

    def surprise(self, lesson: Lesson, verdict: Verdict, learning: Learning) -> Surprise:
        """Return the p-values of the streams that have an anchor, by the scatter of earlier lessons."""
        anchored = self.anchor.bags[lesson.slots] >= FIRST_BAGS
        ready = anchored & (self.anchor.rows(lesson.slots) >= learning.rows)
        slots = lesson.slots[ready]
        p = self._dispersion.p_values(slots, verdict.beyond[ready], np.ones(slots.size))
        return Surprise(lesson.streams[ready], p)

    def learn(self, window: Window, held: Flags, lesson: Lesson, verdict: Verdict) -> Flags:
        """Follow the lesson where nothing is held, and merge the window into the next one.

        Returns:
            (s,) bool which streams of the lesson are not held.
        """
        free = ~held_among(held, lesson.streams)
        if lesson.streams.size:
            self.natural.note(lesson.slots, verdict.shift, verdict.beyond > 0, window.start_ns)
            self._follow(lesson, verdict, free & (verdict.beyond == 0), window)
        cells = window.cells
        if held.size:
            cells = cells.where(~held_among(held, cells.streams) | np.isin(cells.streams, self._outside))
        if len(cells) or not len(window.cells):
            self.anchor.influence.see(cells)
            self._bag.add(cells)
        return free

    def _follow(self, lesson: Lesson, verdict: Verdict, free: Flags, window: Window) -> None:
        slots, seconds = lesson.slots[free], BAG_WINDOWS * window.seconds
        self.anchor.learn(lesson.cells, lesson.starts, lesson.slots, free, lesson.weights, seconds)
        self.anchor.influence.learn()
        self._dispersion.learn(slots, verdict.scatter[free], np.ones(slots.size))
        self.natural.learn(slots, verdict.shift[free], window.start_ns)
        others = self._outside[~np.isin(self._outside, lesson.streams)]
        self._outside = np.sort(np.concatenate((others, lesson.streams[verdict.beyond > 0])))
