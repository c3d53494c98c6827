"""One row: both sides started, taught, and then measured in turns, with the same requests."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from spanward_processor.bench.calibrate import beginning_ns, corpus, flagged_rows_ratio, learning_requests
from spanward_processor.bench.corpus import Feed
from spanward_processor.bench.load import Senders
from spanward_processor.bench.rows import Row
from spanward_processor.bench.sides import (
    DIRECT,
    OURS,
    Side,
    our_config,
    start_ours,
    start_sink,
    start_theirs,
    their_config,
)
from spanward_processor.bench.sink import SinkClient
from spanward_processor.bench.usage import Used
from spanward_processor.configuration.config import Config
from spanward_processor.demo.processes import Processes
from spanward_processor.kernels.jit import Floats

CONNECTIONS: Final = 4
SEED: Final = 20_261_125

_LEARNING_SPANS_PER_S: Final = 50_000.0  # for rows at a fixed rate, whose memory must not be that of a flood
_MORE_REQUESTS: Final = 20
_LEARNED_WITHIN_S: Final = 30.0


class BenchError(RuntimeError):
    """A measurement is not what it claims to be; the text says why."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One round of one side.

    Args:
        spans: Spans sent, all of which the sink has taken.
        wall_s: From the first request to the last span at the sink, seconds.
        cpu_s: User and system time of the side's processes meanwhile, seconds; NaN for the sink itself.
        rss_bytes: Largest resident memory meanwhile; 0 for the sink itself.
        annotated: Spans that arrived annotated.
        ways_s: (r,) float64 seconds each request was under way to the sink; empty unless sent at a fixed rate.
        load: Load average of the machine, of one minute, at the end.
    """

    spans: int
    wall_s: float
    cpu_s: float
    rss_bytes: int
    annotated: int
    ways_s: Floats
    load: float

    @property
    def cpu_s_per_mspan(self) -> float:
        """CPU seconds per million spans."""
        return self.cpu_s / self.spans * 1e6

    @property
    def spans_per_s(self) -> float:
        """Spans per second of wall time."""
        return self.spans / self.wall_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row measured.

    Args:
        row: Which.
        rounds: Measurements of each side, in turns.
        spans_per_s: The fixed rate, where there was one.
    """

    row: Row
    rounds: dict[str, list[Measurement]]
    spans_per_s: float | None


