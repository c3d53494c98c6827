"""`spanward evaluate`: how well anomalies are found, beside what is to be reached."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spanward_processor.evaluate.base import Evaluation


def evaluate(
    names: Annotated[list[str] | None, typer.Argument(help="Evaluations to run; all when none is named.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of each; its own number when absent.")] = None,
    days: Annotated[
        float | None, typer.Option(min=0.01, help="Simulated days of what takes days; its own number when absent.")
    ] = None,
    short: Annotated[bool, typer.Option("--short", help="A first look: two seeds, less of everything.")] = False,
    show_names: Annotated[bool, typer.Option("--list", help="Show the evaluations and stop.")] = False,
) -> None:
    """Measure how well anomalies are found; tables as Markdown, intervals over seeds, one configuration for all."""
    from spanward_processor.evaluate.base import Effort  # no other command shall carry what this one needs
    from spanward_processor.evaluate.data import public_data
    from spanward_processor.evaluate.evaluations import EVALUATIONS
    from spanward_processor.evaluate.report import report

    if show_names:
        for one in EVALUATIONS:
            typer.echo(f"{one.name:<20} {one.shows}")
        return
    for one in _chosen(names or [one.name for one in EVALUATIONS]):
        count = seeds or (min(2, one.seeds) if short else one.seeds)
        effort = Effort(range(one.first_seed, one.first_seed + count), short, public_data(), days)
        for line in report(one, effort):
            typer.echo(line)
            sys.stdout.flush()  # some take long, and their lines come one by one


def _chosen(names: list[str]) -> list["Evaluation"]:
    from spanward_processor.evaluate.evaluations import EVALUATIONS

    known = {one.name: one for one in EVALUATIONS}
    for name in names:
        if name not in known:
            typer.echo(f"evaluation: must be one of {', '.join(known)}, got {name}", err=True)
            raise typer.Exit(2)
    return [known[name] for name in names]
