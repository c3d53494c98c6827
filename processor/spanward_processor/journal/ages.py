"""How long a position of the journal has been written: to the second, and in bounded memory."""

from collections.abc import Callable
from typing import Final

_SPACING_S: Final = 1.0  # records written within it count as written at its begin
_MOST: Final = 1024  # marks, half an hour apart and more after some weeks; then neighbours become one


class Ages:
    """When the records before each position were written.

    Args:
        clock_s: Returns the time of day, seconds; files of an earlier process have only that.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._marks: list[tuple[float, int]] = []  # when the first record was written, and where the last one ends

    def note(self, end: int, written_s: float | None = None) -> None:
        """Note that a record up to a position was written, now unless it is said when."""
        now_s = self._clock_s() if written_s is None else written_s
        if self._marks and 0 <= now_s - self._marks[-1][0] < _SPACING_S:
            self._marks[-1] = self._marks[-1][0], end
            return
        self._marks.append((now_s, end))
        if len(self._marks) > _MOST:
            pairs = zip(self._marks[::2], self._marks[1::2], strict=False)
            odd = self._marks[-1:] if len(self._marks) % 2 else []
            self._marks = [*((first[0], second[1]) for first, second in pairs), *odd]

    def oldest_s(self, confirmed: int) -> float:
        """Return the age of the oldest record after a position, seconds; 0 when there is none. Forgets what is before."""
        gone = next((at for at, mark in enumerate(self._marks) if mark[1] > confirmed), len(self._marks))
        del self._marks[:gone]
        return max(0.0, self._clock_s() - self._marks[0][0]) if self._marks else 0.0
