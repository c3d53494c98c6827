"""Products, distances and p-values of rows against plain sums over rows."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import naive
from spanward_processor.features import FEATURES, NUMBERS
from spanward_processor.kernels.sampling import UNKNOWN, coordinate
from spanward_processor.kernels.scatter import (
    COUNT,
    DISTANCES,
    PRODUCT,
    SIDES,
    SUM,
    Scatter,
    add_products,
    count_rows,
    distance_bin,
    distance_bins,
    distances,
    empty_block,
    score_numbers,
    side_of,
)
from spanward_processor.kernels.tables import MISSING

SEED = 20_261_126
ROWS, NUMBER = 40, NUMBERS.size


def rows_of(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of two series, a fifth of their numbers missing, and where each series begins."""
    values = rng.integers(-40, 60, (ROWS, NUMBER)).astype(np.int16)
    values[rng.random((ROWS, NUMBER)) < 0.2] = UNKNOWN
    return np.array([0, 15, ROWS]), values


def usual_of(rng: np.random.Generator, series: int) -> Scatter:
    """Return something to compare with; the last number is unknown to every series."""
    roots = rng.normal(0, 0.1, (series, NUMBER, NUMBER))
    scales = rng.uniform(0.02, 0.2, (series, NUMBER))
    scales[:, -1] = 0.0
    inverses = roots @ roots.transpose(0, 2, 1)
    inverses[:, -1], inverses[:, :, -1] = 0.0, 0.0
    return Scatter(
        means=rng.normal(5, 10, (series, NUMBER)).astype(np.float32),
        scales=scales.astype(np.float32),
        inverses=inverses.astype(np.float32),
        surprise=rng.uniform(0, 3, (series, NUMBER, SIDES)).astype(np.float32),
        tails=np.sort(rng.random((series, DISTANCES)).astype(np.float32))[:, ::-1].copy(),
    )


def test_add_products_is_the_sum_over_rows() -> None:
    """`add_products` adds what `naive.products` adds, row by row, and leaves other series alone."""
    print(f"seed {SEED}")
    starts, values = rows_of(np.random.default_rng(SEED))
    sums = np.zeros((4, 3, NUMBER, NUMBER))

    add_products(starts, values, np.array([3, 1]), sums)

    for series, first, last in ((3, 0, 15), (1, 15, ROWS)):
        count, total, product = naive.products(values[first:last].tolist(), UNKNOWN)
        np.testing.assert_array_equal(sums[series, COUNT], count)
        np.testing.assert_array_equal(sums[series, SUM], total)
        np.testing.assert_array_equal(sums[series, PRODUCT], product)
    assert not sums[[0, 2]].any()


def test_distances_and_score_numbers_equal_the_slow_way() -> None:
    """`distances` and `score_numbers` give what `naive.distance` gives; missing and unknown numbers count as the mean."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    starts, values = rows_of(rng)
    usual, places = usual_of(rng, 3), np.array([2, 0])
    found, sides = np.empty(ROWS), np.empty((ROWS, NUMBER), np.int16)
    distances(starts, values, places, usual, found, sides)
    expected = [
        naive.distance(row, UNKNOWN, *(array[place].tolist() for array in usual[:4]))
        for row, place in zip(values.tolist(), np.repeat(places, np.diff(starts)).tolist(), strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)

    bins = np.full((len(FEATURES), ROWS), MISSING, np.int64)
    bins[NUMBERS] = np.where(values == UNKNOWN, MISSING, values).T
    p, keys = np.empty(ROWS), np.repeat([1, 4], np.diff(starts))
    keys[0] = -1
    model_places = np.array([-1, 2, -1, -1, 0], np.int32)
    score_numbers(keys, bins, NUMBERS, model_places, usual, empty_block(NUMBER), p)
    coordinates = [[coordinate(int(one)) for one in bins[NUMBERS, row]] for row in range(ROWS)]
    assert p[0] == 1.0
    for row in range(1, ROWS):
        place = int(model_places[keys[row]])
        far = naive.distance(coordinates[row], UNKNOWN, *(array[place].tolist() for array in usual[:4]))
        assert p[row] == usual.tails[place, distance_bin(far)]


def test_count_rows_counts_each_row_once() -> None:
    """`count_rows` counts the distance of each row and each number it has, as `naive.side` puts them."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    starts, values = rows_of(rng)
    usual, places = usual_of(rng, 2), np.array([1, 0])
    found, sides = np.empty(ROWS), np.empty((ROWS, NUMBER), np.int16)
    distances(starts, values, places, usual, found, sides)
    by_distance, by_side = np.zeros((2, DISTANCES), np.float32), np.zeros((2, NUMBER, SIDES), np.float32)

    count_rows(starts, found, sides, places, by_distance, by_side)

    assert by_distance.sum(axis=1).tolist() == [ROWS - 15, 15]
    np.testing.assert_array_equal(by_distance[1], np.bincount(distance_bins(found[:15]), minlength=DISTANCES))
    expected = [
        naive.side((float(value) - float(usual.means[1, 0])) * float(usual.scales[1, 0]), SIDES)
        for value in values[:15, 0]
        if value != UNKNOWN
    ]
    np.testing.assert_array_equal(by_side[1, 0], np.bincount(expected, minlength=SIDES))
    assert not by_side[:, -1].any()


@given(st.floats(-1e6, 1e6))
def test_side_of_keeps_order(deviation: float) -> None:
    """`side_of` equals `naive.side`, and one deviation further out is never on the other side."""
    assert side_of(deviation) == naive.side(deviation, SIDES)


@given(st.floats(0, 1e12))
def test_distance_bin_is_logarithmic(distance: float) -> None:
    """`distance_bin` is twelve bins for a factor of two, by `math.log2`, the last one open."""
    assert distance_bin(distance) == min(int(12 * math.log2(1 + distance)), DISTANCES - 1)
