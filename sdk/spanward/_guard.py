"""The one place where Spanward's own failures stop: the user's code goes on, with less telemetry."""

import logging
import os
from traceback import walk_tb
from types import TracebackType
from typing import Final

_log = logging.getLogger("spanward")
_told: Final[set[str]] = set()
_OURS: Final = frozenset({"spanward", "spanward_integrations"})

SPANWARD_ERRORS: Final = "SPANWARD_ERRORS"
"""`raise` or `log`; where it is not set, errors are raised under pytest and logged elsewhere."""


class Guard:
    """Swallows an exception of ours or of a function we were given, and says so once per place in the code.

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
        failed = f"{self._place} ({type(error).__name__} in {_place_of(error)})"
        if failed not in _told:
            _told.add(failed)
            # The type only: the message of an exception may hold what we promised not to tell.
            _log.warning(
                "spanward failed while %s; your code goes on untouched; %s=raise raises it", failed, SPANWARD_ERRORS
            )
        return True


def _place_of(error: Exception) -> str:
    """Return where an exception was raised: in the first code that is not ours, as what users give us is, else in ours."""
    place = "code without a trace"
    for frame, line in walk_tb(error.__traceback__):
        module: str = frame.f_globals.get("__name__", "?")
        place = f"{module}, line {line}"
        if module.partition(".")[0] not in _OURS:
            break
    return place
