"""From the journal to one backend: in order, as long as it takes, and giving up only what is at fault."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from spanward_processor.configuration.settings import Forwarding
from spanward_processor.exporters.base import Refusal, Taken, Verdict
from spanward_processor.forward.backends import Backend
from spanward_processor.forward.sender import Sender
from spanward_processor.journal.log import Journal
from spanward_processor.journal.record import HEADER
from spanward_processor.journal.settings import Fsync, JournalSettings
from spanward_processor.signals import Encoded, Signal

QUICK = Forwarding(backoff_initial_s=0.001, backoff_max_s=0.002, joined_bytes=1)  # no two requests are joined
JOINING = Forwarding(backoff_initial_s=0.001, backoff_max_s=0.002, in_flight=1)

Answer = Callable[[Signal, list[bytes]], Awaitable[None]]


class Scripted:
    """A way to a backend whose answers a test writes.

    Args:
        answer: Called with what is sent; raises what the backend would.
    """

    def __init__(self, answer: Answer) -> None:
        self.attempts: list[list[bytes]] = []
        self.taken: list[bytes] = []
        self._answer = answer

    async def export(self, signal: Signal, parts: Sequence[Encoded], timeout_s: float) -> Taken:
        """Answer as the script says."""
        sent = [bytes(part) for part in parts]
        self.attempts.append(sent)
        await self._answer(signal, sent)
        self.taken += sent
        return Taken()

    async def close(self) -> None:
        """Nothing is open."""


async def willing(signal: Signal, parts: list[bytes]) -> None:
    """Take everything."""


class World:
    """A journal, a sender and a scripted backend.

    Args:
        folder: Where the journal lies.
        answer: What the backend says.
        forwarding: How patient the sender is.
        recent_bytes: Of the journal; 0 reads everything from the disk.
    """

    def __init__(
        self, folder: Path, answer: Answer = willing, forwarding: Forwarding = QUICK, recent_bytes: int = 1 << 20
    ) -> None:
        self.exporter = Scripted(answer)
        self.backend = Backend("b", self.exporter, timeout_s=5)
        self.journal = Journal(JournalSettings(folder, 8 << 20, recent_bytes, Fsync.OFF), ["b"])
        self.reader = self.journal.reader("b")
        self.sender = Sender(self.backend, self.reader, forwarding, random.Random(1))

    def put(self, *payloads: bytes, signal: Signal = Signal.TRACES) -> None:
        """Write requests of one span each."""
        for payload in payloads:
            self.journal.append(signal, payload, 1)
        self.sender.wake()

    async def deliver(self, within_s: float = 20) -> None:
        """Run the sender until everything is delivered or the time is over, then stop it and close."""
        task = asyncio.create_task(self.sender.run())
        await self.sender.finish(within_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.journal.close()


def numbered(count: int) -> list[bytes]:
    """Return so many different requests."""
    return [f"request {each:04}".encode() for each in range(count)]


def damage_second(folder: Path) -> None:
    """Change a byte of the second numbered request on the disk."""
    descriptor = os.open(next(folder.glob("*.segment")), os.O_WRONLY)
    os.pwrite(descriptor, b"X", 2 * HEADER.size + len(numbered(1)[0]) + 3)
    os.close(descriptor)


@pytest.mark.parametrize("recent_bytes", [0, 1 << 20])
def test_requests_arrive_in_order(recent_bytes: int, tmp_path: Path) -> None:
    """Whether joined from memory or read from the disk, what was written first is sent first."""

    async def run() -> None:
        world = World(tmp_path, recent_bytes=recent_bytes)
        world.put(*numbered(100))
        await world.deliver()

        assert world.exporter.taken == numbered(100)

    asyncio.run(run())


def test_waiting_requests_of_one_signal_are_joined(tmp_path: Path) -> None:
    """Small requests go as one, and another signal begins another."""

    async def run() -> None:
        world = World(tmp_path, forwarding=JOINING)
        world.put(b"1", b"2")
        world.put(b"3", signal=Signal.LOGS)
        world.put(b"4", b"5")
        await world.deliver()

        assert world.exporter.attempts == [[b"1", b"2"], [b"3"], [b"4", b"5"]]

    asyncio.run(run())


async def some_turns() -> None:
    """Let the event loop handle what is ready, without letting time pass."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_small_requests_that_follow_each_other_are_joined(tmp_path: Path) -> None:
    """The first goes at once; those that come right behind it wait for each other."""

    async def run() -> None:
        world = World(tmp_path, forwarding=JOINING)
        task = asyncio.create_task(world.sender.run())
        for payload in numbered(100):
            world.put(payload)
            await some_turns()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await world.deliver()

        assert world.exporter.attempts[0] == numbered(1)
        assert world.exporter.taken == numbered(100)
        assert len(world.exporter.attempts) < 50

    asyncio.run(run())


