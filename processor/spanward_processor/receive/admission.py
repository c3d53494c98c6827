"""How much is taken at once: bytes, requests and time are bounded, the rest is asked to come back."""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

MOST_TURN_S: Final = 0.25  # of one turn of the event loop, in which requests are judged


class BusyError(Exception):
    """There is no room for another request right now."""


class Admission:
    """Counts what is in flight.

    Args:
        most_bytes: Bytes in flight before a request is refused; one request is always let in.
        most_requests: Requests in flight before one is refused.
    """

    def __init__(self, most_bytes: int, most_requests: int) -> None:
        self._most_bytes = most_bytes
        self._most_requests = most_requests
        self._bytes = 0
        self._requests = 0

    @property
    def in_flight(self) -> int:
        """Requests in flight."""
        return self._requests

    @contextmanager
    def admit(self, size: int) -> Generator[None]:
        """Hold room for a request while it is worked on.

        Args:
            size: Its bytes.

        Raises:
            BusyError: When there is no room.
        """
        full = self._bytes + size > self._most_bytes or self._requests >= self._most_requests
        if self._requests and full:
            raise BusyError(
                f"{self._requests} requests with {self._bytes} bytes are in flight; "
                f"limits.in_flight_requests is {self._most_requests}, limits.in_flight_bytes {self._most_bytes}"
            )
        self._bytes += size
        self._requests += 1
        try:
            yield
        finally:
            self._bytes -= size
            self._requests -= 1


class Turn:
    """How long one turn of the event loop has taken since its first request.

    When more comes in than can be judged, it waits in buffers of the network, for longer than its senders do; then all that
    is done is done for nobody. A turn that takes too long shows that. What else it brings is asked to come back, which costs
    little, so that what is taken is answered in time.

    Args:
        most_s: Longest a turn may take before the rest of it is asked to come back, seconds.
        monotonic_s: Returns a clock that never steps, seconds.
    """

    def __init__(self, most_s: float = MOST_TURN_S, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._most_s = most_s
        self._monotonic_s = monotonic_s
        self._began_s: float | None = None

    def check(self) -> None:
        """Look how long this turn has taken; in the event loop.

        Raises:
            BusyError: Too long.
        """
        now_s = self._monotonic_s()
        if self._began_s is None:
            self._began_s = now_s
            asyncio.get_running_loop().call_soon(self._end)
        elif now_s - self._began_s > self._most_s:
            raise BusyError(
                f"more requests come in than can be judged: this turn has taken {now_s - self._began_s:.2f} s"
            )

    def _end(self) -> None:
        self._began_s = None
