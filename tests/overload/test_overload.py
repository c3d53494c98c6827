"""A processor that is offered three times what it can take: bounded memory, honest refusals, no loss, and soon well again.

The short form takes half a minute; `SPANWARD_OVERLOAD_S=180 pytest -s -m slow tests/overload` drives it for minutes, prints figures.
"""

import asyncio
import gzip
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from crashing import METHOD
from spans import encoded, span
from spanward_processor.bench.usage import cpu_s, rss_bytes
from spanward_processor.h2.call import Status
from spanward_processor.h2.client import GrpcChannel
from spanward_processor.h2.errors import CallTimeoutError, TransportError
from spanward_processor.status import retry_delay_s
from strict import Running, running

pytestmark = pytest.mark.slow

LONG_S = float(os.environ.get("SPANWARD_OVERLOAD_S", "20"))
TIMES = 3  # what is offered, in terms of what can be taken
MOST_RSS_BYTES = 256 << 20
SPANS = 512  # of a request
POOL = 64  # different requests
CHANNELS = 16
DEADLINE_S = 5.0  # of a sender
RECOVERED_S = 5.0  # within which all is well again
_HTTP_SHARE = 8  # every eighth request goes over HTTP
_HEADERS = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}


def pool() -> list[bytes]:
    """Return packed requests, each with a mark; packed ones cost their sender little and the processor much."""
    rest = {f"attribute.{number}": "a value of usual length" for number in range(8)}
    filling = encoded(*(span(rest, span_id=number.to_bytes(8, "big")) for number in range(1, SPANS)))
    marked = [encoded(span({"mark": f"request-{number:04}"})) for number in range(POOL)]
    return [gzip.compress(filling + mark, 1) for mark in marked]


class Sink:
    """The backend's process."""

    def __init__(self) -> None:
        self.arrived: Counter[int] = Counter()
        command = [sys.executable, str(Path(__file__).with_name("sink.py"))]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def become(self, *, slow: bool) -> None:
        """Let each answer take half a second, or no time."""
        self._process.send_signal(signal.SIGUSR1 if slow else signal.SIGUSR2)

    def end(self) -> None:
        """End it, and learn how often each mark came."""
        self._process.terminate()
        said, _ = self._process.communicate(timeout=30)
        self.arrived = Counter({int(mark): count for mark, count in json.loads(said).items()})


@dataclass
class Senders:
    """Senders over both protocols, and what they were told.

    Args:
        processor: Whom they send to.
        pool: What they send.
    """

    processor: Running
    pool: list[bytes]
    acknowledged: Counter[int] = field(default_factory=Counter[int])
    took_s: list[float] = field(default_factory=list[float])
    refused: int = 0
    unanswered: int = 0
    dishonest: list[str] = field(default_factory=list[str])
    sent: int = 0

    async def __aenter__(self) -> Self:
        """Open connections."""
        host, _, port = self.processor.address().rpartition(":")
        self._channels = [GrpcChannel(host, int(port)) for _ in range(CHANNELS)]
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CHANNELS), timeout=aiohttp.ClientTimeout(total=DEADLINE_S)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close connections."""
        await asyncio.gather(*(channel.close() for channel in self._channels))
        await self._session.close()

    async def send(self) -> float:
        """Send the next request; return how long its answer took, seconds."""
        number, self.sent = self.sent, self.sent + 1
        began = time.monotonic()
        send = self._over_http if number % _HTTP_SHARE == 0 else self._over_grpc
        try:
            taken = await send(number % POOL, self._channels[number % CHANNELS])
        except (CallTimeoutError, TransportError, TimeoutError, aiohttp.ClientError):
            self.unanswered += 1
            return time.monotonic() - began
        took_s = time.monotonic() - began
        if taken:
            self.acknowledged[number % POOL] += 1
            self.took_s.append(took_s)
        else:
            self.refused += 1
        return took_s

    async def _over_grpc(self, number: int, channel: GrpcChannel) -> bool:
        answer = await channel.call(METHOD, [self.pool[number]], timeout_s=DEADLINE_S, encoding="gzip")
        if answer.status and not (answer.status == Status.UNAVAILABLE and retry_delay_s(answer.details)):
            self.dishonest.append(f"gRPC {answer.status} {answer.message}")
        return not answer.status

    async def _over_http(self, number: int, _: GrpcChannel) -> bool:
        url = f"http://{self.processor.address('http')}/v1/traces"
        async with self._session.post(url, data=self.pool[number], headers=_HEADERS) as answer:
            body = await answer.read()
            if answer.status != 200 and not (answer.status == 503 and answer.headers.get("retry-after")):
                self.dishonest.append(f"HTTP {answer.status} {body!r}")
            return answer.status == 200

    async def closed(self, seconds: float, workers: int) -> float:
        """Send with so many workers, the next when one is answered; return how many were taken a second."""
        before, end = self.acknowledged.total(), time.monotonic() + seconds

        async def work() -> None:
            while time.monotonic() < end:
                await self.send()

        await asyncio.gather(*(work() for _ in range(workers)))
        return (self.acknowledged.total() - before) / seconds

    async def open(self, seconds: float, per_s: float) -> None:
        """Send so many a second, whatever the answers."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as sending:
            for number in range(int(seconds * per_s)):
                await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
                sending.create_task(self.send())


