"""What goes beyond what is tolerated, and comes back by itself, again and again."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.evidence import cleared, grown
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Flags, Floats, Ints, Singles

_DAY_S: Final = 86_400.0
_REMEMBERED_S: Final = 8 * _DAY_S  # within which a stream must go and come back twice: weekends are a rhythm too
_APART_S: Final = _DAY_S / 2  # of two times, so that they are of different days
_BACK_S: Final = 3_600.0  # within what is tolerated, until a stream is back: at the border it crosses many times
_USES: Final = 0.5  # of a rhythm, beyond which a stream shows that it still has it


class Rhythm:
    """How far each stream goes beyond what is tolerated and comes back, within a day and on more than one.

    An excursion is over once the stream has been back for an hour. One that lasted less than a day, and came on another day
    before, is a rhythm, as far as it went both times; where little can be gained by teaching one, the first time is enough. A rhythm that
    has not shown for eight days is forgotten.

    The state is seven arrays by slot.
    """

    def __init__(self) -> None:
        self._away: Singles = np.zeros(0, np.float32)  # how far an excursion has gone; 0 while there is none
        self._away_s = np.zeros(0)  # event time at which it began
        self._inside_s = np.zeros(0)  # since when the stream may be back from it; NaN while it is not
        self._back: Singles = np.zeros(0, np.float32)  # how far an earlier excursion went
        self._back_s = np.zeros(0)  # event time at which the stream was back from it
        self._far: Singles = np.zeros(0, np.float32)  # how far the rhythm goes; 0 where there is none
        self._far_s = np.zeros(0)  # event time at which it showed last

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies(
            {
                "away": self._away,
                "away_s": self._away_s,
                "inside_s": self._inside_s,
                "back": self._back,
                "back_s": self._back_s,
                "far": self._far,
                "far_s": self._far_s,
            }
        )

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._away, self._away_s, self._inside_s = arrays["away"], arrays["away_s"], arrays["inside_s"]
        self._back, self._back_s = arrays["back"], arrays["back_s"]
        self._far, self._far_s = arrays["far"], arrays["far_s"]

    def grow(self, slots: int) -> None:
        """Make room for slots."""
        self._away, self._away_s = grown(self._away, slots), grown(self._away_s, slots)
        self._inside_s = grown(self._inside_s, slots, np.nan)
        self._back, self._back_s = grown(self._back, slots), grown(self._back_s, slots)
        self._far, self._far_s = grown(self._far, slots), grown(self._far_s, slots)

    def clear(self, slots: Ints) -> None:
        """Forget slots, so that others may have them."""
        for shift in (self._away, self._back, self._far):
            cleared(shift, slots)
        for time_s in (self._away_s, self._back_s, self._far_s):
            cleared(time_s, slots)
        cleared(self._inside_s, slots, np.nan)

    def far(self, slots: Ints) -> Floats:
        """Return (s,) float64 how far the rhythm of streams goes; 0 where there is none."""
        return self._far[slots].astype(np.float64)

    def note(self, slots: Ints, shift: Floats, beyond: Flags, once: Flags, end_s: float) -> None:
        """Note where streams are.

        Args:
            slots: (s,) int64, each once.
            shift: (s,) float64 from their anchors.
            beyond: (s,) bool which of them are beyond what is tolerated.
            once: (s,) bool of which a single excursion is enough.
            end_s: Event time.
        """
        far = np.abs(shift)
        self._show(slots, far, end_s)
        inside_s = self._inside_s[slots]
        over = (self._away[slots] > 0) & (end_s - inside_s >= _BACK_S)  # false where NaN
        self._end(slots[over], once[over])
        away = self._away[slots] > 0
        began = beyond & ~away
        self._away_s[slots[began]] = end_s
        self._away[slots[beyond]] = np.maximum(self._away[slots], far)[beyond]
        self._inside_s[slots[beyond]] = np.nan
        comes = slots[~beyond & away & np.isnan(inside_s)]
        self._inside_s[comes] = end_s

    def _show(self, slots: Ints, far: Floats, end_s: float) -> None:
        """Note which rhythms show, and forget those that have not for long."""
        known = self._far[slots]
        self._far_s[slots[(known > 0) & (far > _USES * known)]] = end_s
        self._far[slots[end_s - self._far_s[slots] > _REMEMBERED_S]] = 0.0

    def _end(self, slots: Ints, once: Flags) -> None:
        """End excursions, (s,) int64, from which streams are back."""
        went, returned_s, before = self._away[slots], self._inside_s[slots], self._back[slots]
        soon, since_s = returned_s - self._away_s[slots] < _DAY_S, returned_s - self._back_s[slots]
        again = (before > 0) & (since_s > _APART_S) & (since_s < _REMEMBERED_S)
        far = np.where(once, went, np.where(again, np.minimum(before, went), 0.0))
        far = np.where(soon, far, 0.0)
        self._far[slots] = np.maximum(self._far[slots], far)
        self._far_s[slots[far > 0]] = returned_s[far > 0]
        newest = soon & (
            (went >= before) | (since_s > _REMEMBERED_S)
        )  # a small one at the border takes no large one's place
        self._back[slots[newest]], self._back_s[slots[newest]] = went[newest], returned_s[newest]
        self._away[slots], self._inside_s[slots] = 0.0, np.nan
