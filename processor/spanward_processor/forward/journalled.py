"""OK means: in the journal on disk; each backend gets it from there at its own pace. The default."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from spanward_processor.closing import Closing
from spanward_processor.configuration.settings import Forwarding
from spanward_processor.exporters.base import Taken
from spanward_processor.forward.backends import Backend
from spanward_processor.forward.background import Background
from spanward_processor.forward.delivery import Destination, RefusedError
from spanward_processor.forward.sender import Sender
from spanward_processor.journal.log import Journal, JournalFullError
from spanward_processor.signals import Encoded, Signal

_log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0  # how often it is looked whether a backend that leaves has everything


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
        self._background = Background()
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

    def check_room(self, size: int, spans: Callable[[], int]) -> None:
        """Look whether the journal is full; see `Delivery.check_room`."""
        try:
            self.journal.check_room(size)
        except JournalFullError as error:
            raise self._without_room(spans(), error) from error

    def put(self, signal: Signal, payload: Encoded, spans: int = 0) -> None:
        """Write a request; see `Delivery.put`."""
        try:
            self.journal.append(signal, payload, spans)
        except JournalFullError as error:
            raise self._without_room(spans, error) from error

    def _without_room(self, spans: int, error: JournalFullError) -> RefusedError:
        self.without_room += spans
        return RefusedError(str(error), for_good=False)

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


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
