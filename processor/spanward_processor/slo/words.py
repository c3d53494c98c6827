"""What is said of a burning budget."""

from typing import Final

from spanward_processor.features import show_count, show_seconds, show_share
from spanward_processor.lengths import show_length
from spanward_processor.slo.burning import Counted, Standing
from spanward_processor.slo.objective import Burn, Objective, Op, Source

_OPS: Final = {Op.LTE: "at most", Op.LT: "below", Op.GTE: "at least", Op.GT: "above"}
_NOUNS: Final = {
    Source.LATENCY: "latency",
    Source.INPUT_TOKENS: "input tokens",
    Source.OUTPUT_TOKENS: "output tokens",
    Source.INPUT_SIZE: "input size",
    Source.SPARSITY: "sparsity",
    Source.SCORE: "score",
}


def show_goal(objective: Objective) -> str:
    """Return what is asked of a row, and of how many rows."""
    share = f"{100 * objective.target:.6g} %"
    if objective.source is Source.ERROR:
        return f"{share} without error"
    limit = show_seconds(objective.limit) if objective.source is Source.LATENCY else f"{objective.limit:g}"
    return f"{share} with {_NOUNS[objective.source]} {_OPS[objective.op]} {limit}"


def show_period(objective: Objective) -> str:
    """Return the period of the budget."""
    return str(objective.calendar) if objective.calendar else show_length(objective.period_s)


def show_bad(counted: Counted) -> str:
    """Return the bad rows of a window."""
    return f"{show_count(counted.bad)} of {show_count(counted.rows)} ({show_share(counted.ratio)})"


def reason_of(standing: Standing, burn: Burn, long: Counted) -> str:
    """Return the sentence for a person."""
    objective, left = standing.objective, standing.budget_left
    pace = standing.burn_rate(long)
    spent = pace * long.window_s / objective.period_s
    remains = f"{show_share(left)} of it is left" if left > 0 else "nothing of it is left"
    ends = standing.exhausted_in_s
    until = (
        f", at the pace of the last hour for {show_length(round(ends / 60) * 60 or 60)}" if ends and left > 0 else ""
    )
    return (
        f"Objective {objective.name} of {objective.selector} ({show_goal(objective)}): in the last {show_length(long.window_s)} "
        f"{show_bad(long)} were bad, {pace:.3g} times what its budget allows; an alert is due at {burn.factor:.3g}. That is "
        f"{show_share(spent)} of the budget of {show_period(objective)}; {remains}{until}."
    )
