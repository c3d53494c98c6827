"""From deviances to p-values, from p-values to evidence that may be looked at after every window.

Four steps, each from the literature:

1. A window's deviance from the baseline is measured against the deviances of earlier windows of the same stream, not
   against an ideal: the quasi-likelihood F-test. Bursts and correlated requests raise the dispersion, and with it the
   bar. Where it is asked for, the bar follows how unevenly they do so too: degrees of freedom are those that fit the
   learned mean and variance of the deviance. Source: McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989,
   section 4.5; Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2, 1946.
2. A p-value becomes an e-value by the mixture calibrator. Source: Vovk and Wang, "E-values: Calibration, combination and
   applications", Annals of Statistics 49 (2021), equation (2).
3. E-values multiply over windows, starting anew whenever the product falls below one: an e-CUSUM. Crossing A then
   happens at most once in A windows on average while nothing changes. Source: Shin, Ramdas and Rinaldo, "E-detectors",
   2022, definition 2.6 and theorem 2.4. A detector that has a better e-detector of its own brings it, and it is taken as is.
4. What several detectors hold against one stream is averaged: the mean of e-detectors is one, whatever they have in common.
   Source: as before (mixtures of e-detectors); for e-values Vovk and Wang, as before.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Flags, Floats, Ints, Singles
from spanward_processor.kernels.tails import f_tails

Kind = TypeVar("Kind", bound="np.generic[Any]")

SUSPICIOUS: Final = 0.5  # share of the threshold (in powers of ten) from which a window is no longer learned
_MOST_COUNTED: Final = 255
_LONGEST_SUSPICION: Final = 60  # windows in a row for which mere suspicion keeps a stream from being learned
CALM_P: Final = 0.05  # windows above it speak for "as usual"
SECONDS_PER_DAY: Final = 86_400
_SMALLEST_P: Final = 1e-300
_PRIOR_FREEDOM: Final = 30.0  # degrees of freedom for which deviances are believed to be as even as chance makes them
_MOST_UNEVEN: Final = 50.0  # times what is believed, that one window may say of how uneven they are
_LEAST_LOG10_E: Final = -300.0  # of a stream that was tested


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

    Streams are meant by their slots (`slots.py`). The state is two (s,) float32 arrays, decayed sums, and a third one of uneven
    streams.

    Args:
        decay: Factor per learned window by which older windows count less.
        uneven: Whether it is learned too how unevenly they scatter: some far more than others. A slow ramp teaches that as well,
            and hides behind it, so this is for streams in which others see ramps.
    """

    def __init__(self, decay: float, *, uneven: bool = False) -> None:
        self._decay = decay
        self._is_uneven = uneven
        self._deviance: Singles = np.zeros(0, np.float32)
        self._freedom: Singles = np.zeros(0, np.float32)
        self._uneven: Singles = np.zeros(0, np.float32)  # half the squared distance of scaled deviances from their mean

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies({"deviance": self._deviance, "freedom": self._freedom, "uneven": self._uneven})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._deviance, self._freedom, self._uneven = arrays["deviance"], arrays["freedom"], arrays["uneven"]

    def grow(self, slots: int) -> None:
        """Make room for slots."""
        self._deviance = grown(self._deviance, slots)
        self._freedom = grown(self._freedom, slots)
        self._uneven = grown(self._uneven, slots if self._is_uneven else 0)

    def clear(self, slots: Ints) -> None:
        """Forget slots, so that others may have them."""
        for array in (self._deviance, self._freedom, self._uneven):
            cleared(array, slots)

    def _unevenness(self, slots: Ints) -> Floats:
        """Return (s,) float64 variance of the deviance in units of that of an ideal one, at least 1."""
        if not self._is_uneven:
            return np.ones(slots.size)
        learned = self._uneven[slots].astype(np.float64) + _PRIOR_FREEDOM
        return np.maximum(learned / (self._freedom[slots] + _PRIOR_FREEDOM), 1.0)

    def p_values(self, slots: Ints, deviance: Floats, freedom: Floats) -> Floats:
        """Return the probability of a deviance at least this large, by the scatter learned so far.

        Args:
            slots: (s,) int64.
            deviance: (s,) float64, chi-squared with `freedom` degrees of freedom in the ideal case.
            freedom: (s,) float64; 0 where there was nothing to test.

        Returns:
            (s,) float64.
        """
        tested = freedom > 0
        slots, deviance, freedom = slots[tested], deviance[tested], freedom[tested]
        learned, uneven = self._freedom[slots].astype(np.float64), self._unevenness(slots)
        scatter = np.maximum(1.0, self._deviance[slots] / np.maximum(learned, 1e-9))
        p, of_tested = np.ones(tested.size), np.empty(slots.size)
        f_tails(freedom / uneven, np.maximum(learned / uneven, 1.0), deviance / freedom / scatter, of_tested)
        p[tested] = of_tested
        return p

    def learn(self, slots: Ints, deviance: Floats, freedom: Floats) -> None:
        """Add windows in which all was well; shapes as in `p_values`, each slot once."""
        most = _MOST_UNEVEN * self._unevenness(slots) * freedom
        self._deviance[slots] = self._decay * self._deviance[slots] + deviance
        self._freedom[slots] = self._decay * self._freedom[slots] + freedom
        if self._is_uneven:
            scatter = np.maximum(1.0, self._deviance[slots] / np.maximum(self._freedom[slots], 1e-9))
            said = np.minimum(np.square(deviance / scatter - freedom) / 2, most)
            self._uneven[slots] = self._decay * self._uneven[slots] + said


