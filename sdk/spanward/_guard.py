"""The one place where Spanward's own failures stop: the user's code goes on, with less telemetry."""

import logging
import os
from types import TracebackType
from typing import Final

_log = logging.getLogger("spanward")
_told: Final[set[str]] = set()


class Guard:
    """Swallows an exception of ours, and says so once per place.

    Under pytest it swallows nothing: a test shall see our mistakes.

    Args:
        place: What was being done, for the log.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        """Begin something that must not fail for the user."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Swallow an `Exception`; anything else, as KeyboardInterrupt, goes on."""
        if not isinstance(error, Exception):
            return False
        if "PYTEST_CURRENT_TEST" in os.environ:
            return False
        if self._place not in _told:
            _told.add(self._place)
            # The type only: the message of an exception may hold what we promised not to tell.
            _log.warning(
                "spanward failed while %s (%s); your code goes on untouched", self._place, type(error).__name__
            )
        return True
