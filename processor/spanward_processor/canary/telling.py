"""A verdict as a finding."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from spanward_processor.atlas import POISON_TRAINING_DATA
from spanward_processor.attribution.paired import Flip
from spanward_processor.canary.pairs import WHOLE
from spanward_processor.canary.verdict import Verdict
from spanward_processor.findings import Finding, Severity, SliceShare, State

DETECTOR: Final = "canary"
SAME_INPUTS: Final = "same_inputs"
"""Aspect of the finding that a new version decides otherwise on the same inputs."""

ROLL_BACK: Final = "roll_back"
"""Aspect of the finding that tells what was done about a canary."""

_KINDS: Final = {
    "latency": "performance",
    "tail": "performance",
    "errors": "operational",
    "score": "quality",
    "decision": "quality",
    SAME_INPUTS: "quality",
    "input_tokens": "performance",
    "output_tokens": "performance",
}
_LARGEST_LOG10: Final = 300.0
_MOST_FLIPS: Final = 5  # that are told with a finding


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


def flipped(verdict: Verdict, flips: Sequence[Flip], slicing: Sequence[str], text: Callable[[int], str]) -> Finding:
    """Return the finding that a new version decides otherwise on the same inputs.

    Args:
        verdict: Of the trial.
        flips: What flipped, strongest first; at least one.
        slicing: Attributes that slice a series.
        text: Code to text.
    """
    first, (stable, canary) = flips[0], (verdict.stable.version, verdict.canary.version)
    where = "" if first.slice[0] == WHOLE else f" where {slicing[first.slice[0]]} is {text(first.slice[1])!r}"
    evidence = max(flip.log10_e for flip in flips)
    made = finding_of(
        replace(verdict, log10_e=evidence, decided_ns=0),
        State.OPENED,
        aspect=SAME_INPUTS,
        reason=f"{canary} decides otherwise than {stable} on the same inputs{where}: {_moved(first, stable, canary, text)}",
        severity=Severity.WARNING,
    )
    old, new = first.left + first.kept, first.came + first.kept
    return replace(
        made,
        observed=f"{new:.0f} of {old + first.came:.0f} inputs are {text(first.decision)!r}",
        baseline=f"{old:.0f} of {old + first.came:.0f}",
        n=round(old + first.came),
        slices=tuple(
            SliceShare(
                slicing[flip.slice[0]], text(flip.slice[1]), flip.log10_e,
                round(flip.left + flip.came + flip.kept), _moved(flip, stable, canary, text),
            )
            for flip in flips[:_MOST_FLIPS]
            if flip.slice[0] != WHOLE
        ),
        technique=POISON_TRAINING_DATA,
    )  # fmt: skip


def _moved(flip: Flip, stable: str, canary: str, text: Callable[[int], str]) -> str:
    decision, (went, back) = text(flip.decision), sorted((flip.left, flip.came), reverse=True)
    first, other = (stable, canary) if flip.left >= flip.came else (canary, stable)
    return (
        f"of {went + flip.kept:.0f} that {first} calls {decision!r} {other} calls {went:.0f} otherwise, "
        f"and {back:.0f} the other way"
    )


def _id(verdict: Verdict, aspect: str, opened_ns: int) -> str:
    canary = verdict.canary
    parts = (DETECTOR, aspect, canary.service, canary.model, verdict.stable.version, canary.version, str(opened_ns))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
