"""Budgets and canaries as the page is given them."""

from dataclasses import replace
from datetime import datetime

from spanward_processor.canary.telling import ROLL_BACK, finding_of
from spanward_processor.findings import State
from spanward_processor.live.panels import budget_view, canary_view
from spanward_processor.slo.burning import Counted
from spanward_processor.slo.burning import Standing as Budget
from spanward_processor.slo.calendar import calendar_of
from spanward_processor.slo.objective import Objective, Op, Selector, Source
from spanward_processor.slo.watch import DETECTOR
from verdicts import VERDICT

OBJECTIVE = Objective("answered", Selector("support"), Source.ERROR, Op.LTE, 0.0, 0.99)
BUDGET = Budget(
    OBJECTIVE,
    period=Counted(OBJECTIVE.period_s, 1000, 5),
    ends_in_s=None,
    hour=Counted(3600.0, 100, 2),
    windows=(Counted(300.0, 10, 1), Counted(3600.0, 100, 2)),
    burning=(),
)


def test_a_budget_is_shown_with_what_each_window_burns() -> None:
    """Half of one percent of one: half is left; a window that is only the short one of others has no pace of its own."""
    view = budget_view(BUDGET, ())

    assert (round(view.left, 6), view.rows, view.bad, view.severity) == (0.5, 1000, 5, "")
    assert [(burn.window_s, round(burn.rate, 6), burn.due) for burn in view.burns] == [
        (300.0, 10.0, None),
        (3600.0, 2.0, 14.4),
    ]
    assert view.exhausted_in_s is not None
    assert round(view.exhausted_in_s) == round(0.5 * OBJECTIVE.period_s / 2)


def test_a_budget_of_the_calendar_says_which() -> None:
    """What lasts to the end of the month has a time until that, and none until it is gone."""
    monthly = replace(OBJECTIVE, calendar=calendar_of("1M", datetime.fromisoformat("2026-01-01"), "UTC"))
    standing = replace(BUDGET, objective=monthly, period=Counted(86_400.0, 1000, 5), ends_in_s=600.0)
    view = budget_view(standing, ())

    assert (view.period, view.ends_in_s, view.exhausted_in_s) == ("a calendar month", 600.0, None)
    assert budget_view(BUDGET, ()).period == "30 d"


def test_a_budget_bears_the_severity_of_its_open_alert() -> None:
    """A resolved one, or one of another objective, is none."""
    alert = replace(finding_of(VERDICT, State.OPENED, aspect="answered"), detector=DETECTOR)

    assert budget_view(BUDGET, (alert,)).severity == "critical"
    assert budget_view(BUDGET, (replace(alert, state=State.RESOLVED), replace(alert, aspect="other"))).severity == ""


def test_a_canary_is_shown_with_its_share_and_what_was_done() -> None:
    """What was done about another version is not."""
    done = finding_of(VERDICT, State.RESOLVED, aspect=ROLL_BACK, reason="flag set")
    failed = finding_of(VERDICT, State.OPENED, aspect=ROLL_BACK, reason="no answer")
    other = replace(done, series=VERDICT.stable)

    view = canary_view(VERDICT, (done, failed, other))

    assert (view.share, view.decision, view.guards[0].effect) == (0.1, "roll_back", "x2")
    assert view.actions == ((9, True, "flag set"), (9, False, "no answer"))
