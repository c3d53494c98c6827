"""How the numbers of each series go together, learned from sampled rows: means, deviations, covariances."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.evidence import cleared
from spanward_processor.kept import Arrays
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.scatter import COUNT, PRODUCT, SUM, add_products
from spanward_processor.windows.sample import Groups

FEWEST_KNOWN: Final = 20.0
"""Decayed rows from which a number of a series is known."""

_LEAST_VARIANCE: Final = 1.0  # a number stands for a bin, so that less is no variance


def products_of(groups: Groups, numbers: int) -> Floats:
    """Return (g, 3, d, d) float64 the sums of products of each group; see `add_products`."""
    sums = np.zeros((groups.keys.size, 3, numbers, numbers))
    add_products(groups.starts, groups.values, np.arange(groups.keys.size), sums)
    return sums


def moments_of(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Return what sums of products say of m series of d numbers.

    A row counts in a covariance with the numbers it has: a missing one deviates by nothing, which keeps the matrix
    positive, and the sum is divided by what both numbers had.

    Returns:
        (m, d) rows with each number, (m, d) means, (m, d, d) covariances; 0 where a number was never seen.
    """
    diagonal = np.arange(int(sums.shape[-1]))
    seen = sums[:, COUNT, diagonal, diagonal]
    means = sums[:, SUM, diagonal, diagonal] / np.maximum(seen, 1e-9)
    first, second = means[:, :, None], means[:, None, :]
    of_first = sums[:, SUM]
    about = sums[:, PRODUCT] - second * of_first - first * of_first.transpose(0, 2, 1) + first * second * sums[:, COUNT]
    weight = np.sqrt(seen[:, :, None] * seen[:, None, :])
    return seen, means, about / np.maximum(weight, 1e-9)


def shrunk(seen: Floats, covariances: Floats) -> Floats:
    """Return covariances drawn towards their diagonals, as if d + 1 more rows had shown numbers that go their own ways.

    Args:
        seen: (m, d) float64 rows behind each number.
        covariances: (m, d, d) float64.

    Source:
        Haff, "Empirical Bayes estimation of the multivariate normal covariance matrix", Annals of Statistics 8 (1980).
    """
    numbers = covariances.shape[-1]
    diagonal = np.arange(int(numbers))
    prior = (numbers + 1) / (numbers + 1 + seen.max(axis=1, initial=0.0))
    closer: Floats = covariances * (1 - prior)[:, None, None]
    closer[:, diagonal, diagonal] = np.maximum(covariances[:, diagonal, diagonal], 0.0) + _LEAST_VARIANCE
    return closer


class Moments:
    """Sums of products by slot, older windows counting less.

    Args:
        decay: Factor per learned window.
        numbers: Numbers of a row.
    """

    def __init__(self, decay: float, numbers: int) -> None:
        self._decay = decay
        self._numbers = numbers
        self.sums: Floats = np.zeros((0, 3, numbers, numbers))

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return {"sums": self.sums.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self.sums = arrays["sums"]

    def grow(self, slots: int) -> None:
        """Make room for slots."""
        self.sums = grown_rows(self.sums, slots)

    def clear(self, slots: Ints) -> None:
        """Forget slots, so that others may have them."""
        cleared(self.sums, slots)

    def rows(self, slots: Ints) -> Floats:
        """Return (s,) float64 decayed rows of slots: those with the number that most rows have."""
        diagonal = np.arange(self._numbers)
        return np.asarray(self.sums[slots][:, COUNT, diagonal, diagonal].max(axis=1, initial=0.0))

    def learn(self, slots: Ints, products: Floats) -> None:
        """Add the products of a window; each slot once.

        Args:
            slots: (s,) int64.
            products: (s, 3, d, d) float64 from `products_of`.
        """
        self.sums[slots] = self._decay * self.sums[slots] + products


def grown_rows(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return an array with room for `size` entries and a quarter more along its first axis."""
    if size <= array.shape[0]:
        return array
    more = np.zeros((size + size // 4 - array.shape[0], *array.shape[1:]), array.dtype)
    return np.concatenate((array, more))
