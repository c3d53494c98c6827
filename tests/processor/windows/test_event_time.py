"""Event-time windows: what is counted where, what is late, and when a window closes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrays import ints, rows_of_cells
from spanward_processor.features import COUNTED, FEATURES, Aspect, Rows
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.tables import OTHER
from spanward_processor.windows.event_time import Windows
from spanward_processor.windows.window import Window

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


class Clock:
    """A time of day and a monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now, self.monotonic = NOW, 5 * SECOND

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * SECOND)
        self.monotonic += int(seconds * SECOND)


def new(clock: Clock, *, lateness_s: float = 10.0, most_cells: int = 10_000) -> Windows:
    """Return windows of ten seconds."""
    return Windows(
        width_s=10.0,
        lateness_s=lateness_s,
        future_s=60.0,
        most_cells=most_cells,
        clock_ns=lambda: clock.now,
        monotonic_ns=lambda: clock.monotonic,
    )


def _possible(bins: Ints) -> Ints:
    """Return bins with those of flags and of the rate as low as such bins are."""
    for feature, most in COUNTED.tallies:
        bins[feature] = np.minimum(bins[feature], most)
    return bins


def rows(*seconds: float, key: int = 1, bins: int = 0) -> Rows:
    """Return one row of a key for each time, in seconds from NOW."""
    count = len(seconds)
    return Rows(
        keys=np.full((1, count), key),
        bins=_possible(np.full((len(FEATURES), count), bins)),
        time_ns=ints(NOW + int(second * SECOND) for second in seconds),
        traces=np.array([[key, number] for number in range(count)], np.uint64).reshape(count, 2),
    )


def add(windows: Windows, some: Rows) -> int:
    """Add rows that are all ordinary."""
    return windows.add(some, np.ones(len(some)))


def counted(closed: list[Window]) -> dict[int, float]:
    """Return rows by the second at which their window starts, empty windows left out."""
    return {
        (window.start_ns - NOW) // SECOND: total
        for window in closed
        if (total := window.cells.stream(1 << 4 | Aspect.RATE).total())
    }


def test_rows_are_counted_where_their_time_says() -> None:
    """The order of arrival does not matter, only event time does."""
    windows = new(Clock())
    add(windows, rows(-5, -25, -15, -5))

    assert counted(windows.close(every=True)) == {-30: 1, -20: 1, -10: 2}


def test_a_window_waits_for_the_allowed_lateness() -> None:
    """A window closes when the newest event is past its end by the lateness, not before."""
    clock = Clock()
    windows = new(clock)
    clock.advance(20)
    add(windows, rows(-1, 9))
    assert windows.close() == []

    add(windows, rows(10))

    assert counted(windows.close()) == {-10: 1}


def test_late_rows_are_counted_as_late_and_nowhere_else() -> None:
    """A row whose window has closed is late; the rest of its batch is counted."""
    windows = new(Clock())
    add(windows, rows(-35, -5))
    windows.close()

    assert add(windows, rows(-36, -31, -4)) == 2
    assert counted(windows.close(every=True)) == {-10: 2}


@pytest.mark.parametrize("ahead_s", [30, 59, 61, 3600, 7e9])
def test_a_sender_whose_clock_is_ahead_closes_nothing_for_others(ahead_s: float) -> None:
    """However far ahead one sender's times are, rows of the present are counted and not late."""
    windows = new(Clock())
    add(windows, rows(-5, ahead_s))
    windows.close()

    assert add(windows, rows(-4, -3)) == 0


def test_times_far_ahead_are_counted_in_the_present() -> None:
    """A time beyond what a clock may be off counts now."""
    windows = new(Clock())
    add(windows, rows(3600))

    assert counted(windows.close(every=True)) == {0: 1}


def test_idle_time_closes_windows() -> None:
    """When nothing comes any more, the clock closes what is open."""
    clock = Clock()
    windows = new(clock)
    add(windows, rows(-1))
    clock.advance(9)
    assert windows.close() == []

    clock.advance(12)

    assert counted(windows.close()) == {-10: 1}


