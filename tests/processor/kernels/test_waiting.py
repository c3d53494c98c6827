"""Rows that wait until their series has enough of them, against dictionaries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from spanward_processor.kernels.sampling import UNKNOWN
from spanward_processor.kernels.waiting import Waiters, empty_waiters, sift_rows

NUMBERS, LONGEST = 3, 2

Row = tuple[int, int, tuple[int, ...]]
ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, LONGEST), st.tuples(*[st.sampled_from([UNKNOWN, -3, 8])] * NUMBERS)),
    max_size=30,
)


def waiters(rows: list[Row]) -> Waiters:
    """Return rows (series, age, numbers) as columns, sorted by series."""
    rows = sorted(rows, key=lambda row: row[0])
    columns = empty_waiters(len(rows), NUMBERS)
    for at, (key, age, numbers) in enumerate(rows):
        columns.keys[at], columns.ages[at], columns.values[at] = key, age, numbers
    return columns


def sifted(window: Waiters, waiting: Waiters, fewest: int) -> tuple[dict[int, list[list[int]]], list[Row]]:
    """Return the rows of each series that has enough, and the rows that go on waiting."""
    rows = len(window.keys) + len(waiting.keys)
    keys, begins, values = np.empty(rows, np.int64), np.empty(rows + 1, np.int64), np.empty((rows, NUMBERS), np.int16)
    stay, sizes = empty_waiters(rows, NUMBERS), np.empty(3, np.int64)
    sift_rows(
        window.keys.astype(np.int64), window.values, 2, waiting, fewest, LONGEST, keys, begins, values, stay, sizes
    )
    groups, ready, left = sizes.tolist()
    starts = begins[: groups + 1].tolist()
    assert (starts[0], starts[-1]) == (0, ready)
    ranges = zip(keys[:groups].tolist(), starts, starts[1:], strict=False)
    columns = (stay.keys[:left].tolist(), stay.ages[:left].tolist(), map(tuple, stay.values[:left].tolist()))
    return {key: values[a:b].tolist() for key, a, b in ranges}, list(zip(*columns, strict=True))


@given(ROWS, ROWS, st.integers(1, 6))
def test_rows_are_sifted_as_by_the_twin(new: list[Row], old: list[Row], fewest: int) -> None:
    """Series with enough related rows come up with those that waited first; the others wait on, but not for ever."""
    window, waiting = waiters(new), waiters(old)

    expected = naive.sifted_rows(
        list(zip(window.keys.tolist(), window.values.tolist(), strict=True)),
        list(zip(waiting.keys.tolist(), waiting.ages.tolist(), waiting.values.tolist(), strict=True)),
        fewest,
        LONGEST,
        UNKNOWN,
    )
    assert sifted(window, waiting, fewest) == expected


def test_too_little_room_raises() -> None:
    """A row beyond the room for it is not written anywhere."""
    window, nothing = waiters([(1, 0, (1, 2, 3))] * 2), empty_waiters(0, NUMBERS)
    keys, starts, values = np.empty(1, np.int64), np.empty(2, np.int64), np.empty((1, NUMBERS), np.int16)

    with pytest.raises(IndexError):
        sift_rows(
            window.keys.astype(np.int64),
            window.values,
            2,
            nothing,
            1,
            LONGEST,
            keys,
            starts,
            values,
            nothing,
            np.empty(3, np.int64),
        )