class Evidence:
    """The e-detector of every stream of one detector.

    Streams are meant by their slots. The state is (s,) float64 evidence, minus infinity for a stream that this detector has
    never tested, and (s,) uint8 calm windows and suspicious ones in a row; p-values are the newest window's alone.
    """

    def __init__(self) -> None:
        self._log10_e = np.zeros(0)
        self._calm = np.zeros(0, np.uint8)
        self._suspicious = np.zeros(0, np.uint8)
        self._slots: Ints = np.empty(0, np.int64)  # of the newest window, ascending
        self._p = np.empty(0)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies({"log10_e": self._log10_e, "calm": self._calm, "suspicious": self._suspicious})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._log10_e, self._calm, self._suspicious = arrays["log10_e"], arrays["calm"], arrays["suspicious"]

    def grow(self, slots: int) -> None:
        """Make room for slots."""
        self._log10_e = grown(self._log10_e, slots, -np.inf)
        self._calm = grown(self._calm, slots, _MOST_COUNTED)
        self._suspicious = grown(self._suspicious, slots)

    def clear(self, slots: Ints) -> None:
        """Forget slots, so that others may have them."""
        cleared(self._log10_e, slots, -np.inf)
        cleared(self._calm, slots, _MOST_COUNTED)
        cleared(self._suspicious, slots)

    def add(self, slots: Ints, p: Floats, log10_threshold: float) -> None:
        """Add one window's p-values.

        No single window brings more than half of what an alarm takes (in powers of ten), so that one wild window never
        alarms alone; capping an e-value keeps it one. The sum is capped at twice the threshold: evidence that lies
        hours back shall not outlast its cause.

        Args:
            slots: (s,) int64, each once.
            p: (s,) float64.
            log10_threshold: Evidence at which a stream alarms.
        """
        step = np.minimum(calibrate(p), 0.5 * log10_threshold)
        total = np.maximum(self._log10_e[slots], 0.0) + step
        self._log10_e[slots] = np.minimum(total, 2 * log10_threshold)
        self._note(slots, p, p > CALM_P, log10_threshold)

    def take(self, slots: Ints, p: Floats, log10_e: Floats, log10_threshold: float) -> None:
        """Take what the detector itself has accumulated; a window is calm when less than half of an alarm is left of it.

        Args:
            slots: (s,) int64, each once.
            p: (s,) float64.
            log10_e: (s,) float64.
            log10_threshold: Evidence at which a stream alarms.
        """
        self._log10_e[slots] = np.clip(log10_e, _LEAST_LOG10_E, 2 * log10_threshold)
        self._note(slots, p, log10_e < SUSPICIOUS * log10_threshold, log10_threshold)

    def _note(self, slots: Ints, p: Floats, calm: Flags, log10_threshold: float) -> None:
        self._calm[slots] = _counted(self._calm[slots], calm)
        self._suspicious[slots] = _counted(
            self._suspicious[slots], self._log10_e[slots] >= SUSPICIOUS * log10_threshold
        )
        order = np.argsort(slots)
        self._slots, self._p = slots[order], p[order]

    def forget(self, slots: Ints) -> None:
        """Start anew, as after a finding was resolved."""
        self._log10_e[slots] = np.minimum(self._log10_e[slots], 0.0)

    def acquit(self, slots: Ints) -> None:
        """Start anew as one that has nothing against streams, until it tests them again."""
        self.forget(slots)
        self._calm[slots], self._suspicious[slots] = _MOST_COUNTED, 0

    def suspicious(self, log10_threshold: float) -> Flags:
        """Return (s,) bool where evidence is strong enough not to learn from the window.

        Half of what an alarm takes: less would, by chance, stop learning so often that a stream which drifts in the
        meantime would come back as a false alarm. For the same reason not for long: among many streams some are suspicious by
        chance at any time. A change that lasts becomes an alarm in about as many windows as it took to become suspicious; where
        it does not, the stream is learned again.
        """
        return (self._log10_e >= SUSPICIOUS * log10_threshold) & (self._suspicious <= _LONGEST_SUSPICION)

    def log10_e(self, slots: Ints) -> Floats:
        """Return (s,) float64 the evidence of streams, log10; minus infinity where this detector has never tested one."""
        return self._log10_e[slots]

    def tested(self, slots: Ints) -> Flags:
        """Return (s,) bool which streams were tested in the newest window."""
        return np.isin(slots, self._slots)

    def p(self, slot: int) -> float:
        """Return a stream's p-value in the newest window, 1 where it was not tested."""
        at = int(np.searchsorted(self._slots, slot))
        return float(self._p[at]) if at < self._slots.size and self._slots[at] == slot else 1.0

    def calm_windows(self, slots: Ints) -> NDArray[np.uint8]:
        """Return (s,) uint8 how many windows in a row looked as usual, 255 for more and for a stream never tested."""
        return self._calm[slots]


