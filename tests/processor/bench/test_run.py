"""A small measurement of the real processor, end to end, and the table made of it."""

import asyncio
import io
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from requiring import require_peer
from spanward_processor.bench.corpus import Shape
from spanward_processor.bench.report import WIDTH, ratios, table
from spanward_processor.bench.rows import ROWS, Row
from spanward_processor.bench.run import BenchError, Measurement, Outcome, check_pause, run
from spanward_processor.bench.sides import DIRECT, OURS, THEIRS, cached_peer, start_sink
from spanward_processor.bench.sink import SinkClient
from spanward_processor.bench.usage import tree
from spanward_processor.commands import app
from spanward_processor.demo.processes import Processes

SMALL = Row("small", "a small one", Shape(spans=64), requests=40, pace_per_s=1_000.0)


def measurement(cpu_s: float = 1.0) -> Measurement:
    """Return a made-up round."""
    return Measurement(1_000_000, 2.0, cpu_s, 100 << 20, 10_000, np.array([0.001, 0.003]), 0.5)


def test_every_span_sent_arrives_and_costs_something() -> None:
    """A run of ours alone gives sane figures: all spans at the sink, CPU time, memory, some rows annotated."""
    outcome = run(SMALL, None, rounds=2)
    rounds = outcome.rounds[OURS]

    assert list(outcome.rounds) == [OURS]
    assert [one.spans for one in rounds] == [2_560, 2_560]
    assert all(0 < one.cpu_s < 60 and one.wall_s > 0 for one in rounds)
    assert all(50 << 20 < one.rss_bytes < 4 << 30 for one in rounds)
    assert 0 < sum(one.annotated for one in rounds) / 5_120 < 0.1


@pytest.mark.slow
def test_fixed_rate_is_kept_and_timed() -> None:
    """At a fixed rate the time to the sink is known for each request, and the sink alone is measured beside."""
    outcome = run(replace(SMALL, spans_per_s=2_000.0), None, rounds=1)

    assert list(outcome.rounds) == [OURS, DIRECT]
    for one in (outcome.rounds[OURS][0], outcome.rounds[DIRECT][0]):
        assert one.ways_s.size == 40
        assert (one.ways_s > 0).all()
        assert one.spans_per_s < 2_200
    assert math.isnan(outcome.rounds[DIRECT][0].cpu_s)


@pytest.mark.slow
def test_collector_passes_every_span_on() -> None:
    """The real Collector beside ours gets and passes on the same spans."""
    peer = cached_peer()
    require_peer("Collector", peer is not None, "tests/peers/collector.sh builds one")
    outcome = run(SMALL, peer, rounds=1)

    assert outcome.rounds[THEIRS][0].spans == 2_560
    assert outcome.rounds[THEIRS][0].annotated == 0
    assert len(ratios(outcome)) == 1


@pytest.mark.slow
def test_ended_early_it_leaves_nothing_running() -> None:
    """SIGTERM in the middle of a measurement ends the processes it started."""
    command = [sys.executable, "-m", "spanward_processor", "bench", "series-100", "--rounds", "1000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr
        assert any("learns" in line for line in bench.stderr)
        started = [pid for pid in tree(bench.pid) if pid != bench.pid]
        bench.terminate()
        assert bench.wait(60) == 1

    assert len(started) >= 2
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_sink_that_gets_nothing_is_not_waited_for_forever(tmp_path: Path) -> None:
    """Waiting for spans that never come ends with an error."""

    async def wait() -> None:
        async with Processes(tmp_path) as processes:
            sink = await start_sink(processes)
            async with SinkClient(sink.address) as client:
                await client.taken(1, within_s=0.2)

    with pytest.raises(grpc.aio.AioRpcError, match="Deadline"):
        asyncio.run(wait())


def test_table_tells_the_ratio_and_whether_it_is_reached() -> None:
    """Rounds are compared pairwise, and the median is held against what is to be reached."""
    row = replace(ROWS[0], ratio=0.6)
    outcome = Outcome(row, {OURS: [measurement(5.0)] * 3, THEIRS: [measurement(10.0)] * 3}, None)
    console = Console(width=WIDTH, file=io.StringIO(), record=True)
    console.print(table(outcome))
    text = console.export_text()

    assert "ours / theirs 0.50 / 0.50 / 0.50, to reach 0.6: reached" in text
    assert "5.00 / 5.00 / 5.00" in text
    assert "500,000 / 500,000 / 500,000" in text


def test_unknown_row_is_refused_with_the_known_ones() -> None:
    """A wrong name is answered with the right ones."""
    result = CliRunner().invoke(app, ["bench", "nonsense"])

    assert result.exit_code == 2
    assert "row: must be one of batch, " in result.output


def test_list_names_every_row() -> None:
    """The rows can be seen without measuring."""
    result = CliRunner().invoke(app, ["bench", "--list"])

    assert [line.split()[0] for line in result.output.splitlines()] == [row.name for row in ROWS]


def test_a_round_that_would_be_late_is_an_error() -> None:
    """Who was silent for longer than the lateness would have spans forwarded that are not counted."""
    check_pause("batch", 9.9)

    with pytest.raises(BenchError, match=r"batch: after 10\.1 s without spans, more than 10, new ones are late"):
        check_pause("batch", 10.1)
