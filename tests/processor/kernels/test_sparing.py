"""Correlations without one row or another, against the standard library's."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import naive
from spanward_processor.kernels.sampling import UNKNOWN
from spanward_processor.kernels.sparing import spare_one

LEAST, MOST = 0.5, 0.98
NUMBER = st.one_of(st.integers(-400, 400), st.sampled_from([0, 1, int(UNKNOWN)]))
ROW = st.tuples(NUMBER, NUMBER, NUMBER)


def spared(groups: list[list[tuple[int, ...]]]) -> list[list[tuple[float, float]]]:
    """Return what `spare_one` says of two pairs of numbers in each group."""
    values = np.array([row for group in groups for row in group], np.int16).reshape(-1, 3)
    starts = np.cumsum([0, *map(len, groups)])
    lowest, highest = np.full((2, len(groups), 2), np.nan)
    spare_one(starts, values, np.array([[0, 1], [2, 0]]), LEAST, MOST, lowest, highest)
    return [list(zip(*lines, strict=True)) for lines in zip(lowest.tolist(), highest.tolist(), strict=True)]


@given(st.lists(st.lists(ROW, max_size=12), max_size=3))
@example([[(0, 0, 0)] * 5 + [(300, -300, 7)]])
def test_spared_rows_equal_their_twin(groups: list[list[tuple[int, ...]]]) -> None:
    """Each pair of each group gets its twin's two values, whatever is missing or never varies."""
    for group, told in zip(groups, spared(groups), strict=True):
        for (first, second), found in zip(((0, 1), (2, 0)), told, strict=True):
            known = [(row[first], row[second]) for row in group if UNKNOWN not in (row[first], row[second])]
            assert found == pytest.approx(naive.spared(known, LEAST, MOST), abs=1e-9)


def test_one_odd_row_may_be_left_out() -> None:
    """Twenty rows that go together, and one that does not: without it they go together."""
    rows = [(10 * number, 20 * number + number % 2, 0) for number in range(20)]
    ((lowest, highest), _) = spared([[*rows, (0, 4000, 0)]])[0]

    assert lowest < 0.5
    assert highest == pytest.approx(np.arctanh(MOST))


def test_a_number_that_a_row_does_not_have_raises() -> None:
    """A pair beyond the row's numbers is no memory of somebody else's."""
    nothing = np.empty((1, 1))
    with pytest.raises(IndexError):
        spare_one(np.array([0, 1]), np.zeros((1, 3), np.int16), np.array([[0, 3]]), LEAST, MOST, nothing, nothing)
