"""What hour of the day, and of the week, a rate is used to: so that cycles are expected, and what leaves them is not.

The profile is the rate of each hour as a share of the mean rate. It is not taken for the rate itself but for how the rate goes
on from where it is: the level, which fades with the half-life of the baseline, is compared with the same fading sum over the
profile. So a day that is busier as a whole is followed as before, and only its shape is predicted. While no day was seen to its end
there is no shape, and a level that lags by an hour would call every morning a change: then it is followed several times faster.

Each hour is shrunk towards what is known with more certainty: an hour of the week towards that hour of the day, an hour of the day
towards the mean, by how many times it has come and how many rows it has had. Between the middles of hours the profile is straight.

Source: Holt and Winters' multiplicative seasons, in Winters, "Forecasting sales by exponentially weighted moving averages",
Management Science 6 (1960).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.evidence import cleared, grown
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Floats, Ints, Singles

_HOUR_NS: Final = 3_600 * 1_000_000_000
_DAY: Final = 24
_WEEK: Final = 168
_REMEMBERED_VISITS: Final = 5.0  # times that an hour must come until what it was counts half
_FEW_VISITS: Final = 0.33  # square of the visits of an hour by which its share is pulled half way to the mean
_FEW_ROWS: Final = 200.0  # rows of an hour by which its share is pulled half way to the mean
_FIRST_DAY: Final = 6.0  # times faster the level is followed while nobody knows what the next hour brings
_NAMES: Final = ("level", "followed", "day_rows", "day_windows", "week_rows", "week_windows")
_WIDTHS: Final = {
    "level": 1,
    "followed": 1,
    "day_rows": _DAY,
    "day_windows": _DAY,
    "week_rows": _WEEK,
    "week_windows": _WEEK,
}


class Season:
    """Daily and weekly profile of the rate of every key that has a slot.

    The state is flat float32 arrays: by slot the faded rows and the same over the profile, (s,); by slot and hour of day and
    of week the faded rows and windows, (s * 24,) and (s * 168,).

    Args:
        decay: Factor per window by which older windows count less in the level.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._flat: dict[str, Singles] = {name: np.zeros(0, np.float32) for name in _NAMES}

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies(self._flat)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._flat = {name: arrays[name] for name in _NAMES}

    def grow(self, slots: int) -> None:
        """Make room for slots."""
        self._flat = {name: grown(array, slots * _WIDTHS[name]) for name, array in self._flat.items()}

    def clear(self, slots: Ints) -> None:
        """Forget slots, so that others may have them."""
        for name in _NAMES:
            cleared(self._table(name), slots)

    def begin(self, slots: Ints, rows: Floats, windows: Floats) -> None:
        """Take the level of slots that have none from the baseline.

        Args:
            slots: (s,) int64, new ones among them.
            rows: (s,) float64 faded rows.
            windows: (s,) float64 faded windows.
        """
        new = self._flat["followed"][slots] == 0.0
        self._flat["level"][slots[new]] = rows[new]
        self._flat["followed"][slots[new]] = windows[new]

    def expected(self, slots: Ints, middle_ns: int, window_ns: int) -> Floats:
        """Return (s,) float64 rows that are expected of a window.

        Args:
            slots: (s,) int64.
            middle_ns: Middle of the window, Unix nanoseconds.
            window_ns: Its length.
        """
        level, followed = (self._flat[name][slots].astype(np.float64) for name in ("level", "followed"))
        share = self._share(slots, middle_ns, window_ns)
        expected: Floats = level * share / np.maximum(followed, 1e-9)
        return expected

    def rows(self, slots: Ints) -> Floats:
        """Return (s,) float64 the faded rows behind the level."""
        return self._flat["level"][slots].astype(np.float64)

    def _known(self, slots: Ints, middle_ns: int, window_ns: int) -> Floats:
        """Return (s,) float64 how well it is known what the rate does next: 0 while that hour of the day has never come, to 1."""
        visits = self._table("day_windows")[slots, (middle_ns // _HOUR_NS + 1) % _DAY] / (_HOUR_NS / window_ns)
        return np.asarray(_trust(visits.astype(np.float64)))

    def _table(self, name: str) -> Singles:
        flat, width = self._flat[name], _WIDTHS[name]
        return flat[: flat.size // width * width].reshape(-1, width)

    def _share(self, slots: Ints, at_ns: int, window_ns: int) -> Floats:
        """Return (s,) float64 the profile at a time, 1 for the mean."""
        hour, within = divmod(at_ns / _HOUR_NS - 0.5, 1.0)
        first, second = (self._log_share(slots, int(hour) + more, window_ns) for more in (0, 1))
        share: Floats = np.exp(first * (1.0 - within) + second * within)
        return share

    def _log_share(self, slots: Ints, hour: int, window_ns: int) -> Floats:
        """Return (s,) float64 logarithm of an hour's rate as a share of the mean, shrunk."""
        per_visit = _HOUR_NS / window_ns
        mean = self._table("day_rows")[slots].sum(axis=1) / np.maximum(
            self._table("day_windows")[slots].sum(axis=1), 1.0
        )
        shrunk = np.zeros(slots.size)
        for name, place in (("day", hour % _DAY), ("week", hour % _WEEK)):
            rows = self._table(f"{name}_rows")[slots, place].astype(np.float64)
            windows = self._table(f"{name}_windows")[slots, place].astype(np.float64)
            trust = _trust(windows / per_visit) * rows / (rows + _FEW_ROWS)
            seen = (rows + 0.5) / np.maximum(windows, 1.0) / np.maximum(mean, 1e-9)
            shrunk += trust * (np.log(np.maximum(seen, 1e-9)) - shrunk)
        return shrunk

    def learn(self, slots: Ints, counted: Floats, middle_ns: int, window_ns: int) -> None:
        """Add a window in which all was well.

        Args:
            slots: (s,) int64, each once.
            counted: (s,) float64 rows.
            middle_ns: Middle of the window, Unix nanoseconds.
            window_ns: Its length.
        """
        share = self._share(slots, middle_ns, window_ns)
        faster = 1.0 + (_FIRST_DAY - 1.0) * (1.0 - self._known(slots, middle_ns, window_ns))
        level_fade = self._decay**faster
        self._flat["level"][slots] = level_fade * self._flat["level"][slots] + counted
        self._flat["followed"][slots] = level_fade * self._flat["followed"][slots] + share
        hour = middle_ns // _HOUR_NS
        fade = 0.5 ** (window_ns / _HOUR_NS / _REMEMBERED_VISITS)
        for name, place in (("day", hour % _DAY), ("week", hour % _WEEK)):
            rows, windows = self._table(f"{name}_rows"), self._table(f"{name}_windows")
            rows[slots, place] = fade * rows[slots, place] + counted
            windows[slots, place] = fade * windows[slots, place] + 1.0


def _trust(visits: Floats) -> Floats:
    """Return (s,) float64 how far an hour that came so many times is trusted, 0 to 1."""
    squares = np.square(visits)
    return np.asarray(squares / (squares + _FEW_VISITS))
