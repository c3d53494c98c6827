"""What OK means: in the journal on disk, or taken by every backend. The operator chooses; the journal is the default."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Protocol

from spanward_processor.backends import Backend
from spanward_processor.exporters.base import Refusal, Taken, Verdict
from spanward_processor.journal.log import Journal, JournalFullError
from spanward_processor.sender import Sender
from spanward_processor.settings import Forwarding
from spanward_processor.signals import Signal


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

    backends: tuple[Backend, ...]
    """Where everything goes."""

    at_once: bool
    """Whether `put` is possible: taking needs no waiting."""

    def put(self, signal: Signal, payload: bytes, spans: int = 0) -> None:
        """Take a request without waiting; thread-safe but for `wake`.

        Raises:
            RefusedError: It could not be taken.
        """
        ...

    def wake(self) -> None:
        """Say, in the event loop, that something was put."""
        ...

    async def deliver(
        self, signal: Signal, payload: bytes, *, spans: int = 0, within_s: float | None = None
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

    async def drain(self, within_s: float) -> None:
        """Deliver what can be delivered in that time, seconds, and close."""
        ...


class Journalled:
    """OK means: in the journal. A sender per backend takes it from there.

    Args:
        journal: The journal, with a reader for each backend.
        backends: Where to.
        forwarding: How patient we are.
        rng: Randomness of the back-off.
        always_synced: Whether each request waits for the medium.
    """

    def __init__(
        self,
        journal: Journal,
        backends: Sequence[Backend],
        forwarding: Forwarding,
        rng: random.Random,
        *,
        always_synced: bool,
    ) -> None:
        self.backends = tuple(backends)
        self.at_once = not always_synced
        self.journal = journal
        self._senders = [Sender(backend, journal.reader(backend.name), forwarding, rng) for backend in backends]
        self._tasks = [asyncio.create_task(sender.run()) for sender in self._senders]

    def put(self, signal: Signal, payload: bytes, spans: int = 0) -> None:
        """Write a request; see `Delivery.put`."""
        try:
            self.journal.append(signal, payload, spans)
        except JournalFullError as error:
            raise RefusedError(str(error), for_good=False) from error

    def wake(self) -> None:
        """Tell the senders that there is something; in the event loop."""
        for sender in self._senders:
            sender.wake()

    async def deliver(
        self, signal: Signal, payload: bytes, *, spans: int = 0, within_s: float | None = None
    ) -> Sequence[Taken]:
        """Write a request and wait for the medium where that is the policy; see `Delivery.deliver`."""
        del within_s
        if self.at_once:
            self.put(signal, payload, spans)
        else:
            await asyncio.to_thread(self.put, signal, payload, spans)
        self.wake()
        return ()

    async def drain(self, within_s: float) -> None:
        """Deliver what can be delivered in that time; the rest stays in the journal."""
        end = time.monotonic() + within_s
        for sender in self._senders:
            await sender.finish(max(0.0, end - time.monotonic()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(backend.close() for backend in self.backends))
        await asyncio.to_thread(self.journal.close)


class Direct:
    """OK means: every backend took it. At least once: after a partial failure the sender sends to all again.

    Args:
        backends: Where to; with none everything counts as delivered.
        forwarding: How patient we are.
        rng: Randomness of the back-off.
    """

    def __init__(self, backends: Sequence[Backend], forwarding: Forwarding, rng: random.Random) -> None:
        self.backends = tuple(backends)
        self.at_once = not backends
        self._forwarding = forwarding
        self._rng = rng

    def put(self, signal: Signal, payload: bytes, spans: int = 0) -> None:
        """Take a request that goes nowhere; see `Delivery.put`."""

    def wake(self) -> None:
        """Nobody waits."""

    async def deliver(
        self, signal: Signal, payload: bytes, *, spans: int = 0, within_s: float | None = None
    ) -> Sequence[Taken]:
        """Hand a request to every backend; see `Delivery.deliver`."""
        most_s = self._forwarding.max_wait_s
        deadline = time.monotonic() + min(most_s, most_s if within_s is None else within_s)
        tasks = [
            asyncio.ensure_future(self._insist(backend, signal, payload, spans, deadline)) for backend in self.backends
        ]
        try:
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            passing = [error for error in failures if not (isinstance(error, RefusedError) and error.for_good)]
            raise (passing or failures)[0]
        return [outcome for outcome in outcomes if isinstance(outcome, Taken)]

    async def _insist(self, backend: Backend, signal: Signal, payload: bytes, spans: int, deadline: float) -> Taken:
        """Try until the request is taken or the time is over."""
        attempt = 0
        while True:
            try:
                return await backend.send(signal, [payload], spans, within_s=deadline - time.monotonic())
            except Refusal as refusal:
                delay_s = self._forwarding.delay_s(attempt, refusal.delay_s, self._rng)
                if refusal.verdict is not Verdict.LATER or time.monotonic() + delay_s >= deadline:
                    backend.failed(spans)
                    raise _refused(backend, refusal) from refusal
            await asyncio.sleep(delay_s)
            attempt += 1

    async def drain(self, within_s: float) -> None:
        """Close; nothing waits, since whoever waited was answered."""
        del within_s
        await asyncio.gather(*(backend.close() for backend in self.backends))


def _refused(backend: Backend, refusal: Refusal) -> RefusedError:
    for_good = refusal.verdict in {Verdict.NEVER, Verdict.TOO_LARGE}
    what = "refused the data" if for_good else "is not taking data"
    return RefusedError(f"backend {backend.name} {what}: {refusal.reason}", for_good=for_good)
