"""How the numbers of rows go together: sums of products, and how far a row lies from what they say is usual."""

import math
from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Floats, Ints, Narrow, Singles, borrowing, inlined
from spanward_processor.kernels.memory import prefetch
from spanward_processor.kernels.sampling import UNKNOWN, Shorts, coordinate

COUNT: Final = 0  # places in sums of products: rows that have both numbers,
SUM: Final = 1  # the sum of the first number over them,
PRODUCT: Final = 2  # and of the product

SIDES: Final = 64
"""Bins of one number's deviation, from far below to far above."""

DISTANCES: Final = 128
"""Bins of a row's distance."""

_PER_DEVIATION: Final = 4.0  # bins of a number's deviation for one standard deviation
_PER_DOUBLING: Final = 12.0  # bins of a row's distance for a factor of two
_NO_SIDE: Final = -1
_TOGETHER: Final = 8  # rows of a block; with their numbers more than the memory answers at once


class Scatter(NamedTuple):
    """What is usual for the numbers of each of m series, d each.

    Args:
        means: (m, d) float32.
        scales: (m, d) float32 one by the standard deviation; 0 where a number is not known.
        inverses: (m, d, d) float32 of the covariance; 0 where a number is not known.
        surprise: (m, d, SIDES) float32 -ln of the share of rows at least as far out on the same side, doubled.
        tails: (m, DISTANCES) float32 share of rows at least as far away.
    """

    means: Singles
    scales: Singles
    inverses: Singles
    surprise: Singles
    tails: Singles