def _counted(so_far: NDArray[np.uint8], again: Flags) -> NDArray[np.uint8]:
    """Return how many times in a row, one more or none."""
    return np.where(again, np.minimum(so_far, _MOST_COUNTED - 1) + 1, 0).astype(np.uint8)


def together(evidence: Sequence[Evidence], slots: Ints) -> Floats:
    """Return (s,) float64 log10 of the mean of the e-detectors that streams have.

    A detector that has never tested a stream has none: counting it as nothing would only weaken the others.

    Args:
        evidence: Of each detector.
        slots: (s,) int64 streams under test, each by at least one of them.
    """
    each = np.array([one.log10_e(slots) for one in evidence])
    most: Floats = each.max(axis=0)
    total: Floats = np.power(10.0, each - most).sum(axis=0)
    mean: Floats = most + np.log10(total / np.isfinite(each).sum(axis=0))
    return mean


def log10_threshold(streams: int, window_s: float, false_alarms_per_day: float) -> float:
    """Return the evidence at which a stream alarms, so that all together keep to the budget.

    An e-detector crosses A at most once in A windows on average; so `streams` of them, with a window every `window_s`,
    cross at most `streams * 86400 / window_s / A` times a day, whatever they have in common.

    Args:
        streams: Streams under test in the whole deployment.
        window_s: Seconds between tests of one stream.
        false_alarms_per_day: The budget.
    """
    tests_per_day = max(streams, 1) * SECONDS_PER_DAY / window_s
    return float(np.log10(max(tests_per_day / false_alarms_per_day, 100.0)))


def grown(array: NDArray[Kind], size: int, fill: float = 0.0) -> NDArray[Kind]:
    """Return the array with room for `size` entries and a quarter more, so that growth costs little in time and memory."""
    if size <= array.size:
        return array
    room = size + size // 4
    return np.concatenate((array, np.full(room - array.size, fill, array.dtype)))


def cleared(array: NDArray[Any], slots: Ints, fill: float = 0.0) -> None:
    """Make entries, (s,) int64, what they are in an array that has just `grown`; those beyond its end are so already."""
    array[slots[slots < len(array)]] = fill
