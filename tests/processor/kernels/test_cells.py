"""Merging of sorted cells against adding in a dictionary."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import cells_of, ints, rows_of_cells
from spanward_processor.kernels.cells import merge_cells

EXTREME = st.sampled_from([-(1 << 62), 0, (1 << 62) + 1, 2**63 - 1])
BAGS = st.dictionaries(
    st.tuples(st.integers(0, 4), st.one_of(st.integers(-3, 3), EXTREME)), st.floats(0, 1e12), max_size=12
)


@given(BAGS, BAGS)
def test_sum_equals_its_twin(left: dict[tuple[int, int], float], right: dict[tuple[int, int], float]) -> None:
    """Each cell once, in order, with the counts of both."""
    bags = [[(*cell, count) for cell, count in bag.items()] for bag in (left, right)]

    assert rows_of_cells(cells_of(bags[0]) + cells_of(bags[1])) == naive.merged(*bags)


def test_too_little_room_raises() -> None:
    """Arrays too short for the sum raise; nothing is written past them."""
    one, count = ints([1]), np.ones(1)

    with pytest.raises(IndexError):
        merge_cells(one, one, count, ints([2]), one, count, np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1))
