"""`spanward processor`: run it, or check its configuration."""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from spanward_processor.closing import log_errors
from spanward_processor.configuration.config import Config, ConfigError, load
from spanward_processor.configuration.exposure import exposures
from spanward_processor.configuration.files import mistakes_in_files
from spanward_processor.journal.log import JournalError
from spanward_processor.logs import log_to
from spanward_processor.receive.listening import PortTakenError
from spanward_processor.receive.tokens import TokenFileError
from spanward_processor.server import serve
from spanward_processor.tls import TlsError

_SWITCH_S: Final = 0.0002
"""How long a thread that closes a window may go on while the loop waits for the interpreter, seconds.

A request asks for the interpreter again after each of its kernels, some ten times; by Python's default of 5 ms it waited 50 ms.
"""


def processor(
    config: Annotated[Path | None, typer.Option(help="YAML configuration; without it every default holds.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the configuration and stop.")] = False,
) -> None:
    """Run the processor until it is asked to stop."""
    try:
        checked = load(config) if config else Config()
    except ConfigError as error:
        raise _refused(error.errors) from error
    if mistakes := mistakes_in_files(checked):
        raise _refused(mistakes)
    if check:
        for key, address, reason in exposures(checked):
            typer.echo(f"warning: {key}: {reason}, got {address!r}", err=True)
        typer.echo(f"configuration valid: {_summary(checked)}")
        return
    log_to(sys.stderr)
    sys.setswitchinterval(_SWITCH_S)
    try:
        asyncio.run(serve(checked, _announce, config))
    except (PortTakenError, JournalError, TlsError, TokenFileError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except ExceptionGroup as group:
        log_errors(group)
        raise typer.Exit(1) from group


def _refused(mistakes: Iterable[str]) -> typer.Exit:
    for line in mistakes:
        typer.echo(line, err=True)
    return typer.Exit(2)


def _announce(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()


def _summary(config: Config) -> str:
    backends = ", ".join(f"{backend.name} ({backend.endpoint})" for backend in config.backends) or "no backends"
    page = config.live.listen if config.live else "none"
    return f"receiver {config.receiver.listen}, live page {page}, forwarding to {backends}"
