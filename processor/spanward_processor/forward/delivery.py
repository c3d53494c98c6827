"""What OK means: in the journal on disk, or taken by every backend. The operator chooses; the journal is the default."""

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from spanward_processor.closing import Closing
from spanward_processor.configuration.settings import Forwarding
from spanward_processor.exporters.base import Exporter, Refusal, Taken, Verdict
from spanward_processor.forward.backends import Backend
from spanward_processor.forward.sender import Sender
from spanward_processor.journal.log import Journal, JournalFullError
from spanward_processor.signals import Encoded, Signal

_log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0  # how often it is looked whether a backend that leaves has everything


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
        self.journal = journal
        self.without_room = 0  # spans refused because the journal was full
        self.at_once = not always_synced
        self._forwarding = forwarding
        self._rng = rng
        self._senders: dict[str, Sender] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._background = _Background()
        for backend in backends:
            self._begin(backend)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Where everything goes, and those that leave and still get what waits for them."""
        return tuple(sender.backend for sender in self._senders.values())

    def _begin(self, backend: Backend) -> None:
        sender = Sender(backend, self.journal.reader(backend.name), self._forwarding, self._rng)
        self._senders[backend.name] = sender
        self._sending[backend.name] = asyncio.create_task(sender.run())

    def put(self, signal: Signal, payload: Encoded, spans: int = 0) -> None:
        """Write a request; see `Delivery.put`."""
        try:
            self.journal.append(signal, payload, spans)
        except JournalFullError as error:
            self.without_room += spans
            raise RefusedError(str(error), for_good=False) from error

    def in_flight(self, name: str) -> int:
        """Return how many requests are under way to the backend of a name."""
        sender = self._senders.get(name)
        return sender.in_flight if sender else 0

    def wake(self) -> None:
        """Tell the senders that there is something; in the event loop."""
        for sender in self._senders.values():
            sender.wake()

    async def deliver(
        self, signal: Signal, payload: Encoded, *, spans: int = 0, within_s: float | None = None
    ) -> Sequence[Taken]:
        """Write a request and wait for the medium where that is the policy; see `Delivery.deliver`."""
        del within_s
        if self.at_once:
            self.put(signal, payload, spans)
        else:
            await asyncio.to_thread(self.put, signal, payload, spans)
        self.wake()
        return ()

    def exchange(self, destinations: Sequence[Destination], forwarding: Forwarding) -> None:
        """Deliver there from now on; see `Delivery.exchange`.

        A backend that is no longer named gets what is in the journal by now, unless the room is needed before.
        """
        self._forwarding = forwarding
        for sender in self._senders.values():
            sender.forwarding = forwarding
        named = {destination.name for destination in destinations}
        for name in self._senders.keys() - named - self._leaving.keys():
            self._senders[name].reader.end_here()
            self._leaving[name] = asyncio.create_task(self._see_off(name))
        for destination in destinations:
            self._direct(destination)

    def _direct(self, destination: Destination) -> None:
        sender, exporter = self._senders.get(destination.name), destination.exporter
        if sender is not None and sender.reader.dismissed:
            self._forget(destination.name)
            sender = None
        if sender is not None:
            if destination.name in self._leaving:
                self._leaving.pop(destination.name).cancel()
                sender.reader.go_on()
                sender.wake()
            if exporter is not None:
                self._background.start(sender.backend.exchange(exporter, destination.timeout_s))
        elif exporter is not None:
            self._begin(Backend(destination.name, exporter, destination.timeout_s))

    async def _see_off(self, name: str) -> None:
        """Let a backend that is no longer configured have what waits for it, and forget it."""
        sender = self._senders[name]
        sender.wake()
        while sender.reader.waiting_bytes:
            await sender.finish(_LOOK_S)
        left = sender.reader.undelivered_bytes
        _log.log(
            logging.WARNING if left else logging.INFO, "backend has left backend=%s undelivered_bytes=%d", name, left
        )
        self._forget(name)

    def _forget(self, name: str) -> None:
        sender = self._senders.pop(name)
        self._leaving.pop(name).cancel()
        self._sending.pop(name).cancel()
        self.journal.dismiss(name)
        sender.reader.remove()
        self._background.start(sender.backend.close())

    async def drain(self, within_s: float) -> None:
        """Deliver what can be delivered in that time; the rest stays in the journal."""
        end = time.monotonic() + within_s
        closing = Closing().add("journal", lambda: asyncio.to_thread(self.journal.close))
        for backend in self.backends:
            closing.add(f"backend {backend.name}", backend.close)
        closing.add("exchanged backends", self._background.end)
        closing.add("senders", lambda: _cancelled(*self._sending.values(), *self._leaving.values()))
        for sender in self._senders.values():
            await sender.finish(max(0.0, end - time.monotonic()))
        await closing.close()


class _Background:
    """Tasks that nobody waits for until the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Wait for all of them."""
        await asyncio.gather(*self._tasks)


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Direct:
    """OK means: every backend took it. At least once: after a partial failure the sender sends to all again.

    Args:
        backends: Where to; with none everything counts as delivered.
        forwarding: How patient we are.
        rng: Randomness of the back-off.
    """

    def __init__(self, backends: Sequence[Backend], forwarding: Forwarding, rng: random.Random) -> None:
        self._backends = tuple(backends)
        self.at_once = not backends
        self._forwarding = forwarding
        self._rng = rng
        self._background = _Background()

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Where everything goes."""
        return self._backends

    def put(self, signal: Signal, payload: Encoded, spans: int = 0) -> None:
        """Take a request that goes nowhere; see `Delivery.put`."""

    def wake(self) -> None:
        """Nobody waits."""

    async def deliver(
        self, signal: Signal, payload: Encoded, *, spans: int = 0, within_s: float | None = None
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

    async def _insist(self, backend: Backend, signal: Signal, payload: Encoded, spans: int, deadline: float) -> Taken:
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

    def exchange(self, destinations: Sequence[Destination], forwarding: Forwarding) -> None:
        """Deliver there from now on; see `Delivery.exchange`. Requests under way still go where they were bound for."""
        self._forwarding = forwarding
        known = {backend.name: backend for backend in self.backends}
        kept: list[Backend] = []
        for destination in destinations:
            backend = known.pop(destination.name, None)
            if backend is None and destination.exporter is not None:
                backend = Backend(destination.name, destination.exporter, destination.timeout_s)
            elif backend is not None and destination.exporter is not None:
                self._background.start(backend.exchange(destination.exporter, destination.timeout_s))
            kept += [backend] if backend is not None else []
        self._backends = tuple(kept)
        self.at_once = not kept
        for backend in known.values():
            self._background.start(backend.close())

    async def drain(self, within_s: float) -> None:
        """Close; nothing waits, since whoever waited was answered."""
        del within_s
        closing = Closing().add("exchanged backends", self._background.end)
        for backend in self.backends:
            closing.add(f"backend {backend.name}", backend.close)
        await closing.close()


def _refused(backend: Backend, refusal: Refusal) -> RefusedError:
    for_good = refusal.verdict in {Verdict.NEVER, Verdict.TOO_LARGE}
    what = "refused the data" if for_good else "is not taking data"
    return RefusedError(f"backend {backend.name} {what}: {refusal.reason}", for_good=for_good)
