"""What a comparison says: go on, promote or roll back, and why."""

from dataclasses import dataclass
from enum import StrEnum

from spanward_processor.findings import Series


class Decision(StrEnum):
    """What is to be done with a canary."""

    CONTINUE = "continue"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one guard stands.

    Args:
        guard: Its name.
        weight: Its part of the evidence.
        log10_e: Evidence that the canary is worse than the margin allows, log10 of an e-value.
        effect: What the canary does to it, since it began to be worse: a ratio, or a difference for scores and shares.
        low: Smallest effect that nothing speaks against.
        high: Largest.
        safe: Whether it is surely no worse than the tolerance allows.
        stable: What the stable version shows, in words.
        canary: What the canary shows, in words.
        what: What is compared, in words.
        interval: Effect and interval in words.
    """

    guard: str
    weight: float
    log10_e: float
    effect: float
    low: float
    high: float
    safe: bool
    stable: str
    canary: str
    what: str
    interval: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a canary at one moment.

    Args:
        stable: The version to go back to.
        canary: The version on trial.
        decision: What is to be done.
        reason: The sentence for a person.
        at_ns: End of the newest window it is about, Unix nanoseconds.
        began_ns: When both versions were first seen together, Unix nanoseconds.
        decided_ns: When it was decided, Unix nanoseconds; 0 while it is not.
        log10_e: Evidence of all guards together, log10 of an e-value.
        log10_threshold: Evidence at which the canary is rolled back.
        requests: Requests of the stable version and of the canary.
        clients: Clients of the stable version and of the canary; 0 where spans name none.
        standings: Each guard, strongest evidence first.
        vanished: Version that has vanished, or an empty text.
    """

    stable: Series
    canary: Series
    decision: Decision
    reason: str
    at_ns: int
    began_ns: int
    decided_ns: int
    log10_e: float
    log10_threshold: float
    requests: tuple[int, int]
    clients: tuple[int, int]
    standings: tuple[Standing, ...]
    vanished: str = ""
