"""Counts by event time, and what is kept of them."""

import numpy as np

from spanward_processor.slo.ledger import SECOND_NS, Ledger

NOW_S = 1_800_000_000
HOUR_S = 3600


def add(ledger: Ledger, *rows: tuple[int, bool]) -> None:
    """Count rows of the first objective: seconds before now, and whether bad."""
    times = np.array([(NOW_S - ago_s) * SECOND_NS for ago_s, _ in rows])
    ledger.add(times, np.ones(len(rows), np.uint64), np.array([bad for _, bad in rows], np.uint64))


def test_a_window_holds_what_happened_in_it() -> None:
    """Rows count in the windows that reach back to them, finely for hours and coarsely for months."""
    ledger = Ledger(["o"])
    add(ledger, (1, True), (250, False), (HOUR_S - 10, False), (26 * HOUR_S, True), (29 * 24 * HOUR_S, False))

    windows = (300, HOUR_S, 2 * 24 * HOUR_S, 30 * 24 * HOUR_S)
    assert [ledger.window(0, NOW_S * SECOND_NS, one) for one in windows] == [(2, 1), (3, 1), (4, 2), (5, 2)]


def test_a_late_row_corrects_what_was_counted() -> None:
    """A row that comes an hour late is counted an hour ago."""
    ledger = Ledger(["o"])
    add(ledger, (1, False))
    add(ledger, (HOUR_S + 60, True))

    assert ledger.window(0, NOW_S * SECOND_NS, HOUR_S) == (1, 0)
    assert ledger.window(0, NOW_S * SECOND_NS, 2 * HOUR_S) == (2, 1)


def test_what_has_gone_out_of_a_window_is_forgotten() -> None:
    """An hour later nothing of the last hour is left, a month later nothing at all."""
    ledger = Ledger(["o"])
    add(ledger, (0, True))

    assert ledger.window(0, (NOW_S + HOUR_S + 5) * SECOND_NS, HOUR_S) == (0, 0)
    assert ledger.window(0, (NOW_S + 31 * 24 * HOUR_S) * SECOND_NS, 30 * 24 * HOUR_S) == (0, 0)


def test_counts_are_given_back_by_name() -> None:
    """After a restart with other objectives each that is still there has its counts, in whatever place; a new one has none."""
    before, after = Ledger(["gone", "kept"]), Ledger(["kept", "new"])
    times = np.array([NOW_S * SECOND_NS])
    before.add(times, np.array([3], np.uint64), np.array([2], np.uint64))
    after.restore(before.arrays())

    assert [after.window(place, NOW_S * SECOND_NS, HOUR_S) for place in (0, 1)] == [(1, 1), (0, 0)]


def test_an_objective_takes_a_bounded_memory() -> None:
    """Three months of counts of one objective are less than 150 kB."""
    assert sum(array.nbytes for array in Ledger(["o"]).arrays().values()) < 150_000 + 80_000  # the times are shared
