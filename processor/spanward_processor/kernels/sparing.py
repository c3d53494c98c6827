"""Correlations of pairs of numbers, and what they would be without one row or another."""

import math

import numpy as np

from spanward_processor.kernels.jit import Floats, Ints, borrowing, inlined
from spanward_processor.kernels.sampling import UNKNOWN, Shorts


@inlined
def _fisher_z(product: float, squares: float, most: float) -> float:
    """Return Fisher's z of a correlation, which is at most so large."""
    r = product / math.sqrt(squares)
    return math.atanh(min(max(r, -most), most))


@inlined
def _spare(
    values: Shorts, begin: int, end: int, first: int, second: int, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Return the smallest and largest z of some rows without one of them, or of all; see `spare_one`."""
    least, most = bounds
    rows, middle, other_middle = 0, 0.0, 0.0
    for row in range(begin, end):
        if values[row, first] != UNKNOWN and values[row, second] != UNKNOWN:
            rows += 1
            middle += np.float64(values[row, first])
            other_middle += np.float64(values[row, second])
    if rows < 2:
        return 0.0, 0.0
    middle, other_middle = middle / rows, other_middle / rows
    square, other_square, product = 0.0, 0.0, 0.0
    for row in range(begin, end):
        if values[row, first] != UNKNOWN and values[row, second] != UNKNOWN:
            one, other = np.float64(values[row, first]) - middle, np.float64(values[row, second]) - other_middle
            square += one * one
            other_square += other * other
            product += one * other
    if min(square, other_square) < least * rows:
        return 0.0, 0.0
    lowest = highest = _fisher_z(product, square * other_square, most)
    left = rows / (rows - 1.0)  # sums about the mean of the others
    for row in range(begin, end):
        if values[row, first] != UNKNOWN and values[row, second] != UNKNOWN:
            one, other = np.float64(values[row, first]) - middle, np.float64(values[row, second]) - other_middle
            rest, other_rest = square - left * one * one, other_square - left * other * other
            if min(rest, other_rest) >= least * (rows - 1):
                z = _fisher_z(product - left * one * other, rest * other_rest, most)
                lowest, highest = min(lowest, z), max(highest, z)
    return lowest, highest


@borrowing
def spare_one(
    starts: Ints, values: Shorts, pairs: Ints, least_variance: float, most: float, lowest: Floats, highest: Floats
) -> None:
    """Find between which values Fisher's z of each pair of numbers lies, whichever row is left out, or none.

    Args:
        starts: (g + 1,) int64 where the rows of each group begin.
        values: (r, d) int16.
        pairs: (p, 2) int64 numbers of a row.
        least_variance: With less of it a number goes together with nothing.
        most: Largest correlation that is told from 1.
        lowest: (g, p) float64 to fill; 0 where a number hardly varies.
        highest: (g, p) float64 to fill, likewise.
    """
    for group in range(starts.size - 1):
        for pair in range(pairs.shape[0]):
            lowest[group, pair], highest[group, pair] = _spare(
                values, starts[group], starts[group + 1], pairs[pair, 0], pairs[pair, 1], (least_variance, most)
            )
