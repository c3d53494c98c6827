"""Questions to a processor that runs: how they are asked, how far back they reach, and what a wrong one is answered."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, build_opener

import typer
from starlette.responses import JSONResponse

from spanward_processor.lengths import length_s, show_length

PAGE: Final = "http://127.0.0.1:8317"
"""Where the live page is by default."""

NO_STORE: Final = {"Cache-Control": "no-store"}
_WITHIN_S: Final = 120.0


# --- who is asked ----------------------------------------------------------------------------------------------------


def since_of(asked: Mapping[str, str], usual_s: float, most_s: float) -> float:
    """Return how far back a question reaches, seconds.

    Args:
        asked: The parameters of the question.
        usual_s: Where it does not say.
        most_s: The furthest.

    Raises:
        ValueError: It is no length of time, or too long.
    """
    if "since" not in asked:
        return usual_s
    text = asked["since"]
    try:
        since_s = length_s(text, least_s=1)
    except ValueError as error:
        raise ValueError(f"since: {error}, got {text[:40]!r}") from error
    if since_s > most_s:
        raise ValueError(f"since: must be at most {show_length(most_s)}, got {text[:40]!r}")
    return since_s


def refusal(status: int, errors: Sequence[str]) -> JSONResponse:
    """Return the answer to a question that cannot be answered, with everything that is wrong with it."""
    return JSONResponse({"errors": list(errors)}, status, NO_STORE)


# --- who asks --------------------------------------------------------------------------------------------------------


def ask(page: str, names: Sequence[str], parameters: Mapping[str, str]) -> Any:
    """Return what a running processor answers a command; end the command with what is wrong where it does not.

    No proxy hears of it: the page is on loopback, or on a network of the operator's.

    Args:
        page: The processor's live page.
        names: The parts of the path behind `/v1`.
        parameters: What is asked.

    Raises:
        Exit: With 2 where the question is wrong, with 1 where nobody answers.
    """
    if not page.startswith(("http://", "https://")):
        typer.echo(f"--url: must begin with http:// or https://, got {page!r}", err=True)
        raise typer.Exit(2)
    path = "/".join(quote(name, safe="") for name in ("v1", *names))
    address = f"{page.rstrip('/')}/{path}?{urlencode(parameters)}"
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=_WITHIN_S) as answer:
            return json.loads(answer.read())
    except HTTPError as error:
        for line in _errors(error.read()) or [f"{address}: answered {error.code}"]:
            typer.echo(line, err=True)
        raise typer.Exit(2) from error
    except (URLError, OSError, ValueError) as error:
        cause = getattr(error, "reason", error)
        why = getattr(cause, "strerror", None) or cause
        typer.echo(f"{page}: no processor answers ({why}); --url says where the live page of one is", err=True)
        raise typer.Exit(1) from error


def _errors(body: bytes) -> list[str]:
    try:
        return [str(line) for line in json.loads(body)["errors"]]
    except (ValueError, KeyError, TypeError):
        return []
