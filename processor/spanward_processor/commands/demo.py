"""`spanward demo`: see what Spanward does, with a real service, real traffic, and three incidents or a bad canary."""

import asyncio
import signal
import tempfile
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

_NEEDED: Final = ("fastapi", "httpx", "sklearn")
_KILLED_BY: Final = 128  # a shell's exit code for a signal is this plus its number


class Scenario(StrEnum):
    """The stories there are."""

    INCIDENTS = "incidents"
    CANARY = "canary"


def demo(
    *,
    scenario: Annotated[
        Scenario, typer.Option(help="What happens: three incidents, or a canary that is rolled back.")
    ] = Scenario.INCIDENTS,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running after the summary.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 1,
) -> None:
    """Watch a real service learn, go wrong in three ways, and be found out; under three minutes."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        typer.echo(f"spanward demo needs {', '.join(missing)}: pip install 'spanward[demo]'", err=True)
        raise typer.Exit(1)
    raise typer.Exit(asyncio.run(_run(scenario, seed=seed, keep=keep)))


async def _run(scenario: Scenario, *, seed: int, keep: bool) -> int:
    """Tell the story; return the exit code."""
    from spanward_processor.demo import canary_story, story  # need the extra
    from spanward_processor.demo.processes import ProcessError
    from spanward_processor.demo.screen import Screen

    tell = canary_story.tell if scenario is Scenario.CANARY else story.tell
    screen = Screen(Console())
    received: list[signal.Signals] = []
    complete = False
    with tempfile.TemporaryDirectory(prefix="spanward-demo-") as folder:
        telling = asyncio.ensure_future(tell(screen, Path(folder), seed=seed, keep=keep))
        _cancel_once(telling, received)
        try:
            complete = await telling
        except* asyncio.CancelledError:
            screen.say("\nStopped.")
        except* ProcessError as errors:
            screen.say(f"\n{errors.exceptions[0]}", "red")
    return _KILLED_BY + received[0] if received else int(not complete)


def _cancel_once(telling: asyncio.Future[bool], received: list[signal.Signals]) -> None:
    """Let the first SIGINT, SIGTERM or SIGHUP end the story; later ones do not disturb the ending."""

    def stop(number: signal.Signals) -> None:
        if not received:
            received.append(number)
            telling.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
