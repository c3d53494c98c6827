"""E-values for counts of two times: how strongly they speak against "the rate is what it was".

Given how many events both times had together, each belongs to now with a known probability while nothing has changed. A
change by a factor alters that probability; averaging the likelihood ratio over factors, weighted, gives an e-value, and the average
of e-values over categories is one again. It may be looked at after every window.

Source: Vovk and Wang, "E-values: Calibration, combination and applications", Annals of Statistics 49 (2021), section 4
(averages); Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests", 2024 (two samples).
"""

from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Floats, Ints

_RISES: Final = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.4, 3.2, 4.8, 6.4, 8.0])
_FALLS: Final = -_RISES[:7]
_LOG_FACTORS: Final = np.concatenate((_FALLS, _RISES))
_FALL: Final = (
    0.2  # how likely a change is thought to be a fall, as in `usual/alternatives.py`: what one category gains many lose
)
_WEIGHTS: Final = np.repeat((_FALL / _FALLS.size, (1 - _FALL) / _RISES.size), (_FALLS.size, _RISES.size))
_LN10: Final = float(np.log(10))


def log_e_values(now: Floats, usual: Floats, exposure: Floats, dispersion: float = 1.0) -> Floats:
    """Return the natural logarithm of the e-value of each pair of counts.

    Args:
        now: (n,) float64 events now.
        usual: (n,) float64 events in the baseline.
        exposure: (n,) float64 rows now over rows in the baseline, or any other ratio of what events are drawn from.
        dispersion: How much more than Poisson the counts scatter, at least one; evidence shrinks by it.
    """
    chance = exposure / (1 + exposure)
    odds = exposure[:, None] * np.exp(_LOG_FACTORS)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = now[:, None] * (np.log(odds / (1 + odds)) - np.log(chance)[:, None])
        ratio -= usual[:, None] * (np.log1p(odds) + np.log1p(-chance)[:, None])
    ratio = np.where(np.isfinite(ratio), ratio, 0.0) / dispersion  # no rows on one side: nothing to compare
    highest = ratio.max(axis=1)
    return np.asarray(highest + np.log((np.exp(ratio - highest[:, None]) * _WEIGHTS).sum(axis=1)))


def log10_mean(log_e: Floats, groups: Ints, size: int) -> Floats:
    """Return (size,) float64 log10 of the mean e-value of each group; 0 for an empty one.

    Args:
        log_e: (n,) float64 natural logarithms.
        groups: (n,) int64.
        size: Number of groups.
    """
    members = np.bincount(groups, minlength=size)
    highest = np.full(size, -np.inf)
    np.maximum.at(highest, groups, log_e)
    total = np.bincount(groups, np.exp(log_e - highest[groups]), size)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (np.log(total / members) + highest) / _LN10
    return np.where(members > 0, means, 0.0)
