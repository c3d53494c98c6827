"""Budgets and canaries as the page shows them."""

from collections.abc import Sequence

from spanward_processor.canary.telling import DETECTOR as CANARY
from spanward_processor.canary.telling import ROLL_BACK
from spanward_processor.canary.verdict import Verdict
from spanward_processor.findings import Finding, State
from spanward_processor.live.view import BudgetView, BurnView, CanaryView, GuardView
from spanward_processor.slo.burning import Standing
from spanward_processor.slo.watch import DETECTOR as SLO
from spanward_processor.slo.words import show_goal, show_period


def budget_view(standing: Standing, findings: Sequence[Finding]) -> BudgetView:
    """Return how an objective stands.

    Args:
        standing: How it stood when it was last judged.
        findings: All findings.
    """
    objective = standing.objective
    due = {burn.long_s: burn.factor for burn in objective.burns}
    alert = next(
        (
            one
            for one in findings
            if one.detector == SLO and one.aspect == objective.name and one.state is not State.RESOLVED
        ),
        None,
    )
    return BudgetView(
        name=objective.name,
        of=str(objective.selector),
        asks=show_goal(objective),
        period=show_period(objective),
        ends_in_s=standing.ends_in_s,
        period_s=objective.period_s,
        left=standing.budget_left,
        rows=standing.period.rows,
        bad=standing.period.bad,
        exhausted_in_s=standing.exhausted_in_s,
        burns=tuple(BurnView(one.window_s, standing.burn_rate(one), due.get(one.window_s)) for one in standing.windows),
        severity=alert.severity.value if alert else "",
    )


def canary_view(verdict: Verdict, findings: Sequence[Finding]) -> CanaryView:
    """Return how a canary stands.

    Args:
        verdict: What is known of it.
        findings: All findings: those about its roll-back tell what was done.
    """
    acted = [
        one for one in findings if one.detector == CANARY and one.aspect == ROLL_BACK and one.series == verdict.canary
    ]
    return CanaryView(
        stable=verdict.stable,
        canary=verdict.canary,
        decision=verdict.decision.value,
        reason=verdict.reason,
        share=verdict.requests[1] / max(sum(verdict.requests), 1),
        requests=verdict.requests,
        began_ns=verdict.began_ns,
        decided_ns=verdict.decided_ns,
        guards=tuple(
            GuardView(one.guard, one.what, one.stable, one.canary, one.interval, one.safe) for one in verdict.standings
        ),
        actions=tuple((one.updated_ns, one.state is State.RESOLVED, one.reason) for one in acted),
    )
