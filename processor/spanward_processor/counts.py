"""What happened to spans, and how many of them were written on; what is forwarded, each backend counts for itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from spanward_processor.forward.backends import Backend
from spanward_processor.pipeline import Processed
from spanward_processor.pruning import SPAN_LIMITS


@dataclass(slots=True)
class Received:
    """What came over one transport.

    Args:
        accepted: As in `Counts`.
        refused: As in `Counts`.
    """

    accepted: int = 0
    refused: int = 0


@dataclass(slots=True)
class Counts:
    """Running totals since start.

    Args:
        accepted: Spans whose sender was told OK.
        refused: Spans whose sender was told to come back, or that they are wrong.
        refused_requests: Requests refused; those that could not be decoded have no known number of spans.
        dropped: Findings that could not be told to a backend.
        late: Spans forwarded but not counted, since their window had closed.
        annotated: Spans forwarded with attributes of ours.
        removed: Inbound attributes under our own prefix, removed.
        over_limit: Refused spans by the limit that they were over; the rest of their requests was taken.
        received: Accepted and refused spans by transport, `grpc` and `http`.
    """

    accepted: int = 0
    refused: int = 0
    refused_requests: int = 0
    dropped: int = 0
    late: int = 0
    annotated: int = 0
    removed: int = 0
    over_limit: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPAN_LIMITS, 0))
    received: dict[str, Received] = field(default_factory=lambda: {"grpc": Received(), "http": Received()})

    def delivered(self, processed: Processed, late: int) -> None:
        """Count a request whose sender is told OK, for all of it but what was refused."""
        self.accepted += processed.spans
        self.annotated += processed.annotated
        self.removed += processed.removed
        self.late += late
        self.refused += processed.refusals.spans
        for limit, spans in processed.refusals.by_limit:
            self.over_limit[limit] += spans


class Forwarded:
    """How many spans every backend took; it never falls, whichever backends come and go."""

    def __init__(self) -> None:
        self._reached = 0
        self._begun: dict[Backend, int] = {}  # what was forwarded, or was for others to forward, when a backend came

    def exchange(self, backends: Iterable[Backend], accepted: int) -> None:
        """Note which backends there are from now on.

        Args:
            backends: All of them; one that is new gets what is accepted from now on.
            accepted: Spans accepted so far. Those that came while there was no backend went nowhere, and do not count.
        """
        begins = max(accepted, self._reached) if self._begun else self._reached
        self._begun = {backend: self._begun.get(backend, begins) for backend in backends}

    def of(self, backends: Iterable[Backend]) -> int:
        """Return how many spans every one of these backends took, of those that it was to take."""
        taken = [self._begun.get(backend, 0) + backend.sent.spans for backend in backends]
        self._reached = max(self._reached, min(taken, default=0))
        return self._reached
