"""How far streams stray from their anchors by themselves, and so what of it is surprising."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.evidence import Dispersion
from spanward_processor.features import FEATURES
from spanward_processor.kept import Arrays, gathered, scattered
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.surprise import Surprise
from spanward_processor.usual.lessons import Lesson
from spanward_processor.usual.natural import Natural

_SCATTER_DECAY: Final = 0.995  # per bag: the scatter of half a day
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1
_ONCE: Final = np.array([feature.kind in {"operational", "performance"} for feature in FEATURES])
"""Features whose excursion of a day is a rhythm at once: what lasts a day is learned there anyway (decision 0032)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a detector makes of a lesson, by stream.

    Args:
        shift: (s,) float64 from the anchor.
        scatter: (s,) float64 squared distance from the lesson before, in errors, of one degree of freedom.
        beyond: (s,) float64 squared distance beyond what is tolerated, in errors.
        again: (s,) float64 the same from what streams turned to by this time of earlier weeks; infinity where they did not.
    """

    shift: Floats
    scatter: Floats
    beyond: Floats
    again: Floats

    @classmethod
    def nothing(cls) -> "Verdict":
        """Return the verdict on nothing."""
        return cls(np.empty(0), np.empty(0), np.empty(0), np.empty(0))

    @property
    def objected(self) -> Flags:
        """(s,) bool which streams are beyond what is tolerated, and are not what they are each week."""
        return np.asarray(self.least > 0)

    @property
    def least(self) -> Floats:
        """(s,) float64 squared distance beyond what is tolerated or comes each week, in errors."""
        return np.minimum(self.beyond, self.again)


class Strays:
    """One detector's memory of how far each stream goes by its measure: within a day, and from one lesson to the next."""

    def __init__(self) -> None:
        self.natural = Natural()
        self._dispersion = Dispersion(_SCATTER_DECAY)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered(self._parts())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)

    def _parts(self) -> dict[str, Natural | Dispersion]:
        return {"natural": self.natural, "dispersion": self._dispersion}

    def admit(self, lesson: Lesson) -> None:
        """Make room for the streams of a lesson."""
        size = int(lesson.slots.max(initial=-1)) + 1
        self.natural.grow(size)
        self._dispersion.grow(size)

    def clear(self, slots: Ints) -> None:
        """Forget slots, so that others may have them."""
        self.natural.clear(slots)
        self._dispersion.clear(slots)

    def surprise(self, lesson: Lesson, verdict: Verdict, learning: Learning) -> Surprise:
        """Return the p-values of the streams that have an anchor, by the scatter of earlier lessons."""
        ready = lesson.anchored & (lesson.rows >= learning.rows)
        slots = lesson.slots[ready]
        return Surprise(
            lesson.streams[ready], self._dispersion.p_values(slots, verdict.least[ready], np.ones(slots.size))
        )

    def caution(self, lesson: Lesson, stream: int) -> str:
        """Return what a sentence about a stream must add while nobody knows its day; empty where somebody does."""
        slots = lesson.slots[lesson.streams == stream]
        if not slots.size or self.natural.knows_a_day(slots)[0]:
            return ""
        return " Less than a day of it is known, so this may be what it does every day."

    def learn(self, lesson: Lesson, verdict: Verdict, free: Flags, time_ns: int) -> None:
        """Learn how far the streams of a lesson strayed.

        Args:
            lesson: The lesson.
            verdict: What was made of it.
            free: (s,) bool which streams are not held.
            time_ns: Event time.
        """
        within = free & (verdict.beyond == 0)
        once = _ONCE[lesson.streams & _FEATURE_MASK]
        self.natural.rhythm.note(lesson.slots, verdict.shift, verdict.objected, once, time_ns / 1e9)
        self._dispersion.learn(lesson.slots[within], verdict.scatter[within], np.ones(int(within.sum())))
        self.natural.learn(lesson.slots[within], verdict.shift[within], time_ns)
