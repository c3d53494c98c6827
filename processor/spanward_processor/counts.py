"""What happened to spans, and how many of them were written on; what was forwarded, each backend counts for itself."""

from dataclasses import dataclass, field

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
