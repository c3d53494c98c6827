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
_PARTS_OF_ALL: Final = np.array([0.003, 0.01, 0.03, 0.1, 0.3])


def log_e_values(now: Floats, usual: Floats, exposure: Floats, dispersion: float = 1.0) -> Floats:
    """Return the natural logarithm of the e-value of each pair of counts.

    Args:
        now: (n,) float64 events now.
        usual: (n,) float64 events in the baseline.
        exposure: (n,) float64 rows now over rows in the baseline, or any other ratio of what events are drawn from.
        dispersion: How much more than Poisson the counts scatter, at least one; evidence shrinks by it.
    """
    ratio = log_ratios(now, usual, exposure, _LOG_FACTORS[None], dispersion)
    highest = ratio.max(axis=1)
    return np.asarray(highest + np.log((np.exp(ratio - highest[:, None]) * _WEIGHTS).sum(axis=1)))


def log_e_of_gains(now: Floats, usual: Floats, exposure: Floats, share: Floats, dispersion: float = 1.0) -> Floats:
    """Return the natural logarithm of the e-value of each category against "a part of all rows came to it".

    Few parts are likely, where any factor is: a hundredth of all rows makes a rare category a thousand times what it was.

    Args:
        now: (n,) float64; as `usual`, `exposure` and `dispersion` of `log_e_values`.
        usual: (n,) float64.
        exposure: (n,) float64.
        share: (n,) float64 the category's share of all rows of both times.
        dispersion: At least one.
    """
    factors = np.log1p(_PARTS_OF_ALL * (1 / share[:, None] - 1))
    ratio = log_ratios(now, usual, exposure, factors, dispersion)
    return np.asarray(np.logaddexp.reduce(ratio, axis=1) - np.log(_PARTS_OF_ALL.size))


def log_ratios(now: Floats, usual: Floats, exposure: Floats, log_factors: Floats, dispersion: float) -> Floats:
    """Return (n, f) float64 log-likelihood ratios of changes by given factors against none.

    Args:
        now: (n,) float64; as `usual`, `exposure` and `dispersion` of `log_e_values`.
        usual: (n,) float64.
        exposure: (n,) float64.
        log_factors: (n, f) or (1, f) float64; they may follow from the totals of both times, and from nothing else.
        dispersion: At least one.
    """
    chance = exposure / (1 + exposure)
    odds = exposure[:, None] * np.exp(log_factors)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = now[:, None] * (np.log(odds / (1 + odds)) - np.log(chance)[:, None])
        ratio -= usual[:, None] * (np.log1p(odds) + np.log1p(-chance)[:, None])
    return np.where(np.isfinite(ratio), ratio, 0.0) / dispersion  # no rows on one side: nothing to compare


def log_mean(log_e: Floats, groups: Ints, size: int) -> Floats:
    """Return (size,) float64 log of the mean e-value of each group; 0 for an empty one.

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
        means = np.log(total / members) + highest
    return np.where(members > 0, means, 0.0)
