"""Decisions that go with a slice, and no longer do."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.association import Association
from spanward_processor.detectors.base import Account
from spanward_processor.features import Aspect, Rows
from spanward_processor.kernels.jit import Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.testing.traffic import CHANNELS, QUIET, Behaviour, Traffic
from spanward_processor.usual.crosstables import MOST_TABLES, SIDE, WATCHED, CrossTables, raked

SEED = 20_261_126
SERIES = 1
WARM_UP = 60
Change = Callable[[Rows, Ints], Rows]


def told(change: Change | None = None, behaviour: Behaviour = QUIET, windows: int = 5) -> list[tuple[float, Account]]:
    """Let quiet traffic be learned, then let it change; return p-value and account of what was judged since.

    Args:
        change: Changes the rows of a window, given the channel of each.
        behaviour: How the world behaves then.
        windows: How many follow.
    """
    print(f"seed {SEED}")
    traffic, detector = Traffic(SEED, window_s=10.0), Association(Learning(), 0.998)
    found: list[tuple[float, Account]] = []
    for number in range(WARM_UP + windows):
        rows = traffic.rows(QUIET if number < WARM_UP else behaviour)
        if change and number >= WARM_UP:
            rows = change(rows, rows.keys[1])
        window = traffic.count(rows)
        surprise = detector.test(window, traffic.directory)
        if number >= WARM_UP and surprise.p.size:
            account = detector.explain(int(surprise.streams[0]), window, traffic.directory, traffic.text)
            found.append((float(surprise.p[0]), account))
        detector.learn(window, np.zeros(0, bool))
    return found


def test_a_channel_whose_decisions_change_is_told() -> None:
    """Half of one decision of one channel turns into another: channel and decision are named, with what would fit."""
    p, account = min(told(behaviour=replace(QUIET, flipped=0.5)), key=lambda one: one[0])

    assert p < 1e-4
    assert account.aspect == "decision"
    assert "no longer go with spanward.channel as they did" in account.reason
    assert account.observed.endswith(f"with '{CHANNELS[-1]}'")
    assert account.observed.startswith("'delivery' ")


def test_two_channels_that_trade_places_are_told_although_the_mix_stays() -> None:
    """Every decision stays as frequent as ever; only which channel makes it changes."""

    def trade(rows: Rows, channels: Ints) -> Rows:
        first, second = (np.flatnonzero(channels == channel) for channel in np.unique(channels)[:2])
        bins = rows.bins.copy()
        billing, others = (rows.bins[Aspect.DECISION] == np.unique(rows.bins[Aspect.DECISION])[0]).nonzero()[0], second
        mine = np.intersect1d(first, billing)
        theirs = np.setdiff1d(others, billing)[: mine.size]
        mine = mine[: theirs.size]
        bins[Aspect.DECISION, mine], bins[Aspect.DECISION, theirs] = (
            rows.bins[Aspect.DECISION, theirs],
            rows.bins[Aspect.DECISION, mine],
        )
        return replace(rows, bins=bins)

    assert min(p for p, _ in told(trade)) < 1e-6


def test_a_decision_that_all_make_more_often_is_no_break() -> None:
    """All channels change alike: decisions go with channels as before."""

    def alike(rows: Rows, channels: Ints) -> Rows:
        del channels
        bins = rows.bins.copy()
        decisions = np.unique(bins[Aspect.DECISION])
        chosen = (bins[Aspect.DECISION] == decisions[0]) & (np.arange(len(rows)) % 2 == 0)
        bins[Aspect.DECISION, chosen] = decisions[1]
        return replace(rows, bins=bins)

    assert min(p for p, _ in told(alike)) > 0.001


def test_a_channel_that_sends_more_is_no_break() -> None:
    """Half of the rows of the other channels are missing: nobody decides otherwise."""

    def fewer(rows: Rows, channels: Ints) -> Rows:
        kept = (channels == channels.min()) | (np.arange(len(rows)) % 2 == 0)
        return Rows(
            np.ascontiguousarray(rows.keys[:, kept]),
            np.ascontiguousarray(rows.bins[:, kept]),
            rows.time_ns[kept],
            rows.traces[kept],
        )

    assert min(p for p, _ in told(fewer)) > 0.001


def test_tables_count_every_row_once() -> None:
    """What no line holds is counted with all others, so a table's sum is that of its series."""
    traffic, tables = Traffic(SEED, window_s=10.0), CrossTables()
    tables.count(next(traffic.windows(QUIET, 1)).cells, traffic.directory)
    window = next(traffic.windows(QUIET, 1))

    counted = tables.count(window.cells, traffic.directory)

    assert counted.shape == (1, SIDE, SIDE)
    assert counted.sum() == window.cells.stream(SERIES << FEATURE_BITS | Aspect.DECISION).total()
    assert counted[0, WATCHED].sum() == 0
    assert (counted[0, : len(CHANNELS)].sum(axis=1) > 0).all()


