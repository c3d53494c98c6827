"""Rows kept of the last day: bounded, right on average by their weights, and the same after a restart."""

import numpy as np
import pytest

from spanward_processor.explain.recent import Recent, Stretch
from spanward_processor.features import Aspect
from spanward_processor.kernels.sampling import SAMPLED
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.sample import Sample
from spanward_processor.windows.window import Window

SEED = 20_261_126
SECOND_NS = 1_000_000_000
START_NS = 1_700_006_400 * SECOND_NS  # an hour begins
WIDTH_NS = 10 * SECOND_NS


def window(number: int, rows: dict[int, int], value: float = 1.0) -> Window:
    """Return a window with so many rows of each series, of which some are in its sample, all of one latency."""
    kept = {key: min(count, SAMPLED) for key, count in rows.items()}
    sample = Sample.of(sum(kept.values()))
    sample.keys[:] = np.repeat(list(kept), list(kept.values()))
    sample.ranks[:], sample.values[:], sample.routes[:] = np.arange(len(sample.keys)), 0, -1
    sample.measured[:] = value
    streams = np.array([key << FEATURE_BITS | Aspect.RATE for key in rows], np.int64)
    cells = Cells(streams, np.zeros(len(rows), np.int64), np.array(list(rows.values()), np.float64))
    start_ns = START_NS + number * WIDTH_NS
    nothing = np.empty(0, np.int64)
    return Window(start_ns, start_ns + WIDTH_NS, cells, nothing, np.empty(0), np.empty((0, 2), np.uint64), sample)


def recent(most_rows: int = 1 << 17) -> Recent:
    """Return an empty store."""
    print(f"seed {SEED}")
    return Recent(most_rows, np.random.default_rng(SEED))


def test_rows_stand_for_all_rows_of_their_series() -> None:
    """Over hours of windows the weights of a series sum to about the rows it had, at every age."""
    kept = recent()
    for number in range(1_200):
        kept.keep(window(number, {3: 200, 5: 4}))
    now_ns = START_NS + 1_200 * WIDTH_NS

    for key, per_window in ((3, 200), (5, 4)):
        for first_s, last_s in ((60, 0), (600, 120), (3_600, 0), (10_800, 3_600)):
            rows = kept.rows([key], now_ns - first_s * SECOND_NS, now_ns - last_s * SECOND_NS)
            assert rows.weights.sum() == pytest.approx(
                per_window * (first_s - last_s) / 10, rel=0.25
            )  # by whole stretches
    assert len(kept) < 2 * 3_700


def test_means_by_weight_are_those_of_all_rows() -> None:
    """Where quiet and busy stretches are joined, the mean by weight is that of all rows."""
    kept = recent()
    for number in range(360):
        busy = number % 60 < 6
        kept.keep(window(number, {3: 2_000 if busy else 40}, 9.0 if busy else 1.0))
    rows = kept.rows([3], START_NS, START_NS + 360 * WIDTH_NS)

    share = 6 * 2_000 / (6 * 2_000 + 54 * 40)
    assert rows.shares @ rows.span_s == pytest.approx(1.0 + 8.0 * share, rel=0.1)


def test_rows_are_bounded_however_many_series_there_are() -> None:
    """Past the limit fewer rows of each series are kept, and all series have some."""
    kept = recent(2_000)
    for number in range(400):
        kept.keep(window(number, dict.fromkeys(range(1, 41), 10)))
        assert len(kept) <= 2_000

    assert kept.series().tolist() == list(range(1, 41))


def test_old_rows_are_forgotten() -> None:
    """A series that was last seen 27 hours ago has no rows."""
    kept = recent()
    kept.keep(window(0, {3: 10}))
    kept.keep(window(27 * 360, {5: 10}))

    assert kept.series().tolist() == [5]


def test_a_clock_that_was_set_back_begins_anew() -> None:
    """What lies ahead of the newest window never was, and does not pile up."""
    kept = recent()
    for number in (1_000, 1_001, 5, 6):
        kept.keep(window(number, {number: 10}))

    assert kept.series().tolist() == [5, 6]


def test_what_is_kept_outlives_a_restart() -> None:
    """Arrays that are given back hold the same rows."""
    kept, again = recent(), recent()
    for number in range(100):
        kept.keep(window(number, {3: 50, 5: 2}))
    again.restore(kept.arrays())

    for one in (kept, again):
        assert len(one.rows([3, 5], 0, START_NS * 2)) == len(kept)
    np.testing.assert_array_equal(again.rows([3], 0, START_NS * 2).weights, kept.rows([3], 0, START_NS * 2).weights)


def test_a_window_without_rows_is_no_stretch() -> None:
    """Silence takes no room."""
    kept = recent()
    kept.keep(Window.empty(START_NS, START_NS + WIDTH_NS))

    assert (len(kept), kept.ends_ns) == (0, (0, 0))
    assert len(Stretch.of(Window.empty(START_NS, START_NS + WIDTH_NS))) == 0
