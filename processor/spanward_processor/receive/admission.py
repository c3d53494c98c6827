"""How much is taken at once: bytes and requests are bounded, the rest is asked to come back."""

from collections.abc import Generator
from contextlib import contextmanager


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
