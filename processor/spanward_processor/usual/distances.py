"""How far two distributions are apart, in the measures that people know."""

from collections.abc import Callable
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Floats, Ints

_GROUPS: Final = 10
_PRIOR: Final = 1e-4  # share added to every group, so that an empty one is no infinite distance


def population_stability(now: Floats, usual: Floats, *, ordered: bool) -> float:
    """Return the population stability index.

    Args:
        now: (b,) float64 share of each bin.
        usual: (b,) float64 usual share of each bin.
        ordered: Whether the bins have an order; then they are grouped by the deciles of what is usual.

    Source:
        Siddiqi, "Credit Risk Scorecards", 2006, chapter 8; 0.1 is customarily called a small shift, 0.25 a large one.
    """
    if ordered:
        middles = np.cumsum(usual) - usual / 2
        group = np.minimum((middles * _GROUPS).astype(np.int64), _GROUPS - 1)
        now, usual = (np.bincount(group, each, _GROUPS).astype(np.float64) for each in (now, usual))
    now, usual = now + _PRIOR, usual + _PRIOR
    return float(np.sum((now - usual) * np.log(now / usual)))


def jensen_shannon(now: Floats, usual: Floats) -> float:
    """Return the Jensen-Shannon divergence in bits, 0 to 1; arguments as above.

    Source:
        Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 37, 1991.
    """
    middle = (now + usual) / 2

    def entropy(shares: Floats) -> float:
        held = shares[shares > 0]
        return -float(np.sum(held * np.log2(held)))

    return max(entropy(middle) - (entropy(now) + entropy(usual)) / 2, 0.0)


def wasserstein(bins: Ints, now: Floats, usual: Floats, value: Callable[[int], float]) -> float:
    """Return by how much values would have to be moved, on average, in their own unit (Wasserstein-1).

    Args:
        bins: (b,) int64 ascending.
        now: (b,) float64 share of each.
        usual: (b,) float64 usual share of each.
        value: Bin to value.

    Source:
        Vallender, "Calculation of the Wasserstein distance between probability distributions on the line", 1974.
    """
    values = np.array([value(cell_bin) for cell_bin in bins.tolist()])
    return float(np.sum(np.abs(np.cumsum(now - usual))[:-1] * np.diff(values)))


def gaining_run(now: Floats, usual: Floats) -> tuple[int, int]:
    """Return the first and last bin of the run that gains the largest share (Kadane's scan)."""
    best, begin, answer, total = 0.0, 0, (0, 0), 0.0
    for place, gain in enumerate((now - usual).tolist()):
        if total <= 0:
            total, begin = 0.0, place
        total += gain
        if total > best:
            best, answer = total, (begin, place)
    return answer
