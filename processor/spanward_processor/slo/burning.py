"""How fast a budget burns, and when that is an alert."""

from dataclasses import dataclass
from typing import Final

from spanward_processor.kernels.tails import f_tail
from spanward_processor.slo.ledger import LONGEST_S, SECOND_NS, Ledger
from spanward_processor.slo.objective import HOUR_S, Burn, Objective, Severity

SIGNIFICANT_P: Final = 1e-3
"""Largest probability, for a service that keeps to its budget, of the bad rows that open an alert."""

_SLOW: Final = 3.0  # a rule below this factor asks whether the budget burns at a third of its own pace


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of one objective in one window.

    Args:
        window_s: Length of the window, seconds.
        rows: Rows that count.
        bad: Bad ones among them.
    """

    window_s: float
    rows: int
    bad: int

    @property
    def ratio(self) -> float:
        """Share of bad rows; 0 without any row."""
        return self.bad / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How an objective stands.

    Args:
        objective: The objective.
        period: Rows in its period so far.
        ends_in_s: Time until its period ends, seconds; None for a rolling one.
        hour: Rows in the last hour.
        windows: Rows in each window of its rules, shortest first.
        burning: The rules whose alert holds, most urgent first, each with its long window and the probability of as many
            bad rows by chance.
    """

    objective: Objective
    period: Counted
    ends_in_s: float | None
    hour: Counted
    windows: tuple[Counted, ...]
    burning: tuple[tuple[Burn, Counted, float], ...]

    @property
    def budget_left(self) -> float:
        """Share of the budget that is left, of what the rows of the period so far allow; negative once it is overdrawn."""
        return 1.0 - self.burn_rate(self.period)

    @property
    def exhausted_in_s(self) -> float | None:
        """Seconds until nothing is left at the pace of the last hour; None while that pace uses nothing up.

        A period of the calendar begins with nothing, and what it allows grows with its rows: only what burns faster than that
        uses it up, and None is also said where it lasts to the period's end.
        """
        pace, left = self.burn_rate(self.hour), max(0.0, self.budget_left)
        if self.ends_in_s is None:
            return left * self.objective.period_s / pace if pace > 0.0 else None
        if left <= 0.0:
            return 0.0
        lasts_s = left * self.period.window_s / (pace - 1.0) if pace > 1.0 else self.ends_in_s
        return lasts_s if lasts_s < self.ends_in_s else None

    def burn_rate(self, counted: Counted) -> float:
        """Return the pace in a window; at 1 the budget lasts exactly its period."""
        return counted.ratio / self.objective.budget


def standing_of(objective: Objective, index: int, ledger: Ledger, now_ns: int) -> Standing:
    """Return how an objective stands.

    Args:
        objective: The objective.
        index: Its place in the ledger.
        ledger: What was counted.
        now_ns: Unix nanoseconds at which all windows end.
    """

    def counted(window_s: float) -> Counted:
        return Counted(window_s, *ledger.window(index, now_ns, window_s))

    lengths = sorted({length for burn in objective.burns for length in (burn.long_s, burn.short_s)})
    windows = {length: counted(length) for length in lengths}
    burning = [
        (burn, windows[burn.long_s], p)
        for burn in objective.burns
        if (p := _chance(objective, burn, windows[burn.long_s], windows[burn.short_s])) <= SIGNIFICANT_P
    ]
    burning.sort(key=lambda one: (one[0].severity is not Severity.PAGE, -one[0].factor))
    period_s, ends_in_s = objective.period_s, None
    if objective.calendar:
        begin_ns, end_ns = objective.calendar.period_ns(now_ns)
        period_s, ends_in_s = (now_ns - begin_ns) / SECOND_NS, (end_ns - now_ns) / SECOND_NS
    period = counted(min(period_s, LONGEST_S))
    return Standing(objective, period, ends_in_s, counted(HOUR_S), tuple(windows.values()), tuple(burning))


def _chance(objective: Objective, burn: Burn, long: Counted, short: Counted) -> float:
    """Return the probability of so many bad rows by chance where a rule holds, 1 where it does not.

    Few rows burn fast by a single bad one: of 36 an hour each is 280 times what 99.99 % allow. So a rule holds only where as
    many bad rows would be rare for a service that keeps to its budget; for a rule that is itself about burning hardly faster
    than that, for one that burns at a third of its pace. Where rows are many this asks for nothing more.
    """
    needed = burn.factor * objective.budget
    if not long.bad or long.ratio < needed or short.ratio < needed:
        return 1.0
    return binomial_tail(long.rows, long.bad, objective.budget * min(1.0, burn.factor / _SLOW))


def binomial_tail(rows: int, bad: int, share: float) -> float:
    """Return the probability of at least so many bad rows.

    Args:
        rows: Rows in all.
        bad: At least 1, at most `rows`.
        share: Share of bad rows, above 0 and below 1.

    Source:
        NIST Digital Library of Mathematical Functions, equation 8.17.5, by the F distribution.
    """
    within, between = 2.0 * bad, 2.0 * (rows - bad + 1)
    return f_tail(between, within, within * (1.0 - share) / (share * between))
