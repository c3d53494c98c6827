"""Findings about quiet traffic whose values swing far over the day: told at first, then known.

The applications are those of `false_alarms`, with inputs that swing by 30 %, durations that follow the load by as much, so that latency
doubles from night to noon, and decisions of which night and day differ by a third. Nobody can know a day before it is over, so what
is found on the first two is told and not judged.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from spanward_processor.configuration.config import DetectionConfig
from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_most, number
from spanward_processor.evaluate.evaluations.false_alarms import SHORT_DAYS, TOLERATED, false_findings, told
from spanward_processor.evaluate.intervals import over_seeds
from spanward_processor.findings import Finding
from spanward_processor.testing.worlds import DAY_S, SECOND_NS, START_NS

DAYS: Final = 5.0
LEARNED: Final = 2.0
"""Days after which a daily swing is to be known: what is a matter of quality or security must come back twice."""

SWING: Final = 0.3


def later(findings: Sequence[Finding]) -> int:
    """Return how many findings opened once a swing is to be known."""
    return sum(finding.opened_ns >= START_NS + LEARNED * DAY_S * SECOND_NS for finding in findings)


def measure(effort: Effort) -> Iterator[Line]:
    """Count false findings on the first two days and after them; see `Evaluation`."""
    days, budget = effort.days or (SHORT_DAYS if effort.short else DAYS), DetectionConfig().false_alarms_per_day
    first: list[float] = []
    per_day: list[float] = []
    for seed in effort.seeds:
        findings = false_findings(seed, days, effort.data, SWING)
        first.append(float(len(findings) - later(findings)))
        per_day.append(later(findings) / max(days - LEARNED, 1e-9))
        yield Line(f"seed {seed}, {days:g} simulated days", f"{len(findings)} false findings")
        for finding in findings:
            yield told(finding)
    seeds = f"each of {len(effort.seeds)} seeds"
    yield Line(f"false findings of the first {min(days, LEARNED):g} days, {seeds}", over_seeds(first).shown(number))
    if days > LEARNED:
        what = f"false findings per day, the {days - LEARNED:g} days after them, {seeds}"
        yield at_most(what, over_seeds(per_day), TOLERATED * budget, number)


EVALUATION: Final = Evaluation(
    name="daily_swings",
    shows="How many findings a day about traffic whose inputs, durations and decisions swing far with the hour, once that is known.",
    measure=measure,
    first_seed=720,
)
