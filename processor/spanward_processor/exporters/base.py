"""What a backend is to the rest: one attempt to hand over requests, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from spanward_processor.signals import Encoded, Signal


@dataclass(frozen=True, slots=True)
class Taken:
    """A backend took a request, all of it or in part.

    Args:
        rejected: Spans, data points or log records it rejected for good.
        message: What it said about it.
    """

    rejected: int = 0
    message: str = ""


class Verdict(StrEnum):
    """What a failed attempt means for the next."""

    LATER = "later"  # the backend or the network is at fault: the same request may be taken yet
    BARRED = "barred"  # OTLP calls it permanent, but the data is not at fault: credentials, address, a failure inside
    NEVER = "never"  # the data is at fault
    TOO_LARGE = "too large"  # smaller pieces may be taken
    FOREIGN = "foreign"  # the backend takes no such signal at all, as a store of traces takes no logs


class Refusal(Exception):  # noqa: N818 - an answer of a backend, seldom our error
    """A backend did not take a request.

    Args:
        reason: What it said.
        verdict: What that means for the next attempt.
        delay_s: When it asked us to come back, seconds; None when it did not.
    """

    def __init__(self, reason: str, verdict: Verdict, delay_s: float | None = None) -> None:
        self.reason = reason
        self.verdict = verdict
        self.delay_s = delay_s
        super().__init__(reason)


class Exporter(Protocol):
    """One way to one backend."""

    async def export(self, signal: Signal, parts: Sequence[Encoded], timeout_s: float) -> Taken:
        """Try once to deliver requests as one.

        Encoded export requests of one signal may be joined byte by byte: their only field is repeated.

        Args:
            signal: Which kind they are.
            parts: Encoded export requests.
            timeout_s: How long to wait, seconds.

        Raises:
            Refusal: They were not taken.
        """
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...
