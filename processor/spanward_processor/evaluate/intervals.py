"""Means over seeds and shares of cases, with 95 % intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from scipy.special import stdtrit

_Z: Final = 1.959964  # of the bell curve, 95 % two-sided


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval.

    Args:
        mean: The figure.
        low: Lower end.
        high: Upper end; both equal the figure where there is no interval.
        of: Seeds, or cases, behind it; 0 where there are none and the figure says nothing.
    """

    mean: float
    low: float
    high: float
    of: int

    def shown(self, show: Callable[[float], str]) -> str:
        """Return it in words.

        Args:
            show: A value in words.
        """
        if not self.of:
            return "none"
        if self.of == 1:
            return show(self.mean)
        return f"{show(self.mean)} ({show(self.low)} to {show(self.high)})"

    def __str__(self) -> str:
        return self.shown("{:.3f}".format)


def over_seeds(values: Sequence[float]) -> Estimate:
    """Return the mean of one figure per seed, with its interval by Student's t.

    Args:
        values: One for each seed.
    """
    count = len(values)
    mean = sum(values) / count if count else math.nan
    if count < 2:
        return Estimate(mean, mean, mean, count)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    half = float(stdtrit(count - 1, 0.975)) * spread
    return Estimate(mean, mean - half, mean + half, count)


def share(hits: int, tries: int) -> Estimate:
    """Return the share of cases, with its interval by Wilson's score.

    Args:
        hits: Cases of interest.
        tries: All cases.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if not tries:
        return Estimate(math.nan, math.nan, math.nan, 0)
    middle = (hits + _Z * _Z / 2) / (tries + _Z * _Z)
    half = _Z * math.sqrt(hits * (tries - hits) / tries + _Z * _Z / 4) / (tries + _Z * _Z)
    return Estimate(hits / tries, max(middle - half, 0.0), min(middle + half, 1.0), tries)