@dataclass
class Seen:
    """What was seen of an overloaded processor; `busy` is how many cores it and its senders had."""

    before_s: float = 0.0
    capacity_per_s: float = 0.0
    offered_per_s: float = 0.0
    taken_per_s: float = 0.0
    busy: float = 0.0
    senders_busy: float = 0.0
    rss_bytes: int = 0
    recovery_s: float = 0.0


async def _watch(pid: int, seen: Seen) -> None:
    while True:
        seen.rss_bytes = max(seen.rss_bytes, rss_bytes(pid))
        await asyncio.sleep(0.1)


async def _well(senders: Senders, usual_s: float) -> bool:
    """Return whether a request is answered about as quickly as before, and it is said to be ready."""
    acknowledged = senders.acknowledged.total()
    took_s = await senders.send()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{senders.processor.address('page')}/readyz") as answer,
    ):
        ready = answer.status == 200
    return ready and senders.acknowledged.total() > acknowledged and took_s < max(0.1, 5 * usual_s)


async def overload(folder: Path, sink: Sink, journal: dict[str, Any], *, slow: bool) -> tuple[Seen, Senders]:
    """Overload a processor and let it recover; return what was seen, and its senders.

    Args:
        folder: Where its files lie.
        sink: Its backend.
        journal: Section of its configuration.
        slow: Whether the backend becomes slow meanwhile.
    """
    seen = Seen()
    config = {
        "receiver": {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"},
        "live": {"listen": "127.0.0.1:0"},
        "journal": {"folder": str(folder / "journal")} | journal,
        "backends": [{"name": "sink", "endpoint": f"http://127.0.0.1:{sink.port}", "timeout_s": 10}],
        "forwarding": {"drain_s": 60},
    }
    entered = running(folder, config)
    processor = await asyncio.to_thread(entered.__enter__)
    watching = asyncio.create_task(_watch(processor.process.pid, seen))
    try:
        async with Senders(processor, pool()) as senders:
            seen.before_s = statistics.median([await senders.send() for _ in range(20)])
            seen.capacity_per_s = await senders.closed(3, 2 * CHANNELS)
            sink.become(slow=slow)
            before, taken, began = senders.sent, senders.acknowledged.total(), time.monotonic()
            used_s = cpu_s(processor.process.pid), time.process_time()
            await senders.open(LONG_S, TIMES * seen.capacity_per_s)
            seen.offered_per_s = (senders.sent - before) / (time.monotonic() - began)
            seen.taken_per_s = (senders.acknowledged.total() - taken) / (time.monotonic() - began)
            passed_s = time.monotonic() - began
            seen.busy = (cpu_s(processor.process.pid) - used_s[0]) / passed_s
            seen.senders_busy = (time.process_time() - used_s[1]) / passed_s
            sink.become(slow=False)
            ended = time.monotonic()
            while not await _well(senders, seen.before_s) and time.monotonic() < ended + 60:  # noqa: ASYNC110 - it asks
                await asyncio.sleep(0.1)
            seen.recovery_s = time.monotonic() - ended
        processor.process.terminate()
        assert await asyncio.to_thread(processor.process.wait, 90) == 0
    finally:
        watching.cancel()
        await asyncio.to_thread(entered.__exit__, None, None, None)
        await asyncio.to_thread(sink.end)
    _print(seen, senders, sink)
    return seen, senders


def _print(seen: Seen, senders: Senders, sink: Sink) -> None:
    lost = sum(max(0, count - sink.arrived[number]) for number, count in senders.acknowledged.items())
    print(
        f"capacity {seen.capacity_per_s:.0f} requests/s ({seen.capacity_per_s * SPANS:.0f} spans/s), "
        f"offered {seen.offered_per_s:.0f}/s for {LONG_S:.0f} s, taken {seen.taken_per_s:.0f}/s "
        f"by {seen.busy:.2f} cores, {seen.senders_busy:.2f} for its senders; acknowledged {senders.acknowledged.total()}, "
        f"refused {senders.refused}, unanswered {senders.unanswered}, lost {lost}, arrived {sink.arrived.total()}; "
        f"RSS at most {seen.rss_bytes >> 20} MiB; latency before {seen.before_s * 1e3:.1f} ms, "
        f"recovered within {seen.recovery_s:.1f} s"
    )


def _holds(seen: Seen, senders: Senders, sink: Sink) -> None:
    assert senders.dishonest == []
    assert seen.rss_bytes < MOST_RSS_BYTES
    assert [number for number, count in senders.acknowledged.items() if sink.arrived[number] < count] == []
    assert seen.recovery_s < RECOVERED_S


def test_more_than_it_can_take(tmp_path: Path) -> None:
    """Three times what it can take: what is not taken waits at its sender or is asked to come back."""
    sink = Sink()
    seen, senders = asyncio.run(overload(tmp_path, sink, {"most_bytes": 4 << 30}, slow=False))

    _holds(seen, senders, sink)


def test_more_than_its_backend_can_take(tmp_path: Path) -> None:
    """The backend becomes slow as well, until the journal is full: refusals say when to come back."""
    sink = Sink()
    seen, senders = asyncio.run(overload(tmp_path, sink, {"most_bytes": 64 << 20}, slow=True))

    _holds(seen, senders, sink)
    assert senders.refused > 0