def test_large_requests_wait_for_no_others(tmp_path: Path) -> None:
    """One that is worth a call of its own goes at once, however short ago the one before it went."""

    async def run() -> None:
        world = World(tmp_path, forwarding=JOINING)
        task = asyncio.create_task(world.sender.run())
        for attempts in range(1, 6):
            world.put(bytes(200_000))
            await some_turns()

            assert len(world.exporter.attempts) == attempts
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        world.journal.close()

    asyncio.run(run())


def test_several_are_under_way_and_only_what_arrived_is_confirmed(tmp_path: Path) -> None:
    """While the first hangs, as many others as may be under way arrive; after a kill all of them would be sent again."""
    first, last = asyncio.Event(), asyncio.Event()

    async def answer(signal: Signal, parts: list[bytes]) -> None:
        if parts == [b"request 0000"]:
            await first.wait()
        if parts == [b"request 0003"]:
            last.set()

    async def run() -> None:
        world = World(tmp_path, answer)
        start = world.reader.confirmed
        world.put(*numbered(10))
        task = asyncio.create_task(world.sender.run())
        await last.wait()
        await asyncio.sleep(0.05)  # as long as it would take a sender that does not stop there

        assert len(world.exporter.attempts) == QUICK.in_flight
        assert world.reader.confirmed == start

        first.set()
        await world.sender.finish(20)
        assert sorted(world.exporter.taken) == numbered(10)
        assert world.reader.waiting_bytes == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        world.journal.close()

    asyncio.run(run())


def test_waiting_for_the_oldest_costs_no_cpu(tmp_path: Path) -> None:
    """When all others have arrived, the sender sleeps until the oldest has."""

    async def answer(signal: Signal, parts: list[bytes]) -> None:
        if parts == [b"request 0000"]:
            await asyncio.sleep(1)

    async def run() -> None:
        world = World(tmp_path, answer)
        world.put(*numbered(10))
        before = time.process_time()
        await world.deliver()

        assert len(world.exporter.taken) == 10
        assert time.process_time() - before < 0.5

    asyncio.run(run())


@pytest.mark.parametrize("verdict", [Verdict.LATER, Verdict.BARRED])
def test_a_backend_that_may_take_it_yet_is_asked_again_after_the_delay_it_asked_for(
    verdict: Verdict, tmp_path: Path
) -> None:
    """Neither a failing backend nor a wrong credential loses a request, and its wish to be left alone is kept."""
    asked: list[float] = []

    async def answer(signal: Signal, parts: list[bytes]) -> None:
        asked.append(time.monotonic())
        if len(asked) < 3:
            raise Refusal("not now", verdict, 0.2)

    async def run() -> None:
        world = World(tmp_path, answer)
        world.put(b"one")
        await world.deliver()

        assert world.exporter.taken == [b"one"]
        assert [later - sooner >= 0.19 for sooner, later in pairwise(asked)] == [True, True]
        assert world.backend.sent.failed_spans == 0

    asyncio.run(run())


def test_the_delay_a_backend_asks_for_is_bounded_on_both_sides() -> None:
    """Asked for no wait, or a negative one, the sender backs off by itself; asked for a year, it waits minutes."""
    forwarding, rng = Forwarding(), random.Random(7)

    assert sum(forwarding.delay_s(10, asked, rng) for asked in (0.0, -5.0) for _ in range(50)) > 50
    assert forwarding.delay_s(0, 3e7, rng) == 300.0


@pytest.mark.parametrize("verdict", [Verdict.NEVER, Verdict.TOO_LARGE])
def test_of_joined_requests_only_the_one_at_fault_is_given_up(verdict: Verdict, tmp_path: Path) -> None:
    """Its neighbours arrive, in order, and its spans are counted."""
    payloads = numbered(16)

    async def answer(signal: Signal, parts: list[bytes]) -> None:
        if payloads[11] in parts:
            raise Refusal("bad data", verdict)

    async def run() -> None:
        world = World(tmp_path, answer, JOINING)
        world.put(*payloads)
        await world.deliver()

        assert world.exporter.taken == payloads[:11] + payloads[12:]
        assert world.backend.sent.failed_spans == 1
        assert world.reader.waiting_bytes == 0

    asyncio.run(run())