def test_empty_windows_are_told() -> None:
    """Silence between two rows is a row of empty windows, so that detectors see it."""
    windows = new(Clock())
    add(windows, rows(-55, -5))

    closed = windows.close(every=True)

    assert [len(window.cells) > 0 for window in closed] == [True, False, False, False, False, True]
    assert all(left.end_ns == right.start_ns for left, right in itertools.pairwise(closed))


@pytest.mark.parametrize("start_ns", [0, 1, NOW - 10**17])
def test_a_time_in_the_distant_past_costs_nothing(start_ns: int) -> None:
    """A row without a time, or of another age, does not bring forth the windows of all the years between."""
    windows = new(Clock())
    ancient = rows(0)
    ancient.time_ns[:] = start_ns
    add(windows, ancient)
    add(windows, rows(-5))

    assert len(windows.close(every=True)) == 2


def test_a_sender_cannot_open_windows_without_bound() -> None:
    """Rows of more ages than may be open are late, and never those of the present."""
    windows = new(Clock())

    late = add(windows, rows(*(-10.0 * number - 5 for number in range(5000))))

    assert late == 5000 - 1024
    assert add(windows, rows(-4)) == 0
    assert len(windows.close(every=True)) == 1024


def test_cells_of_a_window_are_bounded_and_no_row_is_lost() -> None:
    """Past the bound new bins are counted as "other"."""
    windows = new(Clock(), most_cells=100)
    for number in range(500):
        add(windows, rows(-5, bins=number))

    (window,) = windows.close(every=True)
    latency = window.cells.stream(1 << 4 | Aspect.LATENCY)

    assert latency.total() == 500
    assert OTHER in latency.bins
    assert len(window.cells) <= 100 + len(FEATURES)


@given(st.integers(0, 2**32), st.lists(st.integers(0, 40), max_size=4))
def test_shards_merge_into_the_whole(seed: int, cuts: list[int]) -> None:
    """Shards added in any order and grouping are the window of all rows: cells, and the example of each key."""
    random = np.random.default_rng(seed)
    count = 40
    everything = Rows(
        keys=random.integers(-1, 4, (2, count)),
        bins=_possible(random.integers(0, 3, (len(FEATURES), count))),
        time_ns=np.full(count, NOW - 5 * SECOND),
        traces=random.integers(1, 2**63, (count, 2)).astype(np.uint64),
    )
    p = random.permutation(count) / count
    parts = np.split(random.permutation(count), sorted(cuts))
    shards = [_window(everything, p, part) for part in parts if part.size]

    left, right = shards[0], shards[-1]
    for shard in shards[1:]:
        left += shard
    for shard in reversed(shards[:-1]):
        right = shard + right

    whole = _window(everything, p, np.arange(count))
    for merged in (left, right):
        assert rows_of_cells(merged.cells) == rows_of_cells(whole.cells)
        assert [merged.example(key) for key in range(5)] == [whole.example(key) for key in range(5)]


def _window(everything: Rows, p: Floats, chosen: Ints) -> Window:
    windows = new(Clock())
    piece = Rows(
        np.ascontiguousarray(everything.keys[:, chosen]),
        np.ascontiguousarray(everything.bins[:, chosen]),
        everything.time_ns[chosen],
        everything.traces[chosen],
    )
    windows.add(piece, p[chosen])
    (window,) = windows.close(every=True)
    return window


def test_windows_of_unequal_times_do_not_merge() -> None:
    """Adding windows of different times is an error that names both."""
    one, other = Window.empty(0, 1), Window.empty(1, 2)

    with pytest.raises(ValueError, match="only equal times merge, got 0 and 1"):
        one += other


def test_the_example_is_the_most_surprising_row() -> None:
    """A key's example is the trace of its row with the smallest p-value; without one it is empty."""
    windows = new(Clock())
    windows.add(rows(-5, -5, -5), np.array([0.5, 0.01, 0.3]))

    (window,) = windows.close(every=True)

    assert window.example(1) == f"{1:016x}{1:016x}"
    assert window.example(2) == ""
