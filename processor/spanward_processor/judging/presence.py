"""Where the requests of a model go: which versions and slices nothing comes from any more, and whose others have taken."""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.evidence import SECONDS_PER_DAY, grown
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.keys import KeyDirectory
from spanward_processor.windows.window import Window

_USUAL_S: Final = 3600.0  # time after which what was usual counts half
_NOW_WINDOWS: Final = (3.0, 30.0)  # after which what is now counts half, where it is busy and where it is seldom asked
_ENDED_S: Final = 300.0  # without a row, after which nothing is known any more of what a series shows
_MISSED: Final = 10.0  # rows that must be missing by what was usual: who is seldom asked pauses for longer
_GONE_S: Final = float(SECONDS_PER_DAY)  # without a row, after which a series is switched off
_LEFT: Final = 0.5  # of what a version lost or gained, at most this may be lost or gained by all versions together
_CLEARLY: Final = 2.0  # standard deviations by which the others must have gained or lost
_UNTOUCHED: Final = 1 / 3  # of the usual requests of all versions, by which they may differ while a handover is learned
_WIDELY: Final = 4.0  # the same in standard deviations
_BURSTS: Final = 2.0  # variance of rows in a window, beside that of rows that know nothing of each other


class Presence:
    """Notes how many rows come, and came, of each series and slice, and how long it has been silent.

    A version that falls silent because another takes its requests is a deployment and no outage. What tells one from the other
    is the sum over the versions of a model: a mean that fades is linear, so the sum's own need not be kept.

    The state is by key: (k,) float64 rows a window, now, by a long mean too, and usually, all fading from nothing; (k,) float64 how
    far the usual ones are known, 0 before the first row; (k,) float64 seconds of windows without a row since; (k,) bool which
    series have handed over.
    """

    def __init__(self) -> None:
        self._now = np.zeros(0)
        self._lately = np.zeros(0)
        self._usual = np.zeros(0)
        self._known = np.zeros(0)
        self._silent_s = np.zeros(0)
        self._handed = np.zeros(0, bool)
        self._width_s = 0.0  # of the newest window

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies(
            {
                "now": self._now,
                "lately": self._lately,
                "usual": self._usual,
                "known": self._known,
                "silent_s": self._silent_s,
                "handed": self._handed.astype(np.uint8),
            }
        )

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._now, self._lately = arrays["now"], arrays["lately"]
        self._usual, self._known = arrays["usual"], arrays["known"]
        self._silent_s, self._handed = arrays["silent_s"], arrays["handed"].astype(bool)

    def see(self, window: Window, directory: KeyDirectory) -> None:
        """Take in a window; one that was not seen from end to end tells nothing of how many rows come."""
        rates = window.rates
        self._grow(len(directory))
        self._silent_s[rates.keys] = 0.0
        if not window.whole:
            return
        rows, self._width_s = np.zeros(self._now.size), window.seconds
        rows[rates.keys] = rates.counts
        usual = _USUAL_S / window.seconds
        for mean, windows in zip((self._now, self._lately, self._usual), (*_NOW_WINDOWS, usual), strict=True):
            mean += _step(windows) * (rows - mean)
        seen = (self._known > 0) | (rows > 0)
        self._known[seen] += _step(usual) * (1.0 - self._known[seen])
        self._silent_s[seen & (rows == 0)] += window.seconds

    def _grow(self, keys: int) -> None:
        self._now, self._lately = grown(self._now, keys), grown(self._lately, keys)
        self._usual, self._known = grown(self._usual, keys), grown(self._known, keys)
        self._silent_s, self._handed = grown(self._silent_s, keys), grown(self._handed, keys)

    # --- silence -----------------------------------------------------------------------------------------------------

    def has_ended(self, keys: Ints) -> bool:
        """Return whether none of some keys, (n,) int64, has had a row for so long that nothing is known of them any more."""
        silent_s, known = self._silent_s[keys], np.maximum(self._known[keys], 1e-9)
        before = self._usual[keys] / known * np.exp2(silent_s / _USUAL_S)  # it has faded since
        missed = before * silent_s / max(self._width_s, 1e-9)
        return bool(silent_s.min() >= _ENDED_S and missed.max() >= _MISSED)

    def is_gone(self, keys: Ints) -> bool:
        """Return whether none of some keys, (n,) int64, has had a row for so long that they are taken for switched off."""
        return bool(self._silent_s[keys].min() >= _GONE_S)

    # --- handing over ------------------------------------------------------------------------------------------------

    def handed_over(self, series: int, directory: KeyDirectory) -> bool:
        """Return whether the requests of a version come or go because other versions take, or took, as many fewer or more.

        While that is learned, which takes longer than what is usual here, it goes on being so as long as all versions together
        have about as many requests as usual.

        Args:
            series: The version whose rate is not as usual.
            directory: Names of the keys.
        """
        versions = directory.versions(series)
        versions = versions[versions < self._now.size]  # requests on their way may have brought more
        own = versions == series
        if own.all():
            return False
        known = max(float(self._known[versions].max()), 1e-9)  # of the model: a version was not there before it came
        usual = float(self._usual[versions].sum()) / known
        before = float(self._usual[series]) / max(float(self._known[series]), 1e-9)
        judge = _goes_on if self._handed[series] else partial(_is_taken, own, before)
        told = [
            judge(mean[versions] / self._filled(known, windows), usual, windows)
            for mean, windows in zip((self._now, self._lately), _NOW_WINDOWS, strict=True)
        ]
        self._handed[series] = all(told) if self._handed[series] else any(told)
        return bool(self._handed[series])

    def _filled(self, known: float, windows: float) -> float:
        """Return how far a mean that fades so fast has filled since a model is known, 0 to 1."""
        left: float = (1.0 - known) ** (_USUAL_S / max(self._width_s, 1e-9) / windows)
        return max(1.0 - left, 1e-9)

    def keep_handed(self, claimed: Iterable[int]) -> None:
        """Forget that series have handed over, except for those whose rate is still not as usual."""
        still = np.zeros_like(self._handed)
        still[list(claimed)] = True
        self._handed &= still


def _step(half_life: float) -> float:
    """Return the share of a new value in a mean that fades with such a half-life."""
    return 1.0 - float(0.5 ** (1.0 / half_life))


def _scatter(rows: float, half_life: float) -> float:
    """Return the standard deviation of a fading mean of windows with so many rows."""
    step = _step(half_life)
    return math.sqrt(_BURSTS * rows * step / (2.0 - step))


def _is_taken(own: Flags, before: float, now: Floats, usual: float, windows: float) -> bool:
    """Return whether what a version lost, or gained, is what the others gained, or lost, clearly beyond their scatter.

    The others had what all together usually have, less what it had: what each of them had by itself says little where one version
    followed another within the hour.

    Args:
        own: (v,) bool which version it is.
        before: Its usual rows a window, since it came.
        now: (v,) float64 rows a window of each version now.
        usual: Rows a window of all together, as is usual.
        windows: Half-life of what is now.
    """
    others = max(usual - before, 0.0)
    lost, taken = float(now[own].sum()) - before, float(now[~own].sum()) - others
    return abs(lost + taken) <= _LEFT * abs(lost) and abs(taken) >= _CLEARLY * _scatter(others, windows)


def _goes_on(now: Floats, usual: float, windows: float) -> bool:
    """Return whether all versions together have about as many rows as usual; see `_is_taken`."""
    most = max(_UNTOUCHED * usual, _WIDELY * _scatter(usual, windows))
    return abs(float(now.sum()) - usual) <= most
