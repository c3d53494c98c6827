"""Quantiles of weighted rows, and which row of one time stands where a row of another does."""

import numpy as np

from spanward_processor.kernels.jit import Floats, Ints


def quantiles(values: Floats, shares: Floats, at: float) -> Floats:
    """Return (c,) float64 the smallest value of each line at or below which a share of the rows lies.

    Args:
        values: (c, n) float64.
        shares: (n,) float64 weights that sum to one.
        at: The share.
    """
    size = shares.size
    if size and (shares == shares[0]).all():
        place = min(max(int(np.ceil(at * size - 1e-9)) - 1, 0), size - 1)
        return np.partition(values, place, axis=1)[:, place]
    order = np.argsort(values, axis=1)
    running = np.cumsum(shares[order], axis=1)
    place = np.minimum((running < at - 1e-12).sum(axis=1), size - 1)
    chosen = np.take_along_axis(order, place[:, None], axis=1)
    return np.take_along_axis(values, chosen, axis=1)[:, 0]


def partners(now: Floats, now_shares: Floats, before: Floats, before_shares: Floats, ties: Floats) -> Ints:
    """Return (n,) int64 for each row the row of before at its rank: the lowest gets the lowest.

    Args:
        now: (n,) float64.
        now_shares: (n,) float64 weights that sum to one.
        before: (m,) float64.
        before_shares: (m,) float64 weights that sum to one.
        ties: (n,) float64 the order of rows with equal values.

    Source:
        Juhn, Murphy and Pierce, "Wage inequality and the rise in returns to skill", Journal of Political Economy 101 (1993).
    """
    order = np.lexsort((ties, now))
    ranks = np.empty(now.size)
    ranks[order] = np.cumsum(now_shares[order]) - now_shares[order] / 2
    sources = np.argsort(before, kind="stable")
    reached = np.cumsum(before_shares[sources])
    return sources[np.minimum(np.searchsorted(reached, ranks), before.size - 1)]