async def measure(
    row: Row, peer: Path | None, rounds: int, progress: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Measure one row.

    Args:
        row: What.
        peer: The Collector's binary; without it this processor is measured alone.
        rounds: Turns of each side.
        progress: Told what happens.

    Raises:
        BenchError: Spans were lost or would be late, or baselines never learned.
        ProcessError: A program did not start.
    """
    progress(f"{row.name}: corpus")
    began_ns = beginning_ns()
    with tempfile.TemporaryDirectory(prefix="spanward-bench-") as name:
        folder = Path(name)
        config = _ours(row, folder / "journal")
        async with Processes(folder) as processes:
            sink = await start_sink(processes)
            sides = [await start_ours(processes, folder, config(sink.address))]
            if peer:
                theirs = their_config(sink.address, gzip=row.gzip, span_metrics=row.span_metrics)
                sides.append(await start_theirs(processes, folder, peer, theirs))
            if row.spans_per_s is not None:
                sides.append(sink)
            async with SinkClient(sink.address) as client:
                turns = [_Turns(side, row, began_ns, client) for side in sides]
                for turn in reversed(turns):  # ours last, so that it is not left waiting
                    progress(f"{row.name}: {turn.side.name} learns")
                    await turn.learn()
                rate = await _rate(row, turns)
                return Outcome(row, await _in_turns(turns, rounds, rate, progress), rate)


def _ours(row: Row, journal: Path) -> Callable[[str], dict[str, Any]]:
    """Return what makes our configuration of the sink's address."""
    ratio = flagged_rows_ratio(row.shape, row.pace_per_s, row.requests, SEED)
    return partial(our_config, gzip=row.gzip, flagged_rows_ratio=ratio, series=row.shape.series, journal=journal)


async def _rate(row: Row, turns: Sequence["_Turns"]) -> float | None:
    """Return the fixed rate of a row: as it says, or half of what the slower side takes."""
    if row.spans_per_s != 0.0:
        return row.spans_per_s
    saturated = [await turn.take(None) for turn in turns if turn.side.name != DIRECT for _ in range(2)]
    return min(measurement.spans_per_s for measurement in saturated) / 2


async def _in_turns(
    turns: Sequence["_Turns"], rounds: int, rate: float | None, progress: Callable[[str], None]
) -> dict[str, list[Measurement]]:
    results: dict[str, list[Measurement]] = {turn.side.name: [] for turn in turns}
    for number in range(rounds):
        for turn in turns:
            progress(f"{turn.row.name}: round {number + 1} of {rounds}, {turn.side.name}")
            results[turn.side.name].append(await turn.take(rate))
    return results


class _Turns:
    """One side's share of a row.

    Args:
        side: Which.
        row: What is measured.
        began_ns: Event time of the first span.
        sink: Where it arrives.
    """

    def __init__(self, side: Side, row: Row, began_ns: int, sink: SinkClient) -> None:
        self.side = side
        self.row = row
        self._feed = Feed(corpus(row.shape.learned(), SEED), began_ns, row.pace_per_s, SEED)
        self._sink = sink
        self._left_s: float | None = None  # when the newest span had arrived, on the monotonic clock

    async def learn(self) -> None:
        """Send what teaches baselines and warms everything up; ours has learned when the first row arrives annotated."""
        if self.side.name != DIRECT:
            requests = learning_requests(self.row.shape, self.row.pace_per_s)
            await self._send(requests, _LEARNING_SPANS_PER_S if self.row.spans_per_s else None)
        self._feed.become(corpus(self.row.shape, SEED))
        arrived = await self._send(_MORE_REQUESTS, None)
        deadline = time.monotonic() + _LEARNED_WITHIN_S
        while self.side.name == OURS and not arrived.annotated:
            if time.monotonic() > deadline:
                raise BenchError(f"{self.row.name}: no row was annotated within {_LEARNED_WITHIN_S:.0f} s of learning")
            arrived = await self._send(_MORE_REQUESTS, None)

    async def take(self, rate: float | None) -> Measurement:
        """Measure one round."""
        return await self._send(self.row.requests, rate)

    async def _send(self, requests: int, rate: float | None) -> Measurement:
        spans = requests * self._feed.spans_per_request
        if self.side.name == OURS and self._left_s is not None:
            check_pause(self.row.name, time.monotonic() - self._left_s)
        before = await self._sink.taken()
        async with Senders(self.side.address, CONNECTIONS, gzip=self.row.gzip) as senders, Used(self.side.pid) as used:
            began = time.monotonic()
            await (senders.closed(self._feed, requests) if rate is None else senders.open(self._feed, rate, requests))
            after = await self._sink.taken(before.spans + spans)
            self._left_s = time.monotonic()
            wall_s = self._left_s - began
        if after.spans != before.spans + spans:
            raise BenchError(f"{self.row.name}: sent {spans} spans, {after.spans - before.spans} arrived")
        return Measurement(
            spans=spans,
            wall_s=wall_s,
            cpu_s=used.cpu_s,
            rss_bytes=used.rss_bytes,
            annotated=after.annotated - before.annotated,
            ways_s=np.array(after.ways_ns) / 1e9,
            load=os.getloadavg()[0],
        )


def check_pause(row: str, pause_s: float) -> None:
    """See to it that what is sent now counts: after a silence longer than the lateness, windows close by the clock.

    Args:
        row: What is measured.
        pause_s: Since the newest span of ours arrived, seconds.

    Raises:
        BenchError: What is sent now would be late: forwarded, but not counted.
    """
    lateness_s = Config().detection.lateness_s
    if pause_s > lateness_s:
        raise BenchError(f"{row}: after {pause_s:.1f} s without spans, more than {lateness_s:.0f}, new ones are late")


def run(row: Row, peer: Path | None, rounds: int, progress: Callable[[str], None] = lambda _: None) -> Outcome:
    """Measure one row; see `measure`. SIGTERM ends it as an error, with everything it started."""

    async def measured() -> Outcome:
        task = asyncio.create_task(measure(row, peer, rounds, progress))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            return await task
        except asyncio.CancelledError as error:
            raise BenchError(f"{row.name}: ended before it was measured") from error

    return asyncio.run(measured())