def test_a_slice_that_comes_later_is_one_of_the_others() -> None:
    """A table's lines are chosen once; who is new joins it, in no line of its own, and begins no second table."""
    traffic, tables = Traffic(SEED, window_s=10.0), CrossTables()
    window = next(traffic.windows(QUIET, 1))
    late = int(np.flatnonzero(traffic.directory.parents() == SERIES)[-1])
    early = window.cells.where(window.cells.keys != late)
    tables.count(early, traffic.directory)

    counted = tables.count(window.cells, traffic.directory)

    assert len(tables) == 1
    assert late not in tables.slices
    assert counted[0, WATCHED].sum() == window.cells.stream(late << FEATURE_BITS | Aspect.DECISION).total() > 0


def test_tables_are_bounded() -> None:
    """However many series come, there are so many tables and no more."""
    traffic, tables = Traffic(SEED, window_s=10.0), CrossTables()
    window = next(traffic.windows(QUIET, 1))
    full = {name: np.full((MOST_TABLES, *array.shape[1:]), -1) for name, array in tables.arrays().items()}
    tables.restore(full | {name: np.zeros(0, np.int32) for name in ("tables", "lines")})

    tables.count(window.cells, traffic.directory)

    assert len(tables) == MOST_TABLES


def test_raking_keeps_what_goes_together() -> None:
    """Given new sums of lines and columns, the odds ratio is that of before."""
    usual = np.array([[[30.0, 10.0], [5.0, 20.0]]])
    now = np.array([[[50.0, 50.0], [200.0, 100.0]]])

    expected = raked(usual, now, rounds=200)[0]

    np.testing.assert_allclose(expected.sum(axis=1), [100.0, 300.0], rtol=1e-6)
    np.testing.assert_allclose(expected.sum(axis=0), [250.0, 150.0], rtol=1e-6)
    odds = expected[0, 0] * expected[1, 1] / (expected[0, 1] * expected[1, 0])
    assert np.isclose(odds, 12.0)


def test_a_table_under_alarm_goes_on_being_judged_by_new_rows() -> None:
    """Held, with too few rows in a window, it waits for more as before; rows that were judged are not judged again."""
    print(f"seed {SEED}")
    traffic, detector = Traffic(SEED, window_s=10.0), Association(Learning(), 0.998)
    few = replace(QUIET, rate_per_s=16.0)
    held = np.zeros(len(traffic.directory) << FEATURE_BITS, bool)
    held[SERIES << FEATURE_BITS | Aspect.DECISION] = True
    judged: list[int] = []
    for number in range(WARM_UP + 30):
        window = traffic.count(traffic.rows(few))
        if detector.test(window, traffic.directory).p.size and number >= WARM_UP:
            judged.append(number)
        detector.learn(window, held if number >= WARM_UP else np.zeros(0, bool))

    assert 8 <= len(judged) <= 11
    assert min(np.diff(judged)) >= 2
