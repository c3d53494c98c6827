"""`spanward slo`: what OpenSLO files ask for, and the same as Prometheus rules."""

from pathlib import Path
from typing import Annotated, Final

import typer
import yaml
from rich.console import Console
from rich.table import Column, Table

from spanward_processor.lengths import show_length
from spanward_processor.slo.objective import Objective
from spanward_processor.slo.openslo import OpenSloError, read
from spanward_processor.slo.prometheus import rules_of
from spanward_processor.slo.words import show_goal, show_period

_WIDEST: Final = 30  # characters of a name that stay on one line


def slo(
    files: Annotated[list[Path], typer.Argument(help="OpenSLO v1 files.")],
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print recording and alert rules for Prometheus instead.")
    ] = False,
) -> None:
    """Check OpenSLO files and show their objectives."""
    try:
        objectives = read((), files)
    except OpenSloError as error:
        for line in error.errors:
            typer.echo(line, err=True)
        raise typer.Exit(2) from error
    if prometheus:
        typer.echo(yaml.safe_dump(rules_of(objectives), sort_keys=False, width=120), nl=False)
    else:
        Console(highlight=False).print(_table(objectives))


def _table(objectives: tuple[Objective, ...]) -> Table:
    widest = max((len(one.name) for one in objectives), default=0)
    table = Table(
        Column("objective", overflow="fold", min_width=min(widest, _WIDEST)),
        *(Column(title, overflow="fold") for title in ("of", "asks for", "budget", "alert while it burns")),
    )
    for one in objectives:
        allowed = f"{100 * one.budget:.6g} % in {show_period(one)}"
        rules = "\n".join(
            f"{burn.factor:.4g}x in {show_length(burn.long_s)} and {show_length(burn.short_s)}: {burn.severity}"
            for burn in one.burns
        )
        table.add_row(one.name, str(one.selector), show_goal(one), allowed, rules)
    return table
