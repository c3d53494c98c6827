"""How long detectors take, added up."""

import threading
from collections.abc import Iterable


class Spent:
    """Seconds by detector and work; thread-safe, since requests are scored in several threads.

    Args:
        detectors: Their names.
    """

    def __init__(self, detectors: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._seconds = {(name, work): 0.0 for name in detectors for work in ("rows", "windows")}

    def add(self, detector: str, work: str, seconds: float) -> None:
        """Add the time of one piece of work.

        Args:
            detector: Who worked.
            work: `rows` for a request that was scored, `windows` for a closed window that was tested or learned.
            seconds: How long it took.
        """
        with self._lock:
            self._seconds[detector, work] += seconds

    def seconds(self) -> dict[tuple[str, str], float]:
        """Return the sums."""
        with self._lock:
            return dict(self._seconds)
