"""What the most frequent categories of a slice say together: some of them moved, or one gave to another.

Given their totals the categories are independent, so their e-values multiply. A class whose rows are told as another's is a
trade: one falls by a share, the other rises by as many rows. Betting on that needs one size for both, where bets on each
alone pay for two.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.attribution.evalue import log_mean, log_ratios
from spanward_processor.kernels.jit import Floats, Ints

_MOST: Final = 16  # categories of a slice; every pair of them is a possible trade
_MOVED: Final = 0.2  # how likely each is thought to be among those that moved
_GIVEN: Final = np.array([0.03, 0.06, 0.12, 0.25, 0.4, 0.6, 0.8, 0.97])  # share of its rows that a category gives away


@dataclass(frozen=True, slots=True)
class Frequent:
    """The most frequent categories of each slice, as a table that is padded with zeros.

    Args:
        now: (s, 16) float64 rows now.
        usual: (s, 16) float64 rows in the baseline.
        exposure: (s,) float64 rows of the slice now over its rows in the baseline; 0 for a slice without categories.
        log_e: (s, 16) float64 natural logarithm of each category's e-value.
    """

    now: Floats
    usual: Floats
    exposure: Floats
    log_e: Floats

    @classmethod
    def of(cls, slices: Ints, counts: tuple[Floats, Floats], exposure: Floats, log_e: Floats, size: int) -> "Frequent":
        """Return those of a list of cells; which ones are frequent is decided by the totals.

        Args:
            slices: (n,) int64 slice of each cell.
            counts: (n,) float64 rows now and in the baseline.
            exposure: (n,) float64 that of the cell's slice.
            log_e: (n,) float64.
            size: Number of slices.
        """
        now, usual = counts
        order = np.lexsort((-(now + usual), slices))
        rank = np.arange(order.size) - np.searchsorted(slices[order], np.arange(size))[slices[order]]
        chosen = order[rank < _MOST]
        table = np.zeros((4, size, _MOST))
        table[:, slices[chosen], rank[rank < _MOST]] = now[chosen], usual[chosen], exposure[chosen], log_e[chosen]
        return cls(table[0], table[1], table[2].max(axis=1), table[3])

    def several_moved(self) -> Floats:
        """Return (s,) float64 log of the evidence that some moved, each by a factor of its own.

        Each is watered down by "did not move", which is cheap where that is so.
        """
        watered = np.logaddexp(np.log(1 - _MOVED), np.log(_MOVED) + self.log_e)
        return np.asarray(watered.sum(axis=1))

    def one_gave(self, dispersion: float) -> Floats:
        """Return (s,) float64 log of the evidence that one gave a share of its rows to another; 0 where there are no two.

        Args:
            dispersion: How much more than Poisson counts scatter.
        """
        totals = self.now + self.usual
        seen = totals > 0
        slices, giver, taker = np.nonzero(seen[:, :, None] & seen[:, None, :] & ~np.eye(_MOST, dtype=bool))
        gained = 1 + _GIVEN * (totals[slices, giver] / totals[slices, taker])[:, None]
        everywhere, places = np.nonzero(seen)
        lost = np.zeros((*seen.shape, _GIVEN.size))
        lost[seen] = self._ratios(everywhere, places, np.log1p(-_GIVEN)[None], dispersion)
        log_e = lost[slices, giver] + self._ratios(slices, taker, np.log(gained), dispersion)
        return log_mean(log_e.reshape(-1), np.repeat(slices, _GIVEN.size), self.exposure.size)

    def _ratios(self, slices: Ints, places: Ints, log_factors: Floats, dispersion: float) -> Floats:
        now, usual = self.now[slices, places], self.usual[slices, places]
        return log_ratios(now, usual, self.exposure[slices], log_factors, dispersion)
