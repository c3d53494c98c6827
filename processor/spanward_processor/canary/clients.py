"""Who sends to which version: whether clients stay with one, and how far apart clients are by themselves.

Where each client stays with one version, the versions differ by their clients too. That part does not become smaller with more
requests; only more clients make it smaller. Source of the estimate: DerSimonian and Laird, "Meta-analysis in clinical trials",
1986, the moment estimate of the variance between groups.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.canary.columns import COLUMNS, GROUPS, Stratum
from spanward_processor.kept import Arrays
from spanward_processor.kernels.jit import Floats, Ints

_MOST: Final = 4096  # clients that are told apart
_SURE: Final = 1.5  # clients that chance would have sent to both, before it is said that they stay with one
_FREEDOM: Final = np.array([4.0, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60])
_STUDENT: Final = np.array([7.173, 5.893, 5.208, 4.785, 4.501, 4.144, 3.930, 3.733, 3.552, 3.385, 3.232])
"""Student's t that is passed once in a thousand times, by degrees of freedom."""


class Clients:
    """The clients of both arms, and by group of clients what they show."""

    def __init__(self) -> None:
        self._codes: Ints = np.zeros(0, np.int64)
        self._counts = np.zeros((0, 2))
        self._rows = np.zeros((COLUMNS, 2, GROUPS))
        self._beyond = np.zeros((COLUMNS, 2, GROUPS))  # what they show beyond the mean of their moment

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return {
            "codes": self._codes.copy(),
            "counts": self._counts.copy(),
            "rows": self._rows.copy(),
            "beyond": self._beyond.copy(),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._codes, self._counts = arrays["codes"], arrays["counts"]
        self._rows, self._beyond = arrays["rows"], arrays["beyond"]

    def add(self, codes: Ints, counts: Floats) -> None:
        """Add the clients of a window; see `clients_of`."""
        if not codes.size:
            return
        if self._codes.size >= _MOST:
            known = np.isin(codes, self._codes)
            codes, counts = codes[known], counts[known]
        every, places = np.unique(np.concatenate((self._codes, codes)), return_inverse=True)
        summed = np.zeros((every.size, 2))
        np.add.at(summed, places, np.concatenate((self._counts, counts)))
        self._codes, self._counts = every, summed

    def show(self, stratum: Stratum) -> None:
        """Add what the groups show in a stratum; where no client is named, nobody stays, and nobody asks."""
        if not self._codes.size:
            return
        every = stratum.rows.sum((1, 2))
        mean = stratum.sums.sum((1, 2)) / np.maximum(every, 1)
        self._rows += stratum.rows
        self._beyond += stratum.sums - stratum.rows * mean[:, None, None]

    def in_arms(self) -> tuple[int, int]:
        """Return how many clients each arm has had."""
        stable, canary = (int(np.count_nonzero(self._counts[:, arm])) for arm in (0, 1))
        return stable, canary

    def stay(self) -> bool:
        """Return whether clients stay with one version: far fewer were seen in both than chance would have it."""
        rows = self._counts.sum(1)
        share = float(self._counts[:, 1].sum()) / max(float(rows.sum()), 1.0)
        expected = float((1 - (1 - share) ** rows - share**rows).sum())
        in_both = int(np.count_nonzero((self._counts > 0).all(1)))
        return expected > _SURE and in_both < 0.5 * expected

    def allowance(self, scatter: Floats) -> Floats:
        """Return (c,) float64 effect that may be due to who is in which arm alone; zeros where clients do not stay.

        Args:
            scatter: (c,) float64 variance of one row.
        """
        if not self.stay():
            return np.zeros(COLUMNS)
        rows = self._rows
        of_arm = np.maximum(rows.sum(2, keepdims=True), 1.0)
        mean = np.where(rows > 0, self._beyond / np.maximum(rows, 1.0), 0.0)
        centre = self._beyond.sum(2, keepdims=True) / of_arm
        freedom: Floats = np.maximum((rows > 0).sum((1, 2)) - 2.0, 1.0)
        squares = (rows * (mean - centre) ** 2).sum((1, 2))
        reach = np.maximum((rows.sum(2) - (rows**2).sum(2) / of_arm[:, :, 0]).sum(1), 1e-9)
        between = np.maximum(squares - scatter * freedom, 0.0) / reach
        error = np.sqrt(between * ((rows / of_arm) ** 2).sum((1, 2)))
        places: Ints = np.searchsorted(_FREEDOM, freedom, side="right")
        times = _STUDENT[np.maximum(places - 1, 0)]
        found: Floats = np.multiply(error, times)
        return found
