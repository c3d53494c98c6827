"""DORA's five metrics of every subject.

Source: DORA, "DORA's software delivery performance metrics", https://dora.dev/guides/dora-metrics/: change lead time, deployment
frequency, failed deployment recovery time, change fail rate, deployment rework rate.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from spanward_processor.dora.deployment import Deployment
from spanward_processor.dora.deployments import Deployments
from spanward_processor.dora.subjects import Subject

DAY_S: Final = 86_400.0
MONTH_S: Final = 30 * DAY_S
"""Time of which the metrics and the page tell."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one subject's deployments.

    Args:
        subject: Of what.
        version: The version in charge; empty while none is known to be.
        observed_s: Time that was looked at, seconds.
        deployments: How many there were.
        per_day: Deployment frequency: how many a day.
        failed: How many have failed.
        change_fail_rate: Their share; None without deployments.
        recovery_s: Failed deployment recovery time: median of those that are over, seconds; None without any.
        unrecovered: Failures that last.
        rework: Deployments taken for repairs, an estimate.
        rework_rate: Their share; None without deployments.
        lead_s: Change lead time: median of those whose commit is known, seconds; None without any.
        leads: How many these are.
    """

    subject: Subject
    version: str
    observed_s: float
    deployments: int
    per_day: float
    failed: int
    change_fail_rate: float | None
    recovery_s: float | None
    unrecovered: int
    rework: int
    rework_rate: float | None
    lead_s: float | None
    leads: int


def measure(deployments: Deployments, since_s: float = MONTH_S) -> tuple[tuple[Measured, ...], tuple[Deployment, ...]]:
    """Return what is known of every subject, and its deployments, newest first.

    Args:
        deployments: All deployments.
        since_s: How far back, seconds of event time.
    """
    until_ns, lines = deployments.until_ns, deployments.lines()
    from_ns = until_ns - int(since_s * 1e9)
    chosen = deployments.since(from_ns)
    by_subject: dict[Subject, list[Deployment]] = {}
    for one in chosen:
        by_subject.setdefault(one.subject, []).append(one)
    measured = [
        _measured(subject, version, (until_ns - max(first_ns, from_ns)) / 1e9, by_subject.get(subject, ()))
        for subject, version, first_ns in sorted(lines)
        if version
    ]
    return tuple(measured), tuple(sorted(chosen, key=lambda one: -one.at_ns))


def _measured(subject: Subject, version: str, observed_s: float, deployments: Sequence[Deployment]) -> Measured:
    count = len(deployments)
    failed = [one for one in deployments if one.failed_ns]
    rework = sum(one.rework for one in deployments)
    leads = [one.lead_ns for one in deployments]
    return Measured(
        subject=subject,
        version=version,
        observed_s=observed_s,
        deployments=count,
        per_day=count * DAY_S / max(observed_s, DAY_S),
        failed=len(failed),
        change_fail_rate=len(failed) / count if count else None,
        recovery_s=_middle(one.recovery_ns for one in failed),
        unrecovered=sum(not one.recovered_ns for one in failed),
        rework=rework,
        rework_rate=rework / count if count else None,
        lead_s=_middle(leads),
        leads=sum(lead is not None for lead in leads),
    )


def _middle(times_ns: Iterable[int | None]) -> float | None:
    """Return the median of what is known, seconds."""
    known = [time_ns for time_ns in times_ns if time_ns is not None]
    return median(known) / 1e9 if known else None
