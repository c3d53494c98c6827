"""`spanward replay`: what would have been found in recorded traffic."""

import asyncio
import datetime
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from spanward_processor.config import DetectionConfig
from spanward_processor.features import show_count, show_seconds
from spanward_processor.findings import State
from spanward_processor.replay import RecordingError, Replayed
from spanward_processor.replay import replay as replay_files


def replay(
    files: Annotated[list[Path], typer.Argument(help="CSV files in the form of the Azure LLM inference trace.")],
    window_s: Annotated[float, typer.Option(help="Length of a window, seconds of event time.")] = 10.0,
) -> None:
    """Feed recorded telemetry through a processor and report what it learned and found."""
    missing = [path for path in files if not path.is_file()]
    if missing:
        typer.echo(f"{missing[0]}: must be a file", err=True)
        raise typer.Exit(2)
    began = time.perf_counter()
    try:
        replayed = asyncio.run(replay_files(files, DetectionConfig(window_s=window_s)))
    except RecordingError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    _report(replayed, time.perf_counter() - began, Console(soft_wrap=True))


def _report(replayed: Replayed, took_s: float, console: Console) -> None:
    span_of_time = (replayed.last_ns - replayed.first_ns) / 1e9
    console.print(
        f"{replayed.spans:,} spans, {_time(replayed.first_ns)} to {_time(replayed.last_ns)} UTC "
        f"({span_of_time / 60:.0f} min of event time) in {took_s:.1f} s\n"
    )
    console.print(_baseline(replayed))
    opened = [finding for finding in replayed.transitions if finding.state is State.OPENED]
    console.print(f"\nFindings: {len(opened)}", style="bold")
    for finding in replayed.transitions:
        console.print(
            f"  {_time(finding.updated_ns)} {finding.state.value:<8} {finding.severity.value:<8} "
            f"evidence 10^{finding.log10_e:.1f}, n {finding.n}  {finding.reason}",
            highlight=False,
            markup=False,
        )


def _baseline(replayed: Replayed) -> Table:
    table = Table("series", "state", "learned", "rate, median", "input p50, median", "latency p50, median")
    for standing in replayed.standings:
        rates = sorted(point.rate_per_s for point in standing.history)
        inputs = sorted(point.input_p50 for point in standing.history if point.input_p50 is not None)
        latencies = sorted(point.latency_p50_s for point in standing.history if point.latency_p50_s is not None)
        table.add_row(
            str(standing.series),
            "ready" if standing.ready else "learning",
            standing.reason,
            f"{show_count(rates[len(rates) // 2])}/s" if rates else "-",
            show_count(inputs[len(inputs) // 2]) if inputs else "-",
            show_seconds(latencies[len(latencies) // 2]) if latencies else "not recorded",
        )
    return table


def _time(time_ns: int) -> str:
    return datetime.datetime.fromtimestamp(time_ns / 1e9, datetime.UTC).strftime("%H:%M:%S")
