"""A verdict as a finding."""

import hashlib
from typing import Final

from spanward_processor.canary.verdict import Verdict
from spanward_processor.findings import Finding, Severity, State

DETECTOR: Final = "canary"
ROLL_BACK: Final = "roll_back"
"""Aspect of the finding that tells what was done about a canary."""

_KINDS: Final = {
    "latency": "performance",
    "tail": "performance",
    "errors": "operational",
    "score": "quality",
    "decision": "quality",
    "input_tokens": "performance",
    "output_tokens": "performance",
}
_LARGEST_LOG10: Final = 300.0


def finding_of(
    verdict: Verdict, state: State, *, aspect: str = "", reason: str = "", severity: Severity = Severity.CRITICAL
) -> Finding:
    """Return what is told of a verdict.

    Args:
        verdict: The verdict.
        state: Where the finding stands.
        aspect: What it is about; by default the guard that speaks most against the canary.
        reason: The sentence for a person; by default the verdict's.
        severity: How soon a person should look.
    """
    worst = verdict.standings[0] if verdict.standings else None
    aspect = aspect or (worst.guard if worst else "version")
    opened_ns = verdict.decided_ns or verdict.at_ns
    return Finding(
        id=_id(verdict, aspect, opened_ns),
        kind=_KINDS.get(aspect, "operational"),
        state=state,
        severity=severity,
        series=verdict.canary,
        detector=DETECTOR,
        aspect=aspect,
        opened_ns=opened_ns,
        updated_ns=verdict.at_ns,
        window_ns=max(verdict.at_ns - verdict.began_ns, 0),
        observed=worst.canary if worst else "",
        baseline=worst.stable if worst else "",
        log10_e=verdict.log10_e,
        p=10.0 ** -min(max(verdict.log10_e, 0.0), _LARGEST_LOG10),
        n=verdict.requests[1],
        budget_per_day=0.0,  # a trial has a bound of its own: the chance `canary.alpha`, once
        reason=reason or verdict.reason,
    )


def _id(verdict: Verdict, aspect: str, opened_ns: int) -> str:
    canary = verdict.canary
    parts = (DETECTOR, aspect, canary.service, canary.model, verdict.stable.version, canary.version, str(opened_ns))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
