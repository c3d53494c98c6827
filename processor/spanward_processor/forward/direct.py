"""OK means: taken by every backend, while the sender waits; what an operator chooses who wants no journal."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from spanward_processor.closing import Closing
from spanward_processor.configuration.settings import Forwarding
from spanward_processor.exporters.base import Refusal, Taken, Verdict
from spanward_processor.forward.backends import Backend
from spanward_processor.forward.background import Background
from spanward_processor.forward.delivery import Destination, RefusedError
from spanward_processor.signals import Encoded, Signal


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
        self._background = Background()

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Where everything goes."""
        return self._backends

    def check_room(self, size: int, spans: Callable[[], int]) -> None:
        """Nothing is kept, so there is always room."""

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
