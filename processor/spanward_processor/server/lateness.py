"""Notices when many spans come after their window has closed: they go on, but nothing is learned of them, or found in them."""

from typing import Final

from spanward_processor.counts import Counts

LATE_SHARE: Final = 0.01
"""Share of the newest spans above which it is worth a line in the log."""


class Lateness:
    """Looks at the running totals now and then.

    Args:
        counts: The totals.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._late = self._accepted = 0

    def look(self) -> tuple[int, int] | None:
        """Return how many spans were late since the last look, of how many; None where these are hardly any."""
        late, accepted = self._counts.late - self._late, self._counts.accepted - self._accepted
        self._late, self._accepted = self._counts.late, self._counts.accepted
        return (late, accepted) if late > LATE_SHARE * accepted else None
