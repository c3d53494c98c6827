"""A processor that is offered three times what it can take: bounded memory, honest refusals, no loss, and soon well again.

The short form takes half a minute; `SPANWARD_OVERLOAD_S=180 pytest -s -m slow tests/overload` drives it for minutes, prints figures.
"""

import asyncio
import gzip
import os
import re
import socket
import statistics
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from crashing import METHOD
from spans import encoded, span
from spanward_processor.bench.usage import rss_bytes
from spanward_processor.h2.call import Answer, Call, Peer, Status
from spanward_processor.h2.client import GrpcChannel
from spanward_processor.h2.errors import CallTimeoutError, TransportError
from spanward_processor.h2.limits import Limits
from spanward_processor.h2.server import GrpcServer
from spanward_processor.status import retry_delay_s
from strict import Running, running

pytestmark = pytest.mark.slow

LONG_S = float(os.environ.get("SPANWARD_OVERLOAD_S", "20"))
TIMES = 3  # what is offered, in terms of what can be taken
MOST_RSS_BYTES = 512 << 20
SPANS = 512  # of a request
POOL = 64  # different requests
CHANNELS = 16
DEADLINE_S = 5.0  # of a sender
RECOVERED_S = 5.0  # within which all is well again
_MARK = re.compile(rb"request-(\d{4})")
_HTTP_SHARE = 8  # every eighth request goes over HTTP
_HEADERS = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}


def pool() -> list[bytes]:
    """Return packed requests, each with a mark; packed ones cost their sender little and the processor much."""
    rest = {f"attribute.{number}": "a value of usual length" for number in range(8)}
    filling = encoded(*(span(rest, span_id=number.to_bytes(8, "big")) for number in range(1, SPANS)))
    marked = [encoded(span({"mark": f"request-{number:04}"})) for number in range(POOL)]
    return [gzip.compress(filling + mark, 1) for mark in marked]


class Sink:
    """A backend that counts marks."""

    def __init__(self) -> None:
        self.arrived: Counter[int] = Counter()
        self.delay_s = 0.0

    def open(self, path: str, headers: Any, peer: Peer) -> Answer | None:
        """Take no other signals than traces."""
        return None if path == METHOD else Answer(status=Status.UNIMPLEMENTED)

    def __call__(self, call: Call) -> Answer | Awaitable[Answer]:
        """Count, and answer when it pleases."""
        self.arrived.update(map(int, _MARK.findall(call.body)))
        return self._later() if self.delay_s else Answer(b"")

    async def _later(self) -> Answer:
        await asyncio.sleep(self.delay_s)
        return Answer(b"")


@asynccontextmanager
async def serving(sink: Sink) -> AsyncGenerator[int]:
    """Serve a sink on loopback; yield its port."""
    bound = socket.create_server(("127.0.0.1", 0))
    server = GrpcServer(sink, Limits(message_bytes=64 << 20))
    await server.start(bound)
    try:
        yield int(bound.getsockname()[1])
    finally:
        await server.stop(0.1)


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
    """What was seen of an overloaded processor."""

    before_s: float = 0.0
    capacity_per_s: float = 0.0
    offered_per_s: float = 0.0
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


async def overload(
    folder: Path, sink: Sink, journal: dict[str, Any], during: Callable[[Sink], None]
) -> tuple[Seen, Senders]:
    """Overload a processor and let it recover; return what was seen, and its senders.

    Args:
        folder: Where its files lie.
        sink: Its backend.
        journal: Section of its configuration.
        during: Called when the overload begins.
    """
    seen = Seen()
    async with serving(sink) as port:
        config = {
            "receiver": {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"},
            "live": {"listen": "127.0.0.1:0"},
            "journal": {"folder": str(folder / "journal")} | journal,
            "backends": [{"name": "sink", "endpoint": f"http://127.0.0.1:{port}", "timeout_s": 10}],
            "limits": {"in_flight_bytes": 8 << 20},
            "forwarding": {"drain_s": 60},
        }
        entered = running(folder, config)
        processor = await asyncio.to_thread(entered.__enter__)
        watching = asyncio.create_task(_watch(processor.process.pid, seen))
        try:
            async with Senders(processor, pool()) as senders:
                seen.before_s = statistics.median([await senders.send() for _ in range(20)])
                seen.capacity_per_s = await senders.closed(3, 2 * CHANNELS)
                during(sink)
                before, began = senders.sent, time.monotonic()
                await senders.open(LONG_S, TIMES * seen.capacity_per_s)
                seen.offered_per_s = (senders.sent - before) / (time.monotonic() - began)
                sink.delay_s = 0.0
                ended = time.monotonic()
                while not await _well(senders, seen.before_s) and time.monotonic() < ended + 60:  # noqa: ASYNC110 - it asks
                    await asyncio.sleep(0.1)
                seen.recovery_s = time.monotonic() - ended
            processor.process.terminate()
            assert await asyncio.to_thread(processor.process.wait, 90) == 0
        finally:
            watching.cancel()
            await asyncio.to_thread(entered.__exit__, None, None, None)
    _print(seen, senders, sink)
    return seen, senders


def _print(seen: Seen, senders: Senders, sink: Sink) -> None:
    lost = sum(max(0, count - sink.arrived[number]) for number, count in senders.acknowledged.items())
    print(
        f"capacity {seen.capacity_per_s:.0f} requests/s ({seen.capacity_per_s * SPANS:.0f} spans/s), "
        f"offered {seen.offered_per_s:.0f}/s for {LONG_S:.0f} s; acknowledged {senders.acknowledged.total()}, "
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
    seen, senders = asyncio.run(overload(tmp_path, sink, {}, lambda _: None))

    _holds(seen, senders, sink)


def test_more_than_its_backend_can_take(tmp_path: Path) -> None:
    """The backend becomes slow as well, until the journal is full: refusals say when to come back."""
    sink = Sink()

    def slow(backend: Sink) -> None:
        backend.delay_s = 0.5

    seen, senders = asyncio.run(overload(tmp_path, sink, {"most_bytes": 64 << 20}, slow))

    _holds(seen, senders, sink)
    assert senders.refused > 0
