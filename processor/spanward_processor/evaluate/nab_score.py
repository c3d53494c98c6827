"""The score of the Numenta Anomaly Benchmark, by its published rules.

A detection inside a labelled window counts the more the earlier it is, and only the first does; one outside counts against, the
more the further behind a window it lies; a window without a detection counts against. The sum is scaled so that a detector that
says nothing has 0 and one that is right at once everywhere has 100.

Source: Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms - the Numenta Anomaly Benchmark", ICMLA 2015, sections
III.B and III.C; version 1.1 of the benchmark for the position of a false detection, the probation and the profiles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Floats, Ints

_PROBATION: Final = 0.15
_LONGEST_PROBATION: Final = 750
_FAR: Final = 3.0  # widths behind a window from which a false detection counts in full
_STEEPNESS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What mistakes cost.

    Args:
        name: As published.
        false_alarm: Weight of a detection outside.
        missed: Weight of a window without a detection.
    """

    name: str
    false_alarm: float
    missed: float


STANDARD: Final = Profile("standard", 0.11, 1.0)
LOW_FALSE_ALARMS: Final = Profile("low FP", 0.22, 1.0)
LOW_MISSED: Final = Profile("low FN", 0.11, 2.0)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One series.

    Args:
        name: Folder and file.
        values: (n,) float64.
        windows: (w, 2) int64 first and last place of each labelled window.
        times_s: (n,) int64 when each value was measured, Unix seconds.
    """

    name: str
    values: Floats
    windows: Ints
    times_s: Ints

    @property
    def probation(self) -> int:
        """Places at the beginning that are not scored."""
        return probation(self.values.size)


def probation(size: int) -> int:
    """Return how many places at the beginning of a series are not scored."""
    return min(math.floor(_PROBATION * size), _LONGEST_PROBATION)


def _worth(position: float) -> float:
    """Return what a detection is worth at a position: -1 to 0 inside a window, above 0 behind it, in widths."""
    return -1.0 if position > _FAR else 2.0 / (1.0 + math.exp(_STEEPNESS * position)) - 1.0


def worths(series: Labelled) -> tuple[Floats, Ints]:
    """Return (n,) float64 what a detection at each place is worth, unweighted, and (n,) int64 its window, -1 outside."""
    worth, owner = np.full(series.values.size, -1.0), np.full(series.values.size, -1, np.int64)
    for number, (first, last) in enumerate(series.windows.tolist()):
        width = last - first + 1
        for place in range(first, series.values.size):
            if place <= last:
                owner[place] = number
                worth[place] = _worth(-(last - place + 1) / width) / _worth(-1.0)
            elif owner[place] < 0:
                worth[place] = _worth((place - last) / max(width - 1, 1))
    return worth, owner


class Corpus:
    """Several series with the scores that one detector gave them.

    Args:
        series: The series.
        scores: For each, (n,) float64 how anomalous each place is; a place is a detection from a threshold on.
    """

    def __init__(self, series: Sequence[Labelled], scores: Sequence[Floats]) -> None:
        worth: list[Floats] = []
        owner: list[Ints] = []
        self._windows = 0
        for one in series:
            of_one = worths(one)
            worth.append(of_one[0][one.probation :])
            owner.append(np.where(of_one[1] >= 0, of_one[1] + self._windows, -1)[one.probation :])
            self._windows += len(one.windows)
        scored = np.concatenate([given[one.probation :] for one, given in zip(series, scores, strict=True)])
        order = np.argsort(-scored, kind="stable")
        self._scores: Floats = scored[order]
        self._worth: Floats = np.concatenate(worth)[order]
        self._owner: Ints = np.concatenate(owner)[order]

    def score(self, threshold: float, profile: Profile) -> float:
        """Return the scaled score of all series together."""
        running = self._running(profile)
        detections = int(np.searchsorted(-self._scores, -threshold, "right"))
        return float(running[detections])

    def best_threshold(self, profile: Profile) -> float:
        """Return the threshold with the best score: the benchmark chooses one for the whole corpus, after the fact."""
        last_of_each = np.flatnonzero(np.diff(self._scores, append=-np.inf))
        running = self._running(profile)[1:][last_of_each]
        best = int(np.argmax(running))
        return float(self._scores[last_of_each[best]])

    def _running(self, profile: Profile) -> Floats:
        """Return (n + 1,) float64 the scaled score when so many places, the most anomalous ones, are detections."""
        gains = np.where(self._owner < 0, profile.false_alarm * self._worth, 0.0)
        best: dict[int, float] = {}
        for place in np.flatnonzero(self._owner >= 0).tolist():
            window, worth = int(self._owner[place]), float(self._worth[place])
            known = best.get(window)
            if known is None or worth > known:
                gains[place] = worth + profile.missed if known is None else worth - known
                best[window] = worth
        raw = np.concatenate(([0.0], np.cumsum(gains)))
        return np.asarray(100.0 * raw / ((1.0 + profile.missed) * max(self._windows, 1)))
