"""Rows marked and counted for objectives, against plain loops."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from spanward_processor.kernels.objectives import (
    ERROR,
    LATENCY,
    Asked,
    Ring,
    add_marks,
    mark_rows,
    sum_stretches,
    tally_rows,
)

ROWS = 12
LIMITS = ((ERROR, 0, 0.0), (LATENCY, 1, 30.0), (LATENCY, 0, 30.0), (0, 2, 0.5), (1, 3, 7.0))


def asked() -> Asked:
    """Return five objectives: no error, faster than 30 ns, as fast, a number of at least 0.5, another above 7."""
    sources, ops, limits = zip(*LIMITS, strict=True)
    return Asked(np.array(sources), np.array(ops), np.array(limits))


@given(st.integers(0, 2**32))
def test_marks_equal_their_twin(seed: int) -> None:
    """A row counts where one of its keys belongs to an objective and it has the value, and is bad where the value misses."""
    random = np.random.default_rng(seed)
    keys = random.integers(-1, 4, (2, ROWS))
    matches = random.integers(0, 1 << len(LIMITS), 4).astype(np.uint64)
    start_ns, took_ns = random.integers(0, 3, ROWS), random.choice([-1, 0, 29, 30, 31], ROWS)
    errors = random.integers(0, 2, ROWS)
    numbers = random.choice([np.nan, 0.4, 0.5, 7.0, 8.0], (2, ROWS))
    counted, bad = np.empty(ROWS, np.uint64), np.empty(ROWS, np.uint64)

    mark_rows(keys, matches, asked(), start_ns, start_ns + took_ns, errors, numbers, counted, bad)

    for row in range(ROWS):
        wanted = {place for key in keys[:, row] if key >= 0 for place in range(5) if int(matches[key]) >> place & 1}
        values = [errors[row], took_ns[row], took_ns[row], *numbers[:, row]]
        timed = start_ns[row] > 0 and took_ns[row] >= 0
        good = {place: naive.is_good(float(value), *LIMITS[place]) for place, value in enumerate(values)}
        known = {place for place, value in enumerate(values) if not np.isnan(value) and (timed or place not in {1, 2})}
        assert int(counted[row]) == sum(1 << place for place in wanted & known)
        assert int(bad[row]) == sum(1 << place for place in wanted & known if not good[place])


@given(st.lists(st.tuples(st.integers(-3, 99), st.integers(0, 3), st.integers(0, 3)), max_size=40), st.integers(0, 99))
def test_counts_equal_their_twin(rows: list[tuple[int, int, int]], last: int) -> None:
    """A window holds the rows of its stretches, those apart that came a full turn after newer ones."""
    ring = Ring(np.full(7, -1, np.int64), np.zeros((2, 7, 2), np.int64), np.array([10]))
    time_ns = np.array([row[0] for row in rows], np.int64)
    counted = np.array([row[1] for row in rows], np.uint64)
    bad = np.array([row[1] & row[2] for row in rows], np.uint64)

    tally_rows(time_ns, counted, bad, ring)

    newest: dict[int, int] = {}
    kept: Counter[tuple[int, int, bool]] = Counter()
    for time, count, wrong in zip(time_ns.tolist(), counted.tolist(), bad.tolist(), strict=True):
        stretch = time // 10
        if not count or time < 0 or newest.get(stretch % 7, -1) > stretch:
            continue
        newest[stretch % 7] = stretch
        kept.update((index, stretch, bool(wrong >> index & 1)) for index in range(2) if count >> index & 1)
    for index in range(2):
        sums = np.empty(2, np.int64)
        sum_stretches(ring, last // 10 - 5, last // 10, index, sums)
        inside = [
            (count, wrong)
            for (owner, stretch, wrong), count in kept.items()
            if owner == index and last // 10 - 5 <= stretch <= last // 10 and newest[stretch % 7] == stretch
        ]
        assert sums.tolist() == [sum(count for count, _ in inside), sum(count for count, wrong in inside if wrong)]


def test_totals_count_every_row_once() -> None:
    """Totals grow by the rows that count and by the bad ones among them, whenever they were."""
    totals = np.zeros((2, 2), np.int64)

    add_marks(np.array([3, 2, 0], np.uint64), np.array([1, 2, 0], np.uint64), totals)

    assert totals.tolist() == [[1, 1], [2, 1]]


def test_too_few_marks_raise() -> None:
    """Fewer places than rows raise, instead of writing beyond them."""
    nothing = np.zeros(2, np.int64)
    with pytest.raises(IndexError):
        mark_rows(
            np.zeros((1, 2), np.int64),
            np.ones(1, np.uint64),
            asked(),
            nothing,
            nothing,
            nothing,
            np.zeros((2, 2)),
            np.empty(1, np.uint64),
            np.empty(1, np.uint64),
        )
