"""`spanward explain`: why a model became slower, asked of a processor that runs."""

import json
from typing import Annotated, Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import ProxyHandler, build_opener

import typer

_WITHIN_S: Final = 120.0


def explain(
    service: Annotated[str, typer.Option(help="Name of the service, as in service.name.")],
    model: Annotated[str, typer.Option(help="Name of the model; not needed where the service has one.")] = "",
    since: Annotated[
        str, typer.Option(help="How long ago it became slow, as 15m or 1h; the day before is what it is held against.")
    ] = "1h",
    url: Annotated[str, typer.Option(help="The live page of the processor.")] = "http://127.0.0.1:8317",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
) -> None:
    """Say why latency rose: data, application, infrastructure, version, or unexplained."""
    if urlsplit(url).scheme not in {"http", "https"}:
        typer.echo(f"--url: must begin with http:// or https://, got {url!r}", err=True)
        raise typer.Exit(2)
    path = "/".join(quote(name, safe="") for name in (service, model) if name)
    status, told = _asked(f"{url.rstrip('/')}/v1/explain/{path}?{urlencode({'since': since})}", url)
    if status:
        typer.echo(told.get("reason", f"{url}: answered {status}"), err=True)
        raise typer.Exit(2)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        typer.echo(f"{told['report']}\n\nThe same as SQL over stored spans\n\n{told['sql']}")


def _asked(address: str, url: str) -> tuple[int, dict[str, Any]]:
    """Return what a processor answers, with the status where that is an error."""
    opener = build_opener(ProxyHandler({}))  # the page is on loopback; no proxy shall hear of it
    try:
        with opener.open(address, timeout=_WITHIN_S) as answer:
            return 0, json.loads(answer.read())
    except HTTPError as error:
        return error.code, _reason(error.read())
    except (URLError, OSError, ValueError) as error:
        typer.echo(f"{url}: must be the live page of a running processor, got {error}", err=True)
        raise typer.Exit(2) from error


def _reason(body: bytes) -> dict[str, Any]:
    try:
        return {"reason": str(json.loads(body)["reason"])}
    except (ValueError, KeyError, TypeError):
        return {}
