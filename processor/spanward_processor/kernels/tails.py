"""p-values of single rows against the learned distributions."""

from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Floats, Ints, borrowing
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING

_FAR: Final = 1 << 40  # beyond it bins are codes, whose differences may not fit


@borrowing
def _find(bins: Ints, first: int, last: int, cell_bin: int) -> int:
    """Return the first place in `bins[first:last]` that is not below a bin."""
    low, top = bins[first], bins[last - 1]
    if low > -_FAR and top < _FAR and low <= cell_bin <= top:
        # Bins are distinct integers, so their distance bounds how many lie between; most lie side by side.
        first, last = max(first, last - 1 - (top - cell_bin)), min(last, first + (cell_bin - low) + 1)
    while first < last:
        middle = (first + last) >> 1
        if bins[middle] < cell_bin:
            first = middle + 1
        else:
            last = middle
    return first


@borrowing
def _p_of(cell_bin: int, first: int, last: int, bins: Ints, below: Floats, seen_p: Floats, weight: float) -> float:
    place = _find(bins, first, last, cell_bin)
    floor = 1.0 / (weight + 1.0)
    if place < last and bins[place] == cell_bin:
        return max(float(seen_p[place]), floor)
    under = float(below[place]) if place < last else 1.0
    return max(min(1.0, 2.0 * min(under, 1.0 - under)), floor)


@borrowing
def score_rows(
    keys: Ints, bins: Ints, starts: Ints, model_bins: Ints, below: Floats, seen_p: Floats, weights: Floats, p: Floats
) -> None:
    """Find each row's p-value: the smallest over its features, times their number (Bonferroni).

    Args:
        keys: (n,) int64 series key, -1 for rows of no series.
        bins: (f, n) int64.
        starts: (m + 1,) int64 where a stream's cells begin in the model; equal for streams that are not ready.
        model_bins: (c,) int64 sorted within a stream.
        below: (c,) float64 share of the stream's rows in lower bins; for a category, 0.
        seen_p: (c,) float64 p-value of a row in this very bin.
        weights: (m,) float64 rows behind a stream.
        p: (n,) float64 to fill; 1 where nothing is known.
    """
    streams = starts.size - 1
    for row in range(keys.size):
        smallest, tested = 1.0, 0
        for feature in range(bins.shape[0]):
            stream = keys[row] << FEATURE_BITS | feature
            if keys[row] < 0 or stream >= streams or bins[feature, row] == MISSING:
                continue
            first, last = int(starts[stream]), int(starts[stream + 1])
            if first < last:
                tested += 1
                smallest = min(
                    smallest, _p_of(bins[feature, row], first, last, model_bins, below, seen_p, float(weights[stream]))
                )
        p[row] = min(1.0, smallest * np.float64(max(tested, 1)))
