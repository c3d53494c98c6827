"""The one place where Spanward's own failures stop: the user's code goes on, with less telemetry."""

import logging
import os
from types import TracebackType
from typing import Final

_log = logging.getLogger("spanward")
_told: Final[set[str]] = set()

SPANWARD_ERRORS: Final = "SPANWARD_ERRORS"
"""`raise` or `log`; where it is not set, errors are raised under pytest and logged elsewhere."""


class Guard:
    """Swallows an exception of ours, and says so once per place.

    Under pytest it swallows nothing, unless `SPANWARD_ERRORS=log`: a test shall see our mistakes.

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
        return isinstance(error, Exception) and self._swallows(error)

    def swallow(self, error: Exception) -> None:
        """Do the same for an exception that was caught: a `try` costs nothing where nothing fails, a `with` does.

        Raises:
            Exception: The very one, where errors are to be raised.
        """
        if not self._swallows(error):
            raise error

    def _swallows(self, error: Exception) -> bool:
        asked = os.environ.get(SPANWARD_ERRORS)
        if asked == "raise" or (not asked and "PYTEST_CURRENT_TEST" in os.environ):
            return False
        if self._place not in _told:
            _told.add(self._place)
            # The type only: the message of an exception may hold what we promised not to tell.
            _log.warning(
                "spanward failed while %s (%s); your code goes on untouched", self._place, type(error).__name__
            )
        return True
