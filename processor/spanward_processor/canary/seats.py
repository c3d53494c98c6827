"""Which versions are counted for trials, and under which small number each."""

from typing import Any, Final

import numpy as np

from spanward_processor.kernels.jit import Ints

MOST_SEATS: Final = 64
"""Versions that are counted at a time."""

NO_SEAT: Final = -1
_NOBODY: Final = 0  # the key of rows that share a series, which has no trial


class Seats:
    """Gives versions that are on trial a number each, and takes it back when their trials are over.

    Rows are counted in windows by that number. One that was left is given again only when no window is open any more that may hold rows of
    who had it.
    """

    def __init__(self) -> None:
        self._of = np.full(1, NO_SEAT, np.int64)  # by key; the last is that of rows without a series
        self._keys: list[int] = []  # by seat
        self._rests_ns: list[int] = []  # by seat, event time until which rows of who left it may be in open windows

    def __len__(self) -> int:
        """Return how many seats there are, left ones included."""
        return len(self._keys)

    def of(self, keys: Ints) -> Ints:
        """Return (n,) int64 the seats of the series of rows, `NO_SEAT` for those that have none."""
        return self._of[np.minimum(keys, self._of.size - 2)]

    def take(self, key: int, closed_ns: int) -> int:
        """Return the seat of a series, a free one where it has none; `NO_SEAT` where none is free.

        Args:
            key: The series.
            closed_ns: Event time until which all windows are closed.
        """
        self._reach(key)
        if self._of[key] == NO_SEAT and (seat := self._free(closed_ns)) != NO_SEAT:
            self._of[key], self._keys[seat] = seat, key
        return int(self._of[key])

    def _free(self, closed_ns: int) -> int:
        for seat, (key, rests_ns) in enumerate(zip(self._keys, self._rests_ns, strict=True)):
            if key == _NOBODY and rests_ns <= closed_ns:
                return seat
        if len(self) == MOST_SEATS:
            return NO_SEAT
        self._keys.append(_NOBODY)
        self._rests_ns.append(0)
        return len(self) - 1

    def leave(self, staying: set[int], until_ns: int) -> list[int]:
        """Take back the seats of series that have no trial any more; return these seats.

        Args:
            staying: The series that have one.
            until_ns: Event time until which rows of others may be in open windows.
        """
        left = [seat for seat, key in enumerate(self._keys) if key != _NOBODY and key not in staying]
        for seat in left:
            self._of[self._keys[seat]], self._keys[seat] = NO_SEAT, _NOBODY
            self._rests_ns[seat] = until_ns
        return left

    def _reach(self, key: int) -> None:
        """Let the seats by key reach to a key."""
        if key >= self._of.size - 1:
            more = np.full(key + 2 + key // 4, NO_SEAT, np.int64)
            more[: self._of.size - 1] = self._of[:-1]
            self._of = more

    # --- over a restart ------------------------------------------------------------------------------------------------

    def as_plain(self) -> dict[str, Any]:
        """Return what is kept, as JSON can hold it."""
        return {"keys": list(self._keys), "rests_ns": list(self._rests_ns)}

    def restore(self, plain: dict[str, Any]) -> None:
        """Take back what `as_plain` has told."""
        self._keys, self._rests_ns = plain["keys"], plain["rests_ns"]
        for seat, key in enumerate(self._keys):
            if key != _NOBODY:
                self._reach(key)
                self._of[key] = seat
