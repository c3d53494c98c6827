"""What was opened is closed in reverse: every step runs, whatever the others do, and errors are told together."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

_log = logging.getLogger(__name__)


class Closing:
    """The steps that undo what was opened."""

    def __init__(self) -> None:
        self._steps = AsyncExitStack()
        self._errors: list[Exception] = []

    def add(self, what: str, close: Callable[[], Awaitable[object]]) -> Self:
        """Note how to close what was just opened.

        Args:
            what: What it is, for errors.
            close: Closes it.
        """
        self._steps.push_async_callback(self._attempt, what, close)
        return self

    async def _attempt(self, what: str, close: Callable[[], Awaitable[object]]) -> None:
        try:
            await close()
        except Exception as error:  # noqa: BLE001 - told with all others by `close`
            error.add_note(f"while closing {what}")
            self._errors.append(error)

    async def close(self) -> None:
        """Close everything, newest first.

        Raises:
            ExceptionGroup: What went wrong on the way.
        """
        await self._steps.aclose()
        errors, self._errors = self._errors, []
        if errors:
            raise ExceptionGroup("not everything could be closed", errors)

    async def give_up(self) -> None:
        """Close everything after opening failed; what goes wrong now is logged, since another error is on its way."""
        try:
            await self.close()
        except ExceptionGroup as group:
            log_errors(group)


def log_errors(group: ExceptionGroup[Exception]) -> None:
    """Log each error of a closing, with its traceback."""
    for error in group.exceptions:
        _log.error("closing failed reason=%r notes=%r", str(error), getattr(error, "__notes__", ()), exc_info=error)
