"""Spans that come too late are noticed."""

from spanward_processor.counts import Counts
from spanward_processor.server.lateness import Lateness


def test_many_late_spans_are_noticed_once() -> None:
    """Each look is about what came since the one before."""
    counts = Counts(accepted=1000, late=11)
    lateness = Lateness(counts)

    assert lateness.look() == (11, 1000)
    assert lateness.look() is None


def test_a_few_late_spans_are_nothing() -> None:
    """One in a hundred is not worth a line, however many there were before."""
    counts = Counts(accepted=100, late=100)
    lateness = Lateness(counts)
    lateness.look()

    counts.accepted, counts.late = 1100, 110

    assert lateness.look() is None
