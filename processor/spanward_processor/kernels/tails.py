"""p-values: of single rows against the learned distributions, and of windows by the F distribution."""

import math
from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Floats, Ints, Narrow, Singles, borrowing, inlined
from spanward_processor.kernels.memory import prefetch
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING

_TOGETHER: Final = 8  # rows; with their features more than the memory answers at once


class Tails(NamedTuple):
    """What is usual, as tail shares: of m streams, sixteen to each ready key.

    A stream whose bins lie close together has a place for every bin from its lowest to its highest, so that none is
    searched for; the cells of the others come first, sorted within a stream.

    Args:
        places: (k,) int32 place of each key, -1 for keys that are not ready.
        spans: (m, 2) int32 where the cells of a stream begin, and how many they are; none where nothing is known.
        lows: (m,) int64 lowest bin of a stream with a place for every bin, `MISSING` for the others.
        p: (c,) float32 p-value of a row in a cell.
        bins: (g,) int64 bin of each of the first cells.
        below: (g,) float64 share of the stream's rows in lower bins; for a category, 0.
        weights: (m,) float32 rows behind a stream.
    """

    places: Narrow
    spans: Narrow
    lows: Ints
    p: Singles
    bins: Ints
    below: Floats
    weights: Singles


@inlined
def _floor(weight: float) -> float:
    """Return the smallest p-value that so many rows can give."""
    return 1.0 / (weight + 1.0)


@inlined
def _two_sided(under: float, over: float, weight: float) -> float:
    """Return the p-value of a row from the shares of rows beyond it on either side, its own bin included."""
    return max(min(1.0, 2.0 * min(under, over)), _floor(weight))


@borrowing
def _p_by_search(tails: Tails, stream: int, cell_bin: int) -> float:
    """Return the p-value of a row in a stream that has places only for bins that were seen."""
    first = int(tails.spans[stream, 0])
    end = last = first + int(tails.spans[stream, 1])
    while first < last:
        middle = (first + last) >> 1
        if tails.bins[middle] < cell_bin:
            first = middle + 1
        else:
            last = middle
    if first < end and tails.bins[first] == cell_bin:
        return float(tails.p[first])
    under = float(tails.below[first]) if first < end else 1.0
    return _two_sided(under, 1.0 - under, float(tails.weights[stream]))


class Asked(NamedTuple):
    """Room for the rows that are scored together, so that the memory answers for one while it is asked for the next.

    Args:
        places: (b, f) int64 where in `Tails.p` the p-values of a row are.
        counts: (b, 2) int64 how many of them are used; features that were tested.
    """

    places: Ints
    counts: Ints


def empty_asked(features: int) -> Asked:
    """Return room for rows of so many features."""
    return Asked(np.empty((_TOGETHER, features), np.int64), np.empty((_TOGETHER, 2), np.int64))


@inlined
def _ask(keys: Ints, bins: Ints, row: int, tails: Tails, asked: Asked, at: int) -> float:
    """Ask the memory for a row's p-values; return the smallest of those that are known without it."""
    smallest, tested, found = 1.0, 0, 0
    place = int(tails.places[keys[row]]) if 0 <= keys[row] < tails.places.size else -1
    if place >= 0:
        for feature in range(bins.shape[0]):
            cell_bin = bins[feature, row]
            stream = place << FEATURE_BITS | feature
            if cell_bin == MISSING or tails.spans[stream, 1] == 0:
                continue
            tested += 1
            low = tails.lows[stream]
            if low == MISSING:
                smallest = min(smallest, _p_by_search(tails, stream, cell_bin))
            elif 0 <= cell_bin - low < tails.spans[stream, 1]:
                asked.places[at, found] = tails.spans[stream, 0] + cell_bin - low
                prefetch(tails.p, asked.places[at, found])
                found += 1
            else:
                smallest = min(smallest, _floor(float(tails.weights[stream])))
    asked.counts[at, 0], asked.counts[at, 1] = found, tested
    return smallest


@borrowing
def score_rows(keys: Ints, bins: Ints, tails: Tails, asked: Asked, p: Floats) -> None:
    """Find each row's p-value: the smallest over its features, times their number (Bonferroni).

    Args:
        keys: (n,) int64 series key, -1 for rows of no series.
        bins: (f, n) int64.
        tails: What is usual.
        asked: Room for some rows.
        p: (n,) float64 to fill; 1 where nothing is known.
    """
    for first in range(0, keys.size, asked.counts.shape[0]):
        count = min(asked.counts.shape[0], keys.size - first)
        for at in range(count):
            p[first + at] = _ask(keys, bins, first + at, tails, asked, at)
        for at in range(count):
            smallest = p[first + at]
            for index in range(asked.counts[at, 0]):
                smallest = min(smallest, float(tails.p[asked.places[at, index]]))
            p[first + at] = min(1.0, smallest * np.float64(max(asked.counts[at, 1], 1)))


@borrowing
def fill_tails(usual: Packed, firsts: Ints, ready: Ints, tails: Tails) -> None:
    """Turn the counts of ready streams into tail shares, as for ordered bins.

    Args:
        usual: (d,) the baseline's cells.
        firsts: (s, 2) int64 where each ready stream begins and ends among them.
        ready: (s,) int64 number of each ready stream in `tails`.
        tails: Its `spans` and `lows` say where cells go; the columns behind them are filled.
    """
    for index in range(ready.size):
        stream = ready[index]
        total = 0.0
        for cell in range(firsts[index, 0], firsts[index, 1]):
            total += usual.counts[cell]
        tails.weights[stream] = total
        running, first, to = 0.0, int(tails.spans[stream, 0]), int(tails.spans[stream, 0])
        for cell in range(firsts[index, 0], firsts[index, 1]):
            under = running / total
            if tails.lows[stream] == MISSING:
                tails.bins[to], tails.below[to] = usual.bins[cell], under
            else:
                while to < first + usual.bins[cell] - tails.lows[stream]:
                    tails.p[to] = _two_sided(under, 1.0 - under, total)
                    to += 1
            running += np.float64(usual.counts[cell])
            tails.p[to] = _two_sided(running / total, 1.0 - under, total)
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
