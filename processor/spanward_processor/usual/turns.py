"""What a window is compared with at times at which streams have turned before, as weekends and nightly jobs make them."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.features import FEATURES
from spanward_processor.kept import Arrays
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Flags, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.usual.calendar import DAY_S, WEEK_S, Calendar, are_on, use
from spanward_processor.usual.nearest import Nearest
from spanward_processor.windows.cells import some_of
from spanward_processor.windows.window import Window

_CLEARLY_GAINED: Final = 20.0  # of a deviance: what it takes to count as turned again, by chance once in 20,000 windows
_TURNING_S: Final = 2 * 3_600.0  # after that, for which whole rows and pairs of features may be unlike before
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1
COMES_AGAIN: Final = {
    DAY_S: np.array([feature.kind in {"operational", "performance"} for feature in FEATURES]),
    WEEK_S: np.array([feature.kind != "security" for feature in FEATURES]),
}
"""(f,) bool features that may turn at the same time each day, or each week: who attacks by the clock is told each time."""


class Turns:
    """Compares windows with what streams turned to at this time before, where they are nearer to that, and notes when they turn.

    A stream turns when a finding begins or ends to speak of it. The state is the calendar's.

    Args:
        shapes: (f,) int64 as for `deviances`.
    """

    def __init__(self, shapes: Ints) -> None:
        self.calendar = Calendar()
        self._shapes = shapes
        self._subjects = np.empty(0, np.int64)  # of each stream just tested, while anything is noted of any
        self._spoken_of = np.empty(0, np.int64)  # streams of which open findings speak
        self._again_s: dict[int, float] = {}  # event time at which a series turned again; begins anew after a restart

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return self.calendar.arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self.calendar.restore(arrays)

    def evict(self, gone: Flags) -> None:
        """Let go of keys, (k,) bool."""
        self.calendar.evict(gone)
        self._again_s = {series: time_s for series, time_s in self._again_s.items() if not gone[series]}

    def beside(self, tested: Packed, starts: Ints, usual: Packed, window: Window, directory: KeyDirectory) -> Packed:
        """Return what a window is compared with.

        Args:
            tested: (c,) its cells.
            starts: (s + 1,) int64 where those of each stream begin.
            usual: What was usual of late.
            window: The window.
            directory: Names of the keys.
        """
        self._subjects = self._subjects[:0]  # the window before may not have been learned
        time_s = window.end_ns / 1e9
        cycles = {period_s: self.calendar.turns(time_s, period_s) for period_s in COMES_AGAIN}
        pages = [cycle for each in cycles.values() for cycle in each]
        if not (pages or self.calendar.is_open):
            return usual
        streams = tested.streams[starts[:-1]].astype(np.int64)
        self._subjects = directory.by_subject(streams)
        asked = are_on(pages, self._subjects) & ~np.isin(streams, self._spoken_of)  # who was told turns back by itself
        if not asked.any():
            return usual
        some = some_of(tested, np.repeat(asked, np.diff(starts)))
        nearest = Nearest(some, usual, self._subjects[asked], self._shapes)
        for period_s, comes_again in COMES_AGAIN.items():
            nearest.look(cycles[period_s], comes_again[nearest.streams & _FEATURE_MASK])
        use(pages, self._subjects[asked][nearest.is_found()], time_s)
        again = nearest.streams[nearest.gained() >= _CLEARLY_GAINED]
        self._again_s |= dict.fromkeys(directory.parents()[again >> FEATURE_BITS].tolist(), time_s)
        return nearest.beside(usual)

    def note(self, turned: Ints, spoken_of: Ints, window: Window, directory: KeyDirectory) -> None:
        """Note which streams turned; see `Remembering.turn`."""
        self._spoken_of = spoken_of
        if turned.size:
            self.calendar.turn(directory.by_subject(turned), window.end_ns / 1e9)

    def turning(self, window: Window) -> Ints:
        """Return (s,) int64 the series that turned again not long ago."""
        time_s = window.end_ns / 1e9
        self._again_s = {series: again_s for series, again_s in self._again_s.items() if time_s - again_s <= _TURNING_S}
        return np.array(list(self._again_s), np.int64)

    def learn(self, tested: Packed, starts: Ints, window: Window) -> None:
        """Note what streams look like that turned a while ago; whether they are held makes no difference."""
        if self._subjects.size:
            subjects = np.repeat(self._subjects, np.diff(starts))
            self.calendar.write(tested, subjects, window.end_ns / 1e9, window.seconds)
