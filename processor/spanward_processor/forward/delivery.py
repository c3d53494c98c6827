"""What OK means, as those see it who must know only that it is true; `journalled.py` and `direct.py` make it so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from spanward_processor.configuration.settings import Forwarding
from spanward_processor.exporters.base import Exporter, Taken
from spanward_processor.forward.backends import Backend
from spanward_processor.signals import Encoded, Signal


@dataclass(frozen=True, slots=True)
class Destination:
    """A configured backend.

    Args:
        name: As configured.
        exporter: A new way to it; None where the one in use stays.
        timeout_s: Longest wait for one answer on the new way, seconds.
    """

    name: str
    exporter: Exporter | None
    timeout_s: float


class RefusedError(Exception):
    """A request could not be taken.

    Args:
        reason: Why, in a sentence.
        for_good: Whether the request itself is at fault, so that sending it again is useless.
    """

    def __init__(self, reason: str, *, for_good: bool) -> None:
        self.for_good = for_good
        super().__init__(reason)


class Delivery(Protocol):
    """What becomes of a request once it was judged."""

    at_once: bool
    """Whether `put` is possible: taking needs no waiting."""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Where everything goes."""
        ...

    def check_room(self, size: int, spans: Callable[[], int]) -> None:
        """Look whether there is room for a request, before anything is done for it.

        Args:
            size: Its bytes.
            spans: Returns how many spans it has; called where they must be counted as refused.

        Raises:
            RefusedError: There is none.
        """
        ...

    def put(self, signal: Signal, payload: Encoded, spans: int = 0) -> None:
        """Take a request without waiting; thread-safe but for `wake`.

        Raises:
            RefusedError: It could not be taken.
        """
        ...

    def wake(self) -> None:
        """Say, in the event loop, that something was put."""
        ...

    async def deliver(
        self, signal: Signal, payload: Encoded, *, spans: int = 0, within_s: float | None = None
    ) -> Sequence[Taken]:
        """Take a request; when this returns, OK may be said.

        Args:
            signal: Which kind it is.
            payload: The encoded request.
            spans: Spans in it.
            within_s: How long its sender still waits, seconds.

        Returns:
            What the backends said of it, as far as that is known by now.

        Raises:
            RefusedError: It could not be taken.
        """
        ...

    def exchange(self, destinations: Sequence[Destination], forwarding: Forwarding) -> None:
        """Deliver there from now on; what was taken before still arrives where it was bound for, if it can.

        Args:
            destinations: Every backend there shall be.
            forwarding: How patient we are.
        """
        ...

    async def drain(self, within_s: float) -> None:
        """Deliver what can be delivered in that time, seconds, and close.

        Raises:
            ExceptionGroup: What went wrong; everything else was closed all the same.
        """
        ...
