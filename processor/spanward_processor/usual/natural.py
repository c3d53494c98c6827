"""How far a stream strays by itself."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.evidence import cleared, grown
from spanward_processor.kept import Arrays, copies, part, under
from spanward_processor.kernels.jit import Flags, Floats, Ints, Singles
from spanward_processor.usual.rhythm import Rhythm

_PER_BAG: Final = 1 / 12  # bags of five minutes in an hour
_DAY_S: Final = 86_400.0
_FADES: Final = 0.8  # of a wide day's range is left after a day without any


class Natural:
    """How far each stream strays from its anchor within a day, by itself.

    A daily cycle goes up and comes back within a day, so the distance between a day's lowest and highest hour is what the
    next days may show. What is moved little by little covers less than that in a day, and yet gets away from the anchor.

    What goes beyond what is tolerated is not learned; but where it is a rhythm (`rhythm.py`), that is tolerated too.

    The state is six arrays by slot, and the rhythm's.
    """

    def __init__(self) -> None:
        self._hourly: Singles = np.zeros(0, np.float32)  # the shift, smoothed over some twelve bags
        self._last: Singles = np.zeros(0, np.float32)
        self._low: Singles = np.zeros(0, np.float32)
        self._high: Singles = np.zeros(0, np.float32)
        self._range: Singles = np.zeros(0, np.float32)  # -1 while no day is complete
        self._began_s = np.zeros(0)  # event time at which the day began
        self.rhythm = Rhythm()

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies(
            {
                "hourly": self._hourly,
                "last": self._last,
                "low": self._low,
                "high": self._high,
                "range": self._range,
                "began_s": self._began_s,
            }
        ) | under("rhythm", self.rhythm.arrays())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._hourly, self._last = arrays["hourly"], arrays["last"]
        self._low, self._high = arrays["low"], arrays["high"]
        self._range, self._began_s = arrays["range"], arrays["began_s"]
        self.rhythm.restore(part("rhythm", arrays))

    def grow(self, slots: int) -> None:
        """Make room for slots."""
        self._hourly, self._last = grown(self._hourly, slots), grown(self._last, slots)
        self._low, self._high = grown(self._low, slots), grown(self._high, slots)
        self._range = grown(self._range, slots, -1.0)
        self._began_s = grown(self._began_s, slots, np.nan)
        self.rhythm.grow(slots)

    def clear(self, slots: Ints) -> None:
        """Forget slots, so that others may have them."""
        for shift in (self._hourly, self._last, self._low, self._high):
            cleared(shift, slots)
        cleared(self._range, slots, -1.0)
        cleared(self._began_s, slots, np.nan)
        self.rhythm.clear(slots)

    def tolerance(self, slots: Ints, first_day: Floats, later: Floats) -> Floats:
        """Return (s,) float64 how far a stream may be from its anchor.

        Args:
            slots: (s,) int64.
            first_day: (s,) float64 allowed while no day was seen to its end.
            later: (s,) float64 allowed beyond what a day or a rhythm covers.
        """
        covered = self._covered(slots)
        return np.where(covered < 0, first_day, later + covered)

    def knows_a_day(self, slots: Ints) -> Flags:
        """Return (s,) bool of which streams it is known what a day covers."""
        return np.asarray(self._covered(slots) >= 0)

    def _covered(self, slots: Ints) -> Floats:
        """Return (s,) float64 how far streams go within a day, -1 where nobody knows."""
        far = self.rhythm.far(slots)
        return np.maximum(self._range[slots], np.where(far > 0, far, -1.0))

    def step(self, slots: Ints, shift: Floats) -> Floats:
        """Return (s,) float64 how far a shift is from the one learned before, 0 for the first; a slow ramp hardly steps."""
        return np.where(np.isnan(self._began_s[slots]), 0.0, shift - self._last[slots])

    def learn(self, slots: Ints, shift: Floats, end_ns: int) -> None:
        """Learn where streams were.

        Args:
            slots: (s,) int64, each once.
            shift: (s,) float64 from their anchors.
            end_ns: End of the bag.
        """
        end_s = end_ns / 1e9
        new = np.isnan(self._began_s[slots])
        before = np.where(new, shift, self._hourly[slots])
        hourly = before + _PER_BAG * (shift - before)
        self._hourly[slots], self._last[slots] = hourly, shift
        low, high = np.minimum(self._low[slots], hourly), np.maximum(self._high[slots], hourly)
        over = ~new & (end_s - self._began_s[slots] >= _DAY_S)
        self._range[slots[over]] = np.maximum((high - low)[over], _FADES * self._range[slots[over]])
        begins = new | over
        self._low[slots], self._high[slots] = np.where(begins, hourly, low), np.where(begins, hourly, high)
        self._began_s[slots[begins]] = end_s
