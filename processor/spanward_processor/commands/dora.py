"""`spanward dora`: DORA's five metrics of what a running processor has seen."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spanward_processor.features import show_share
from spanward_processor.lengths import show_length
from spanward_processor.live.asking import PAGE, ask
from spanward_processor.logs import printable

_MOST_LISTED: Final = 20
_NOTHING: Final = "-"


def dora(
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    model: Annotated[str, typer.Option(help="Only this model.")] = "",
    since: Annotated[str, typer.Option(help="How far back, such as 12h or 30d.")] = "30d",
    url: Annotated[str, typer.Option(help="Where the processor's live page is.")] = PAGE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show deployments, failures, recovery, rework and lead time of what a processor watches."""
    asked = {name: value for name, value in (("service", service), ("model", model), ("since", since)) if value}
    form = ask(url, ("dora",), asked)
    if as_json:
        typer.echo(json.dumps(form, indent=2))
        return
    console = Console(highlight=False)
    if not form["subjects"]:
        console.print("No version is known yet: spans need a model and a version, and some minutes.")
        return
    console.print(_metrics(form["subjects"], since))
    if form["deployments"]:
        console.print(_newest(form["deployments"][:_MOST_LISTED]))
    console.print("Rework is an estimate: a deployment that follows a failed one. docs/dora.md defines every column.")


def _metrics(subjects: list[dict[str, Any]], since: str) -> Table:
    columns = ("of", "version", "deployments", "a day", "change fail rate", "recovery", "rework (est.)", "lead time")
    table = Table(*columns, title=f"The last {since}")
    for one in subjects:
        _add(
            table,
            _name(one),
            one["version"],
            str(one["deployments"]),
            f"{one['per_day']:.2g}",
            _share(one["change_fail_rate"], one["failed"]),
            _length(one["recovery_s"]) + (f", {one['unrecovered']} open" if one["unrecovered"] else ""),
            _share(one["rework_rate"], one["rework"]),
            _length(one["lead_s"]),
        )
    return table


def _newest(deployments: list[dict[str, Any]]) -> Table:
    table = Table("deployed (UTC)", "of", "version", "before it", "lead time", "failed", title="Newest deployments")
    for one in deployments:
        lead_s = (one["at_ns"] - one["commit_ns"]) / 1e9 if one["commit_ns"] else None
        _add(
            table,
            datetime.fromtimestamp(one["at_ns"] / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            _name(one),
            one["version"] + (" (rework)" if one["rework"] else ""),
            one["before"] or _NOTHING,
            _length(lead_s),
            _failure(one),
        )
    return table


def _add(table: Table, *cells: str) -> None:
    """Add a row of texts as they are: no name that a sender chose is markup, or tells the terminal what to do."""
    table.add_row(*(Text(printable(cell)) for cell in cells))


def _failure(deployment: dict[str, Any]) -> str:
    if not deployment["failed_ns"]:
        return _NOTHING
    if not deployment["recovered_ns"]:
        return f"{deployment['cause']}; not over"
    return f"{deployment['cause']}; over after {_length((deployment['recovered_ns'] - deployment['failed_ns']) / 1e9)}"


def _name(one: dict[str, Any]) -> str:
    named = " / ".join(name for name in (one["service"], one["model"]) if name)
    return named if one["part"] == "model" else f"{named}, {one['part']}"


def _share(share: float | None, count: int) -> str:
    return _NOTHING if share is None else f"{show_share(share)} ({count})"


def _length(seconds: float | None) -> str:
    return _NOTHING if seconds is None or seconds < 0 else show_length(round(seconds))
