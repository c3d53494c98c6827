"""From deviances to p-values, from p-values to evidence that may be looked at after every window.

Three steps, each from the literature:

1. A window's deviance from the baseline is measured against the deviances of earlier windows of the same stream, not
   against an ideal: the quasi-likelihood F-test. Bursts and correlated requests raise the dispersion, and with it the
   bar. Source: McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, section 4.5.
2. A p-value becomes an e-value by the mixture calibrator. Source: Vovk and Wang, "E-values: Calibration, combination and
   applications", Annals of Statistics 49 (2021), equation (2).
3. E-values multiply over windows, starting anew whenever the product falls below one: an e-CUSUM. Crossing A then
   happens at most once in A windows on average while nothing changes. Source: Shin, Ramdas and Rinaldo, "E-detectors",
   2022, definition 2.6 and theorem 2.4.
"""

from typing import Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from spanward_processor.kernels.jit import Flags, Floats, Ints

Kind = TypeVar("Kind", np.float64, np.int64)

SUSPICIOUS: Final = 0.5  # share of the threshold (in powers of ten) from which a window is no longer learned
CALM_P: Final = 0.05  # windows above it speak for "as usual"
SECONDS_PER_DAY: Final = 86_400
_SMALLEST_P: Final = 1e-300


def calibrate(p: Floats) -> Floats:
    """Return log10 of the e-value of each p-value.

    Args:
        p: (n,) float64 in [0, 1].

    Returns:
        (n,) float64; at p = 1 the calibrator's limit is an e-value of one half.
    """
    p = np.clip(p, _SMALLEST_P, 1 - 1e-6)
    log = np.log(p)
    return cast("Floats", np.log10((1 - p + p * log) / (p * log * log)))


class Dispersion:
    """How much each stream's windows scatter around its baseline while all is well.

    Args:
        decay: Factor per learned window by which older windows count less.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._deviance = np.zeros(0)
        self._freedom = np.zeros(0)

    def grow(self, streams: int) -> None:
        """Make room for streams."""
        self._deviance = grown(self._deviance, streams)
        self._freedom = grown(self._freedom, streams)

    def p_values(self, streams: Ints, deviance: Floats, freedom: Floats) -> Floats:
        """Return the probability of a deviance at least this large, by the scatter learned so far.

        Args:
            streams: (s,) int64.
            deviance: (s,) float64, chi-squared with `freedom` degrees of freedom in the ideal case.
            freedom: (s,) float64; 0 where there was nothing to test.

        Returns:
            (s,) float64.
        """
        scatter = np.maximum(1.0, self._deviance[streams] / np.maximum(self._freedom[streams], 1e-9))
        tested = freedom > 0
        p = np.ones(streams.size)
        p[tested] = fdtrc(
            freedom[tested],
            np.maximum(self._freedom[streams][tested], 1.0),
            deviance[tested] / freedom[tested] / scatter[tested],
        )
        return p

    def learn(self, streams: Ints, deviance: Floats, freedom: Floats) -> None:
        """Add windows in which all was well; shapes as in `p_values`, each stream once."""
        self._deviance[streams] = self._decay * self._deviance[streams] + deviance
        self._freedom[streams] = self._decay * self._freedom[streams] + freedom


class Evidence:
    """The e-CUSUM of every stream of one detector."""

    def __init__(self) -> None:
        self._log10_e = np.zeros(0)
        self._p = np.ones(0)
        self._calm = np.zeros(0, np.int64)

    def grow(self, streams: int) -> None:
        """Make room for streams."""
        self._log10_e = grown(self._log10_e, streams)
        self._p = grown(self._p, streams, 1.0)
        self._calm = grown(self._calm, streams)

    def add(self, streams: Ints, p: Floats, log10_threshold: float) -> None:
        """Add one window's p-values.

        No single window brings more than half of what an alarm takes (in powers of ten), so that one wild window never
        alarms alone; capping an e-value keeps it one. The sum is capped at twice the threshold: evidence that lies
        hours back shall not outlast its cause.

        Args:
            streams: (s,) int64, each once.
            p: (s,) float64.
            log10_threshold: Evidence at which a stream alarms.
        """
        step = np.minimum(calibrate(p), 0.5 * log10_threshold)
        total = np.maximum(self._log10_e[streams], 0.0) + step
        self._log10_e[streams] = np.minimum(total, 2 * log10_threshold)
        self._p[streams] = p
        self._calm[streams] = np.where(p > CALM_P, self._calm[streams] + 1, 0)

    def forget(self, streams: Ints) -> None:
        """Start anew, as after a finding was resolved."""
        self._log10_e[streams] = 0.0

    def suspicious(self, log10_threshold: float) -> Flags:
        """Return (s,) bool where evidence is strong enough not to learn from the window.

        Half of what an alarm takes: less would, by chance, stop learning so often that a stream which drifts in the
        meantime would come back as a false alarm.
        """
        return self._log10_e >= SUSPICIOUS * log10_threshold

    def alarmed(self, log10_threshold: float) -> Ints:
        """Return the streams whose evidence reaches the threshold."""
        return np.flatnonzero(self._log10_e >= log10_threshold)

    def log10_e(self, stream: int) -> float:
        """Return the evidence of a stream, log10."""
        return float(self._log10_e[stream])

    def p(self, stream: int) -> float:
        """Return the p-value of a stream's newest window."""
        return float(self._p[stream])

    def calm_windows(self, stream: int) -> int:
        """Return how many windows in a row looked as usual."""
        return int(self._calm[stream])


def log10_threshold(streams: int, window_s: float, false_alarms_per_day: float) -> float:
    """Return the evidence at which a stream alarms, so that all together keep to the budget.

    An e-CUSUM crosses A at most once in A windows on average; so `streams` of them, with a window every `window_s`,
    cross at most `streams * 86400 / window_s / A` times a day.

    Args:
        streams: Streams under test in the whole deployment.
        window_s: Seconds between tests of one stream.
        false_alarms_per_day: The budget.
    """
    tests_per_day = max(streams, 1) * SECONDS_PER_DAY / window_s
    return float(np.log10(max(tests_per_day / false_alarms_per_day, 100.0)))


def grown(array: NDArray[Kind], size: int, fill: float = 0.0) -> NDArray[Kind]:
    """Return the array with room for `size` entries, doubling so that growth costs little."""
    if size <= array.size:
        return array
    room = max(size, 2 * array.size)
    return np.concatenate((array, np.full(room - array.size, fill, array.dtype)))
