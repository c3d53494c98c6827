"""A scripted source, for tests of the page and of whatever else reads it."""

import threading

from spanward_processor.findings import Finding
from spanward_processor.live.view import Counts, Snapshot

NOTHING = Snapshot(
    version="0.0.0",
    started_ns=0,
    watermark_ns=0,
    window_s=10.0,
    budget_per_day=1.0,
    counts=Counts(accepted=0, refused=0, dropped=0, late=0, forwarded=0, annotated=0),
    series=(),
    findings=(),
    receiver="127.0.0.1:4317",
)


class ScriptedSource:
    """Shows what it was told to.

    Args:
        shown: The snapshot to begin with.
    """

    def __init__(self, shown: Snapshot = NOTHING) -> None:
        self._lock = threading.Lock()
        self._shown = shown
        self._transitions: tuple[tuple[int, Finding], ...] = ()

    def show(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        with self._lock:
            self._shown = snapshot

    def tell(self, finding: Finding) -> int:
        """Add a transition; return its number."""
        with self._lock:
            sequence = len(self._transitions) + 1
            self._transitions = (*self._transitions, (sequence, finding))
            return sequence

    def snapshot(self) -> Snapshot:
        """Return what it was told to show."""
        with self._lock:
            return self._shown

    def transitions(self, after: int) -> tuple[tuple[int, Finding], ...]:
        """Return the transitions after a number."""
        with self._lock:
            return tuple(item for item in self._transitions if item[0] > after)
