"""When a budget burns too fast: held beside exact arithmetic."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from spanward_processor.slo.burning import SIGNIFICANT_P, binomial_tail, standing_of
from spanward_processor.slo.calendar import calendar_of
from spanward_processor.slo.ledger import SECOND_NS, Ledger
from spanward_processor.slo.objective import DAY_S, HOUR_S, Burn, Objective, Op, Selector, Severity, Source

NOW_S = 1_800_000_000
BINOMIAL: Any = binom  # which has no types


def objective(target: float = 0.999) -> Objective:
    """Return an objective about errors with the default rules."""
    return Objective("o", Selector("s"), Source.ERROR, Op.LTE, 0.0, target)


def ledger_of(*parts: tuple[float, int, int]) -> Ledger:
    """Return what counted rows at times before now: seconds ago, rows, bad rows."""
    ledger = Ledger(["o"])
    for ago_s, rows, bad in parts:
        times = np.full(rows, int((NOW_S - ago_s) * SECOND_NS))
        ledger.add(times, np.ones(rows, np.uint64), (np.arange(rows) < bad).astype(np.uint64))
    return ledger


def burning(ledger: Ledger, target: float = 0.999) -> list[tuple[Severity, float]]:
    """Return the rules that hold now."""
    standing = standing_of(objective(target), 0, ledger, NOW_S * SECOND_NS)
    return [(burn.severity, burn.factor) for burn, _, _ in standing.burning]


def exact_tail(rows: int, bad: int, share: Fraction) -> Fraction:
    """Return the probability of so many bad rows or more, summed term by term."""
    return sum(
        (math.comb(rows, count) * share**count * (1 - share) ** (rows - count) for count in range(bad, rows + 1)),
        Fraction(),
    )


@given(st.integers(1, 120), st.integers(1, 32), st.data())
def test_the_binomial_tail_equals_its_twin(rows: int, share: int, data: st.DataObject) -> None:
    """The probability of so many bad rows is that of exact fractions."""
    bad = data.draw(st.integers(1, rows))
    exact = float(exact_tail(rows, bad, Fraction(share, 64)))
    assert binomial_tail(rows, bad, share / 64) == pytest.approx(exact, rel=1e-9, abs=1e-290)


@given(st.integers(1, 5000), st.floats(1e-5, 0.5), st.data())
def test_the_binomial_tail_of_many_rows_is_scipys(rows: int, share: float, data: st.DataObject) -> None:
    """Down to what anybody asks for: at 1e-280 it is scipy that is wrong in the seventh digit."""
    bad = data.draw(st.integers(1, rows))
    theirs = float(BINOMIAL.sf(bad - 1, rows, share))
    assert binomial_tail(rows, bad, share) == pytest.approx(theirs, rel=1e-6, abs=1e-100)


def test_both_windows_must_burn() -> None:
    """An hour that burns is an alert while its last five minutes burn too, and no more once they are well."""
    still = ledger_of((1800, 1000, 40), (60, 1000, 40))
    over = ledger_of((1800, 1000, 80), (60, 1000, 0))
    assert (Severity.PAGE, 14.4) in burning(still)
    assert (Severity.PAGE, 14.4) not in burning(over)


def test_a_slow_burn_is_a_ticket() -> None:
    """A pace of four lasts a day before somebody is told, and nobody is woken."""
    day = [(hour * HOUR_S + 60, 2000, 8) for hour in range(24)]
    assert [severity for severity, _ in burning(ledger_of(*day))] == [Severity.TICKET, Severity.TICKET]


def test_one_bad_request_of_few_wakes_nobody() -> None:
    """Of 36 requests an hour one bad one is 280 times the pace of 99.99 %, and is no alert; several are."""
    assert burning(ledger_of((60, 36, 1)), target=0.9999) == []
    assert burning(ledger_of((60, 36, 3)), target=0.9999)[0] == (Severity.PAGE, 14.4)


def test_an_objective_without_requests_stands_well() -> None:
    """Nothing happened: the whole budget is left, nothing burns, and no end is in sight."""
    standing = standing_of(objective(), 0, Ledger(["o"]), NOW_S * SECOND_NS)
    assert (standing.burning, standing.budget_left, standing.exhausted_in_s) == ((), 1.0, None)


def test_budget_and_its_end_follow_from_what_was_counted() -> None:
    """Half of what 30 days allow was used; at twice the pace in the last hour the rest lasts a quarter of the period."""
    ledger = ledger_of((10 * DAY_S, 99_000, 48), (60, 1000, 2))
    standing = standing_of(objective(), 0, ledger, NOW_S * SECOND_NS)
    assert standing.budget_left == pytest.approx(0.5)
    assert standing.exhausted_in_s == pytest.approx(0.5 * 30 * DAY_S / 2)


def test_a_new_month_begins_with_nothing() -> None:
    """Rows of the month before count no more; what burns faster than its rows allow is gone at a time that is told."""
    calendar = calendar_of("1M", datetime.fromtimestamp(NOW_S - 36_000, UTC).replace(tzinfo=None), "UTC")
    monthly = replace(objective(), calendar=calendar)
    calm, fast = (
        standing_of(
            monthly, 0, ledger_of((20 * DAY_S, 1000, 900), (18_000, 90_000, 0), (60, 10_000, bad)), NOW_S * SECOND_NS
        )
        for bad in (5, 20)
    )

    assert (calm.period.rows, calm.period.bad) == (100_000, 5)
    assert calm.budget_left == pytest.approx(0.95)
    assert calm.exhausted_in_s is None  # half the pace: it lasts to the end of the month
    assert fast.exhausted_in_s == pytest.approx(0.8 * 36_000 / (2 - 1))


def test_a_calendar_month_lasts_to_its_end_at_most() -> None:
    """What would be gone after the month has ended lasts."""
    began = datetime.fromtimestamp(NOW_S - 27 * DAY_S, UTC).replace(tzinfo=None)
    monthly = replace(objective(), calendar=calendar_of("4w", began, "UTC"))
    standing = standing_of(monthly, 0, ledger_of((20 * DAY_S, 90_000, 0), (60, 10_000, 20)), NOW_S * SECOND_NS)

    assert (standing.ends_in_s, standing.exhausted_in_s) == (DAY_S, None)


def test_a_share_of_the_budget_is_a_pace() -> None:
    """2 % of a month in an hour is the rule of the Workbook: 14.4 times the pace."""
    assert Burn.of_budget(Severity.PAGE, 0.02, HOUR_S, 30 * DAY_S) == Burn(Severity.PAGE, 14.4, HOUR_S, 300.0)


def test_the_guard_asks_nothing_of_many_requests() -> None:
    """Where the rule's own number of bad rows is large, reaching it is already beyond chance."""
    rows, target = 360_000, 0.9999
    needed = int(14.4 * 1e-4 * rows) + 1
    assert binomial_tail(rows, needed, 1 - target) < SIGNIFICANT_P / 1000
