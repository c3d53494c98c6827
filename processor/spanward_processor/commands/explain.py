"""`spanward explain`: why a model became slower, asked of a processor that runs."""

import json
from typing import Annotated

import typer

from spanward_processor.live.asking import PAGE, ask
from spanward_processor.logs import printable


def explain(
    service: Annotated[str, typer.Option(help="Name of the service, as in service.name.")],
    model: Annotated[str, typer.Option(help="Name of the model; not needed where the service has one.")] = "",
    since: Annotated[
        str, typer.Option(help="How long ago it became slow, as 15m or 1h; the day before is what it is held against.")
    ] = "1h",
    url: Annotated[str, typer.Option(help="Where the processor's live page is.")] = PAGE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
) -> None:
    """Say why latency rose: data, application, infrastructure, version, or unexplained."""
    told = ask(url, [name for name in ("explain", service, model) if name], {"since": since})
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        for line in (
            *told["report"].split("\n"),
            "",
            "The same as SQL over stored spans",
            "",
            *told["sql"].split("\n"),
        ):
            typer.echo(printable(line))  # names are as senders chose them
