"""From the journal to one backend, in order, as long as it takes."""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from spanward_processor.configuration.settings import Forwarding, PermanentCodes
from spanward_processor.exporters.base import Refusal, Verdict
from spanward_processor.forward.backends import Backend
from spanward_processor.journal.reader import Reader
from spanward_processor.journal.record import Record

_log = logging.getLogger(__name__)

_PACE_S: Final = 0.005  # from one request to the next while they are small; a lone one goes at once
_SMALL_BYTES: Final = 128 << 10  # below it a request costs more than what is in it


@dataclass(frozen=True, slots=True)
class _Flight:
    """Records on their way, and the position that is reached when they have arrived."""

    task: asyncio.Task[None]
    end: int


class Sender:
    """Takes what waits for one backend, joins small requests into larger ones, and tries until they are taken.

    Several joined requests may be under way at once; the position in the journal moves only past those that have arrived.

    Args:
        backend: Where to.
        reader: Its way through the journal.
        forwarding: How patient we are, and how much is joined.
        rng: Randomness of the back-off.
    """

    def __init__(self, backend: Backend, reader: Reader, forwarding: Forwarding, rng: random.Random) -> None:
        self.backend = backend
        self.reader = reader
        self.forwarding = forwarding
        self._rng = rng
        self._wake = asyncio.Event()
        self._delivered = asyncio.Event()
        self._under_way: deque[_Flight] = deque()
        self._left_s = float("-inf")  # when the newest request left, on the event loop's clock

    @property
    def in_flight(self) -> int:
        """Joined requests under way."""
        return len(self._under_way)

    def wake(self) -> None:
        """Say that the journal has grown."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                await self._make_way()
                await self._gather()
                records = await self._take()
                if not records:
                    if not self._under_way:
                        self._reach(self.reader.at)  # past damage at the end, too
                    await self._wake.wait()
                    self._wake.clear()
                    continue
                self._left_s = asyncio.get_running_loop().time()
                task = asyncio.create_task(self._insist(records))
                self._under_way.append(_Flight(task, records[-1].end))
                task.add_done_callback(lambda _: self._confirm())
        finally:
            for flight in self._under_way:
                flight.task.cancel()

    async def _take(self) -> Sequence[Record]:
        most = self.forwarding.joined_bytes
        if self.reader.behind:
            return await asyncio.to_thread(self.reader.take, most)  # the disk may be slow
        return self.reader.take(most)

    async def _make_way(self) -> None:
        """Wait until another request may be under way."""
        while len(self._under_way) >= self.forwarding.in_flight:
            await asyncio.wait([self._under_way[0].task])  # the position moves only when the oldest has arrived
            await asyncio.sleep(0)  # let the callback move it

    async def _gather(self) -> None:
        """Where requests are small and frequent, wait a moment for more."""
        if 0 < self.reader.untaken_bytes < min(_SMALL_BYTES, self.forwarding.joined_bytes):
            wait_s = self._left_s + _PACE_S - asyncio.get_running_loop().time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)

    def _confirm(self) -> None:
        reached = None
        while self._under_way and self._under_way[0].task.done() and not self._under_way[0].task.cancelled():
            reached = self._under_way.popleft().end
        if reached is not None:
            self._reach(reached)
            if not self._under_way and self.reader.waiting_bytes:
                self._wake.set()

    def _reach(self, position: int) -> None:
        self.reader.confirm(position)
        if not self.reader.waiting_bytes:
            self._delivered.set()

    async def _insist(self, records: Sequence[Record]) -> None:
        """Try until the backend has taken the records, or has said that it never will."""
        attempt = 0
        spans = sum(record.spans for record in records)
        parts = [record.payload for record in records]
        while True:
            try:
                await self.backend.send(records[0].signal, parts, spans)
            except Refusal as refusal:
                if refusal.verdict in {Verdict.NEVER, Verdict.TOO_LARGE}:
                    await self._give_way(records, refusal)
                    return
                if refusal.verdict is Verdict.FOREIGN or self._final(refusal):
                    self._give_up(records, refusal)
                    return
                await asyncio.sleep(self.forwarding.delay_s(attempt, refusal.delay_s, self._rng))
                attempt += 1
            else:
                return

    def _final(self, refusal: Refusal) -> bool:
        """Return whether the operator lets OTLP's list of permanent codes count, and this is one of them."""
        return refusal.verdict is Verdict.BARRED and self.forwarding.permanent_codes is PermanentCodes.GIVE_UP

    async def _give_way(self, records: Sequence[Record], refusal: Refusal) -> None:
        """Find the request at fault by halves, so that none is lost because of its neighbours, and give only it up."""
        if len(records) > 1:
            middle = len(records) // 2
            await self._insist(records[:middle])
            await self._insist(records[middle:])
            return
        self._give_up(records, refusal)

    def _give_up(self, records: Sequence[Record], refusal: Refusal) -> None:
        spans = sum(record.spans for record in records)
        self.backend.failed(spans)
        _log.error(
            "given up backend=%s signal=%s requests=%d spans=%d bytes=%d reason=%r",
            self.backend.name,
            records[0].signal.value,
            len(records),
            spans,
            sum(len(record.payload) for record in records),
            refusal.reason,
        )

    async def finish(self, within_s: float) -> None:
        """Wait until nothing waits any more, or the time, seconds, is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.reader.waiting_bytes:
                    self._delivered.clear()
                    await self._delivered.wait()
