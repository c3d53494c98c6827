"""How much better a set of leaves is explained by a shift of its own than by chance.

A set that moved has a common effect, by which the size of each leaf is multiplied, and its leaves may scatter around it
more than unmoved ones do: a cause seldom hits all of them alike. Both are estimated, so a cause is not torn into its
leaves only because they differ. All of it follows from sums over leaves.

Source: Kulldorff, "A spatial scan statistic", Communications in Statistics 26 (1997), section 3 (likelihood ratio of a
set); McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, section 9.2 (quasi-likelihood).
"""

from typing import Final, cast

import numpy as np

from spanward_processor.attribution.shift import Kind, LeafShift, added
from spanward_processor.kernels.jit import Flags, Floats, Ints

_MEDIAN_CHI2: Final = 0.4549364  # of one degree of freedom
_FEWEST_LEAVES: Final = 8
_HALVINGS: Final = 40
_TINY: Final = 1e-12


class Gain:
    """The log-likelihood ratio of "moved, by an effect and with a scatter of its own" against "did not move", nats.

    Args:
        leaves: The shift of each leaf.
        scatter: Variance of the effect between unmoved leaves, as `unmoved_scatter` found it.
    """

    def __init__(self, leaves: LeafShift, scatter: float) -> None:
        self._counted = leaves.kind is Kind.COUNTS
        variance = leaves.variance + scatter * leaves.size**2
        precision = np.divide(1.0, variance, out=np.zeros(len(leaves)), where=leaves.variance > 0)
        trust = leaves.size * precision
        base = np.stack((leaves.shift * trust, leaves.size * trust, leaves.hidden[0] * trust, leaves.hidden[1] * trust))
        self.alone = self._common(base)
        """(l,) float64 what each leaf would win with an effect of its own."""
        self.weight: Floats = base[1]
        """(l,) float64 how precisely each leaf tells its effect."""
        solid = _solid(leaves).astype(np.float64)
        self._sums = np.concatenate((base, base * solid, (self.alone * solid, solid)))

    def of_sets(self, places: Ints, chosen: Flags, size: int) -> Floats:
        """Return (size,) float64 what each set of leaves wins.

        Args:
            places: (l,) int64 set of each leaf.
            chosen: (l,) bool the leaves that count.
            size: Number of sets.
        """
        places = places[chosen]
        sums = np.stack([added(places, row, size) for row in self._sums[:, chosen]])
        alone, solid = sums[8], sums[9]
        around = np.maximum(2 * (alone - self._common(sums[4:8])), 0.0)
        own = np.maximum(around / np.maximum(solid, 1.0), 1.0)
        bonus = 0.5 * (around * (1 - 1 / own) - solid * np.log(own))
        return np.asarray(self._common(sums[:4]) + bonus)

    def _common(self, sums: Floats) -> Floats:
        """Return what one common effect wins: by the Poisson likelihood for counts, else by the bell curve's.

        What may be hidden in "other" speaks for "did not move", as far as it goes.
        """
        effect, weight, smaller, larger = sums
        moved = np.maximum(effect - smaller, 0.0), np.minimum(effect + larger, 0.0)
        rest = cast("Floats", np.where(effect > 0, *moved))
        weight = np.maximum(weight + np.where(effect > 0, smaller, 0.0), _TINY)
        if not self._counted:
            return np.asarray(rest * rest / (2 * weight))
        factor = np.maximum(1 + rest / weight, _TINY)
        return np.asarray(np.maximum(weight * (factor * np.log(factor) - factor + 1), 0.0))


def _solid(leaves: LeafShift) -> Flags:
    """Return (l,) bool where a leaf's own scatter says something; that of rare events does not."""
    least = 1.0 if leaves.kind is Kind.COUNTS else 0.0
    return (leaves.variance > 0) & (leaves.size > 0) & (leaves.size >= least)


def unmoved_scatter(leaves: LeafShift, normal: Flags) -> float:
    """Return the variance of the effect between unmoved leaves, beyond what chance explains.

    It is what makes the weighted median of their standardised squares that of a bell curve: leaves that carry a cause do
    not move it while they are a minority. A leaf counts as far as it is large enough to tell.

    Args:
        leaves: All leaves.
        normal: (l,) bool those not yet explained by a cause.

    Returns:
        Variance of the effect; negative where too few leaves are left to tell.

    Source: Paule and Mandel, "Consensus values and weighting factors", J. Res. NBS 87 (1982), with medians for means.
    """
    tested = normal & _solid(leaves)
    if np.count_nonzero(tested) < _FEWEST_LEAVES:
        return -1.0
    squares, chance = leaves.shift[tested] ** 2, leaves.variance[tested]
    sizes = leaves.size[tested] ** 2
    low, high = 0.0, float((squares / sizes).max()) + 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        variance = chance + middle * sizes
        if _weighted_median(squares / variance, sizes / variance) > _MEDIAN_CHI2:
            low = middle
        else:
            high = middle
    return high if low else 0.0


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    running = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(running, running[-1] / 2)])