def test_joined_requests_that_are_too_large_arrive_in_parts(tmp_path: Path) -> None:
    """A backend with a smaller limit than ours gets everything, in pieces it can take."""

    async def answer(signal: Signal, parts: list[bytes]) -> None:
        if sum(map(len, parts)) > 40:
            raise Refusal("larger than max", Verdict.TOO_LARGE)

    async def run() -> None:
        world = World(tmp_path, answer, JOINING)
        world.put(*numbered(16))
        await world.deliver()

        assert world.exporter.taken == numbered(16)
        assert world.backend.sent.failed_spans == 0

    asyncio.run(run())


def test_a_signal_that_the_backend_does_not_know_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """A store of traces gets its traces although it has no use for logs; those are given up in one attempt."""

    async def answer(signal: Signal, parts: list[bytes]) -> None:
        if signal is Signal.LOGS:
            raise Refusal("UNIMPLEMENTED", Verdict.FOREIGN)

    async def run() -> None:
        world = World(tmp_path, answer, JOINING)
        world.put(b"log 1", b"log 2", signal=Signal.LOGS)
        world.put(b"span")
        await world.deliver()

        assert world.exporter.attempts == [[b"log 1", b"log 2"], [b"span"]]
        assert world.exporter.taken == [b"span"]

    asyncio.run(run())


def test_an_attempt_that_fails_in_an_unforeseen_way_is_repeated(tmp_path: Path) -> None:
    """A defect of ours on the way out does not count as delivered."""
    attempts: list[bytes] = []

    async def answer(signal: Signal, parts: list[bytes]) -> None:
        attempts.extend(parts)
        if len(attempts) < 3:
            raise KeyError("a defect")

    async def run() -> None:
        world = World(tmp_path, answer)
        world.put(b"one")
        await world.deliver()

        assert world.exporter.taken == [b"one"]

    asyncio.run(run())


def test_finish_waits_until_everything_has_arrived(tmp_path: Path) -> None:
    """It returns when the last request was taken, not before."""
    release = asyncio.Event()

    async def answer(signal: Signal, parts: list[bytes]) -> None:
        await release.wait()

    async def run() -> None:
        world = World(tmp_path, answer)
        world.put(*numbered(3))
        finishing = asyncio.create_task(world.deliver())
        await asyncio.sleep(0.1)
        assert not finishing.done()
        release.set()
        await finishing

        assert world.exporter.taken == numbered(3)

    asyncio.run(run())


def test_finish_returns_when_its_time_is_over(tmp_path: Path) -> None:
    """A backend that never answers does not keep the processor from stopping."""

    async def answer(signal: Signal, parts: list[bytes]) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        world = World(tmp_path, answer)
        world.put(b"one")
        before = time.monotonic()
        await world.deliver(within_s=0.2)

        assert 0.15 < time.monotonic() - before < 5

    asyncio.run(run())


def test_what_was_under_way_when_stopped_is_sent_after_a_restart(tmp_path: Path) -> None:
    """A sender that is cancelled in the middle of an attempt loses nothing."""

    async def hang(signal: Signal, parts: list[bytes]) -> None:
        if parts != [b"request 0000"]:
            await asyncio.Event().wait()

    async def run() -> None:
        stopped = World(tmp_path, hang)
        stopped.put(*numbered(10))
        await stopped.deliver(within_s=0.2)
        restarted = World(tmp_path)
        await restarted.deliver()

        assert stopped.exporter.taken == numbered(1)
        assert restarted.exporter.taken == numbered(10)[1:]

    asyncio.run(run())


def test_a_damaged_record_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broken disk block costs the request in it, not those behind it; the log tells where."""

    async def run() -> None:
        world = World(tmp_path, recent_bytes=0)
        world.put(*numbered(3))
        damage_second(tmp_path)
        await world.deliver()

        assert world.exporter.taken == [b"request 0000", b"request 0002"]
        assert world.reader.confirmed == world.journal.end

    asyncio.run(run())
    assert "journal damaged" in caplog.text


def test_damage_at_the_end_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    """When the newest record is the damaged one, nothing waits any more once the others have arrived."""

    async def run() -> None:
        world = World(tmp_path, recent_bytes=0)
        world.put(*numbered(2))
        damage_second(tmp_path)
        before = time.monotonic()
        await world.deliver(within_s=10)

        assert world.exporter.taken == [b"request 0000"]
        assert time.monotonic() - before < 5

    asyncio.run(run())
