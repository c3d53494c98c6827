"""`spanward bench`: what the processor costs, beside a Collector, on this machine."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from spanward_processor.bench.rows import Row


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Rows to measure; all when none is named.")] = None,
    peer: Annotated[
        Path | None, typer.Option(help="Binary of an OpenTelemetry Collector; the cached build when absent.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each side.")] = 5,
    show_rows: Annotated[bool, typer.Option("--list", help="Show the rows and stop.")] = False,
) -> None:
    """Measure the processor beside an OpenTelemetry Collector, in turns, on the same spans."""
    from spanward_processor.bench.report import WIDTH, table  # no other command shall carry what this one needs
    from spanward_processor.bench.rows import ROWS
    from spanward_processor.bench.run import BenchError, run
    from spanward_processor.demo.processes import ProcessError

    if show_rows:
        for row in ROWS:
            typer.echo(f"{row.name:<14} {row.work}")
        return
    chosen = _chosen(names or [row.name for row in ROWS])
    peer = _peer(peer)
    console = Console(width=WIDTH)
    for row in chosen:
        try:
            outcome = run(row, peer, rounds, lambda line: typer.echo(line, err=True))
        except (BenchError, ProcessError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        console.print(table(outcome))


def _chosen(names: list[str]) -> list["Row"]:
    from spanward_processor.bench.rows import ROWS

    rows = {row.name: row for row in ROWS}
    for name in names:
        if name not in rows:
            typer.echo(f"row: must be one of {', '.join(rows)}, got {name}", err=True)
            raise typer.Exit(2)
    return [rows[name] for name in names]


def _peer(named: Path | None) -> Path | None:
    """Return the Collector to measure beside; say so when there is none."""
    from spanward_processor.bench.sides import cached_peer

    if sys.platform != "linux":
        typer.echo("spanward bench needs Linux: it reads CPU time and memory from /proc", err=True)
        raise typer.Exit(1)
    if named and not named.is_file():
        typer.echo(f"--peer: must be a file, got {named}", err=True)
        raise typer.Exit(2)
    peer = named or cached_peer()
    if peer is None:
        typer.echo(
            "no Collector to compare with, so only this processor is measured; "
            "name one with --peer, or build one with tests/peers/collector.sh",
            err=True,
        )
    return peer
