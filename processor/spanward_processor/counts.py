"""What happened to spans, in the only five words for it, and how many of them were written on."""

from dataclasses import dataclass

from spanward_processor.pipeline import Processed


@dataclass(slots=True)
class Counts:
    """Running totals since start.

    Args:
        accepted: Spans whose sender was told OK.
        refused: Spans whose sender was told to come back, or that they are wrong.
        refused_requests: Requests refused; those that could not be decoded have no known number of spans.
        dropped: Findings that could not be told to a backend.
        late: Spans forwarded but not counted, since their window had closed.
        forwarded: Spans every backend took, or the journal keeps until it does.
        annotated: Spans forwarded with attributes of ours.
        removed: Inbound attributes under our own prefix, removed.
    """

    accepted: int = 0
    refused: int = 0
    refused_requests: int = 0
    dropped: int = 0
    late: int = 0
    forwarded: int = 0
    annotated: int = 0
    removed: int = 0

    def delivered(self, processed: Processed, late: int) -> None:
        """Count a request whose sender is told OK."""
        self.accepted += processed.spans
        self.forwarded += processed.spans
        self.annotated += processed.annotated
        self.removed += processed.removed
        self.late += late