@borrowing
def side_of(deviation: float) -> int:
    """Return the bin of a deviation in standard deviations."""
    return int(min(max(math.floor(deviation * _PER_DEVIATION) + SIDES // 2, 0), SIDES - 1))


@borrowing
def distance_bin(distance: float) -> int:
    """Return the bin of a distance."""
    return int(min(math.log2(1.0 + distance) * _PER_DOUBLING, DISTANCES - 1.0))


@borrowing
def _fill_bins(distance: Floats, bins: Ints) -> None:
    for row in range(distance.size):
        bins[row] = distance_bin(distance[row])


def distance_bins(distance: Floats) -> Ints:
    """Return (r,) int64 `distance_bin` of each distance."""
    bins = np.empty(distance.size, np.int64)
    _fill_bins(distance, bins)
    return bins


@inlined
def _find_sides(values: Shorts, row: int, usual: Scatter, place: int, sides: Shorts) -> None:
    """Find on which side of the mean each number of a row is, and how far, `_NO_SIDE` where it is not known."""
    for index in range(values.shape[1]):
        scale = usual.scales[place, index]
        sides[row, index] = _NO_SIDE
        if values[row, index] != UNKNOWN and scale != 0.0:
            sides[row, index] = side_of((np.float64(values[row, index]) - usual.means[place, index]) * scale)


@inlined
def _distance(values: Shorts, row: int, usual: Scatter, place: int, sides: Shorts) -> float:
    """Return how far a row is from what is usual; see `distances`."""
    square, surprise = 0.0, 0.0
    for first in range(values.shape[1]):
        if sides[row, first] == _NO_SIDE:
            continue
        deviation = np.float64(values[row, first]) - usual.means[place, first]
        surprise += usual.surprise[place, first, sides[row, first]]
        square += deviation * deviation * usual.inverses[place, first, first]
        for second in range(first):
            if sides[row, second] != _NO_SIDE:
                other = np.float64(values[row, second]) - usual.means[place, second]
                square += 2.0 * deviation * other * usual.inverses[place, first, second]
    return max(square, 0.0) / 2.0 + surprise


@borrowing
def distances(starts: Ints, values: Shorts, places: Ints, usual: Scatter, found: Floats, sides: Shorts) -> None:
    """Find how far rows are from what is usual for their series, taken together and one by one.

    The distance is half the square of Mahalanobis', which is -ln of a normal density less a constant, plus the surprise of each
    number by itself. A number that a row does not have counts as the mean.

    Args:
        starts: (g + 1,) int64 where the rows of each series begin.
        values: (r, d) int16.
        places: (g,) int64 place of each series in `usual`.
        usual: What is usual.
        found: (r,) float64 to fill.
        sides: (r, d) int16 to fill with `side_of` each number, -1 where there is none.
    """
    for group in range(places.size):
        place = places[group]
        for row in range(starts[group], starts[group + 1]):
            _find_sides(values, row, usual, place, sides)
            found[row] = _distance(values, row, usual, place, sides)


class Block(NamedTuple):
    """Room for the rows that are scored together, so that the memory answers for one while it is asked for the next.

    Args:
        values: (b, d) int16 their numbers.
        sides: (b, d) int16 `side_of` each.
        places: (b,) int64 their series' places, -1 for none.
        bins: (b,) int64 bins of their distances.
    """

    values: Shorts
    sides: Shorts
    places: Ints
    bins: Ints


def empty_block(numbers: int) -> Block:
    """Return room for rows of so many numbers."""
    values, sides = np.empty((2, _TOGETHER, numbers), np.int16)
    places, bins = np.empty((2, _TOGETHER), np.int64)
    return Block(values, sides, places, bins)


@inlined
def _ask(
    keys: Ints, bins: Ints, numbers: Ints, row: int, places: Narrow, usual: Scatter, block: Block, at: int
) -> None:
    """Find a row's sides, and ask the memory for what they surprise by and what they are weighed with."""
    place = int(places[keys[row]]) if 0 <= keys[row] < places.size else -1
    block.places[at] = place
    if place < 0:
        return
    for index in range(numbers.size):
        block.values[at, index] = coordinate(bins[numbers[index], row])
    _find_sides(block.values, at, usual, place, block.sides)
    for index in range(numbers.size):
        prefetch(usual.inverses, (place, index))
        if block.sides[at, index] != _NO_SIDE:
            prefetch(usual.surprise, (place, index, block.sides[at, index]))


@borrowing
def score_numbers(
    keys: Ints, bins: Ints, numbers: Ints, places: Narrow, usual: Scatter, block: Block, p: Floats
) -> None:
    """Find each row's p-value: the share of its series' rows at least as far from what is usual.

    Args:
        keys: (n,) int64 series key, -1 for rows of no series.
        bins: (f, n) int64.
        numbers: (d,) int64 the features that are numbers.
        places: (k,) int32 place of each key in `usual`, -1 for keys that are not ready.
        usual: What is usual.
        block: Room for some rows.
        p: (n,) float64 to fill; 1 where nothing is known.
    """
    for first in range(0, keys.size, block.bins.size):
        count = min(block.bins.size, keys.size - first)
        for at in range(count):
            _ask(keys, bins, numbers, first + at, places, usual, block, at)
        for at in range(count):
            place = block.places[at]
            if place >= 0:
                block.bins[at] = distance_bin(_distance(block.values, at, usual, place, block.sides))
                prefetch(usual.tails, (place, block.bins[at]))
        for at in range(count):
            place = block.places[at]
            p[first + at] = usual.tails[place, block.bins[at]] if place >= 0 else 1.0


@borrowing
def add_products(starts: Ints, values: Shorts, places: Ints, sums: Floats) -> None:
    """Add rows to the sums of products of their series.

    Args:
        starts: (g + 1,) int64 where the rows of each series begin.
        values: (r, d) int16.
        places: (g,) int64 place of each series in `sums`.
        sums: (m, 3, d, d) float64, changed: `COUNT`, `SUM` and `PRODUCT` of two numbers over rows that have both.
    """
    for group in range(places.size):
        place = places[group]
        for row in range(starts[group], starts[group + 1]):
            for first in range(values.shape[1]):
                if values[row, first] == UNKNOWN:
                    continue
                one = np.float64(values[row, first])
                for second in range(values.shape[1]):
                    if values[row, second] != UNKNOWN:
                        sums[place, COUNT, first, second] += 1.0
                        sums[place, SUM, first, second] += one
                        sums[place, PRODUCT, first, second] += one * np.float64(values[row, second])


@borrowing
def count_rows(
    starts: Ints, distance: Floats, sides: Shorts, places: Ints, seen_distances: Singles, seen_sides: Singles
) -> None:
    """Count rows by their distance and by the deviation of each number.

    Args:
        starts: (g + 1,) int64 where the rows of each series begin.
        distance: (r,) float64, as all from `distances`.
        sides: (r, d) int16.
        places: (g,) int64 place of each series in what follows.
        seen_distances: (m, DISTANCES) float32, changed.
        seen_sides: (m, d, SIDES) float32, changed.
    """
    for group in range(places.size):
        place = places[group]
        for row in range(starts[group], starts[group + 1]):
            seen_distances[place, distance_bin(distance[row])] += np.float32(1.0)
            for index in range(sides.shape[1]):
                if sides[row, index] != _NO_SIDE:
                    seen_sides[place, index, sides[row, index]] += np.float32(1.0)
