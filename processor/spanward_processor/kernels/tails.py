"""p-values: of single rows against the learned distributions, and of windows by the F distribution."""

import math
from typing import Final

import numpy as np

from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Floats, Ints, Narrow, Singles, borrowing
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
def _p_of(cell_bin: int, first: int, last: int, bins: Ints, below: Floats, seen_p: Singles, weight: float) -> float:
    place = _find(bins, first, last, cell_bin)
    floor = 1.0 / (weight + 1.0)
    if place < last and bins[place] == cell_bin:
        return max(float(seen_p[place]), floor)
    under = float(below[place]) if place < last else 1.0
    return max(min(1.0, 2.0 * min(under, 1.0 - under)), floor)


@borrowing
def score_rows(
    keys: Ints,
    bins: Ints,
    places: Narrow,
    starts: Ints,
    model_bins: Ints,
    below: Floats,
    seen_p: Singles,
    weights: Singles,
    p: Floats,
) -> None:
    """Find each row's p-value: the smallest over its features, times their number (Bonferroni).

    Args:
        keys: (n,) int64 series key, -1 for rows of no series.
        bins: (f, n) int64.
        places: (k,) int32 place of each key in the model, -1 for keys that are not ready.
        starts: (m + 1,) int64 where the cells of a feature of a place begin; equal where nothing is known.
        model_bins: (c,) int64 sorted within a stream.
        below: (c,) float64 share of the stream's rows in lower bins; for a category, 0.
        seen_p: (c,) float32 p-value of a row in this very bin.
        weights: (m,) float32 rows behind a stream.
        p: (n,) float64 to fill; 1 where nothing is known.
    """
    for row in range(keys.size):
        smallest, tested = 1.0, 0
        place = places[keys[row]] if 0 <= keys[row] < places.size else -1
        if place >= 0:
            for feature in range(bins.shape[0]):
                if bins[feature, row] == MISSING:
                    continue
                stream = place << FEATURE_BITS | feature
                first, last = int(starts[stream]), int(starts[stream + 1])
                if first < last:
                    tested += 1
                    smallest = min(
                        smallest,
                        _p_of(bins[feature, row], first, last, model_bins, below, seen_p, float(weights[stream])),
                    )
        p[row] = min(1.0, smallest * np.float64(max(tested, 1)))


@borrowing
def fill_model(
    usual: Packed, firsts: Ints, ready: Ints, at: Ints, bins: Ints, below: Floats, seen_p: Singles, weights: Singles
) -> None:
    """Turn the counts of ready streams into tail shares, as for ordered bins.

    Args:
        usual: (d,) the baseline's cells.
        firsts: (s, 2) int64 where each ready stream begins and ends among them.
        ready: (s,) int64 place and feature of each ready stream in the model, as in `starts` of `score_rows`.
        at: (s,) int64 where its cells begin in the model.
        bins: (c,) int64 to fill.
        below: (c,) float64 to fill.
        seen_p: (c,) float32 to fill.
        weights: (m,) float32 to fill.
    """
    for index in range(ready.size):
        total = 0.0
        for cell in range(firsts[index, 0], firsts[index, 1]):
            total += usual.counts[cell]
        weights[ready[index]] = total
        running, to = 0.0, at[index]
        for cell in range(firsts[index, 0], firsts[index, 1]):
            count = np.float64(usual.counts[cell])
            under = running / total
            over = 1.0 - under - count / total
            bins[to], below[to] = usual.bins[cell], under
            seen_p[to] = min(1.0, 2.0 * min(1.0 - under, 1.0 - over))
            running += count
            to += 1


# --- the F distribution ----------------------------------------------------------------------------------------------

_SMALLEST: Final = 1e-300
_PRECISION: Final = 1e-15
_MOST_TERMS: Final = 10_000  # for degrees of freedom beyond what can be learned; a few dozen are the rule


@borrowing
def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function, by the modified Lentz method."""
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _SMALLEST else _SMALLEST)
    value, last = d, d
    for m in range(1, _MOST_TERMS):
        term = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        for _ in range(2):
            d, c = 1.0 + term * d, 1.0 + term / c
            d = 1.0 / (d if abs(d) > _SMALLEST else _SMALLEST)
            c = c if abs(c) > _SMALLEST else _SMALLEST
            value *= c * d
            last = c * d
            term = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        if abs(last - 1.0) < _PRECISION:
            break
    return value


@borrowing
def f_tail(between: float, within: float, ratio: float) -> float:
    """Return the probability that an F-distributed number is larger than a ratio.

    Args:
        between: Degrees of freedom of the numerator, above 0.
        within: Degrees of freedom of the denominator, above 0.
        ratio: At least 0.

    Source:
        NIST Digital Library of Mathematical Functions, equations 8.17.4, 8.17.8 and 8.17.22.
    """
    if ratio <= 0.0:
        return 1.0
    a, b = within / 2.0, between / 2.0
    x = within / (within + between * ratio)
    rest = between * ratio / (within + between * ratio)
    if x <= 0.0:
        return 0.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(max(rest, _SMALLEST))
    )
    if x < (a + 1.0) / (a + b + 2.0):
        return min(1.0, front * _fraction(a, b, x) / a)
    return max(0.0, 1.0 - front * _fraction(b, a, rest) / b)


@borrowing
def f_tails(between: Floats, within: Floats, ratios: Floats, p: Floats) -> None:
    """Fill (n,) float64 `f_tail` of each place."""
    for index in range(between.size):
        p[index] = f_tail(between[index], within[index], ratios[index])
