"""When a request may be worked on: the event loop is shared, and what waits too long is asked to come back."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from spanward_processor.receive.admission import BusyError

TURN_S: Final = 0.001  # of one turn of the event loop, in which requests are worked on: one of 512 spans
MOST_WAIT_S: Final = 0.25  # of a request for its turn


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request that waits for its turn.

    Args:
        since_s: When it came.
        go: Works on it.
        refuse: Answers it instead.
        is_alone: Whether `go` leaves the work to a later callback, so that nobody knows yet what it takes.
    """

    since_s: float
    go: Callable[[], None]
    refuse: Callable[[BusyError], None]
    is_alone: bool = False


class Pace:
    """Shares the event loop between requests and everything else that runs in it.

    Requests are worked on as they come, for a millisecond of each turn of the loop; what comes beyond that waits in line, so
    that backends, timers and other connections have their turns too. What is forwarded takes two or three turns, so a loop that took
    more in each would fill the journal faster than it empties it, and read back from the disk what it has just written. Who has
    waited for too long is asked to come back: its sender may have given up by the time that it would be done, and saying so costs
    little.

    Args:
        turn_s: Longest that requests are worked on in one turn, seconds; one request is always worked on.
        most_wait_s: Longest a request waits, seconds.
        monotonic_s: Returns a clock that never steps, seconds.
    """

    def __init__(
        self,
        turn_s: float = TURN_S,
        most_wait_s: float = MOST_WAIT_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._turn_s = turn_s
        self._most_wait_s = most_wait_s
        self._monotonic_s = monotonic_s
        self._began_s: float | None = None  # of this turn's work
        self._line: deque[_Waiting] = deque()

    def is_free(self) -> bool:
        """Return whether a request may be worked on at once; in the event loop. Else it has to wait in line."""
        now_s = self._monotonic_s()
        if self._began_s is None:
            self._began_s = now_s
            asyncio.get_running_loop().call_soon(self._next_turn)
        return not self._line and now_s - self._began_s < self._turn_s

    def line_up(self, go: Callable[[], None], refuse: Callable[[BusyError], None]) -> None:
        """Let a request wait; one of both is called later, in the event loop, and raises nothing."""
        self._line.append(_Waiting(self._monotonic_s(), go, refuse))

    async def turn(self) -> None:
        """Wait until a request may be worked on.

        Raises:
            BusyError: It has waited too long.
        """
        if self.is_free():
            return
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def go() -> None:
            if not come.done():
                come.set_result(None)

        def refuse(error: BusyError) -> None:
            if not come.done():
                come.set_exception(error)

        self._line.append(_Waiting(self._monotonic_s(), go, refuse, is_alone=True))
        await come

    def _next_turn(self) -> None:
        """Work on what waits, oldest first."""
        self._began_s = self._monotonic_s() if self._line else None
        if self._began_s is not None:
            self._work_on(self._began_s)
            asyncio.get_running_loop().call_soon(self._next_turn)  # after what was left to a later callback

    def _work_on(self, began_s: float) -> None:
        now_s = began_s
        while self._line and now_s - began_s < self._turn_s:
            first = self._line.popleft()
            waited_s = now_s - first.since_s
            if waited_s <= self._most_wait_s:
                first.go()
                if first.is_alone:
                    return
            else:
                first.refuse(
                    BusyError(f"more requests come in than can be judged: this one has waited {waited_s:.2f} s")
                )
            now_s = self._monotonic_s()
