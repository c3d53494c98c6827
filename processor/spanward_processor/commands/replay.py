"""`spanward replay`: what would have been found in recorded traffic."""

import asyncio
import datetime
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spanward_processor.configuration.config import DetectionConfig
from spanward_processor.features import show_count, show_seconds
from spanward_processor.findings import State
from spanward_processor.logs import printable

if TYPE_CHECKING:
    from spanward_processor.replay import Replayed


def replay(
    files: Annotated[list[Path], typer.Argument(help="CSV files in the form of the Azure LLM inference trace.")],
    window_s: Annotated[
        float, typer.Option(min=0.1, max=86_400, help="Length of a window, seconds of event time.")
    ] = 10.0,
) -> None:
    """Feed recorded telemetry through a processor and report what it learned and found."""
    from spanward_processor.replay import RecordingError  # no other command shall carry what this one needs
    from spanward_processor.replay import replay as replay_files

    missing = [path for path in files if not path.is_file()]
    if missing:
        typer.echo(f"{missing[0]}: must be a file", err=True)
        raise typer.Exit(2)
    began = time.perf_counter()
    detection = DetectionConfig(window_s=window_s)
    logging.getLogger("spanward_processor").setLevel(
        logging.ERROR
    )  # that it forwards nowhere, and findings, are reported
    try:
        replayed = asyncio.run(replay_files(files, detection))
    except RecordingError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    _report(replayed, detection, time.perf_counter() - began, Console(soft_wrap=True, highlight=False))


def _report(replayed: "Replayed", detection: DetectionConfig, took_s: float, console: Console) -> None:
    span_of_time = (replayed.last_ns - replayed.first_ns) / 1e9
    console.print(
        f"{replayed.spans:,} spans from {_date(replayed.first_ns)} {_time(replayed.first_ns)} to "
        f"{_date(replayed.last_ns)} {_time(replayed.last_ns)} UTC: "
        f"{span_of_time / 60:.0f} min of event time in {took_s:.1f} s, start included\n"
    )
    if replayed.late:
        console.print(
            f"{replayed.late:,} spans were late and not judged: recordings must be in order of time.\n", style="red"
        )
    console.print(_baseline(replayed))
    opened = sum(finding.state is State.OPENED for finding in replayed.transitions)
    console.print(
        f"\nFindings: {opened or 'none'} (false alarms allowed: {detection.false_alarms_per_day:g} a day)", style="bold"
    )
    for finding in replayed.transitions:
        console.print(
            f"  {_time(finding.updated_ns)} {finding.state.value:<8} {finding.severity.value:<8} "
            f"evidence 10^{finding.log10_e:.1f}, n {finding.n}  {printable(finding.reason)}",
            highlight=False,
            markup=False,
        )


def _baseline(replayed: "Replayed") -> Table:
    windows = max((len(standing.history) for standing in replayed.standings), default=0)
    table = Table("series", "state", "mean rate", "input p50", "latency p50", title=f"The last {windows} windows")
    for standing in replayed.standings:
        rates = [point.rate_per_s for point in standing.history]
        inputs = sorted(point.input_p50 for point in standing.history if point.input_p50 is not None)
        latencies = sorted(point.latency_p50_s for point in standing.history if point.latency_p50_s is not None)
        table.add_row(
            Text(printable(str(standing.series))),
            "ready" if standing.ready else f"learning: {standing.reason}",
            f"{show_count(sum(rates) / len(rates))}/s" if rates else "-",
            show_count(inputs[len(inputs) // 2]) if inputs else "-",
            show_seconds(latencies[len(latencies) // 2]) if latencies else "not recorded",
        )
    return table


def _date(time_ns: int) -> str:
    return datetime.datetime.fromtimestamp(time_ns / 1e9, datetime.UTC).strftime("%Y-%m-%d")


def _time(time_ns: int) -> str:
    return datetime.datetime.fromtimestamp(time_ns / 1e9, datetime.UTC).strftime("%H:%M:%S")
