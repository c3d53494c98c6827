"""What the demo shows in the terminal; in a pipe the same as plain lines."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from spanward_processor.demo.feed import Finding

_PLAIN_WIDTH: Final = 120
_PLAIN_EVERY_S: Final = 10.0  # how often a pipe is told of progress
_LARGEST_TOLD: Final = 9.0  # powers of ten; beyond, a number is no longer read
_STYLES: Final = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


class Screen:
    """Writes the story.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._shift_at: float | None = None
        if not console.is_terminal:
            console.width = _PLAIN_WIDTH

    def say(self, text: str, style: str = "") -> None:
        """Write a line."""
        self.console.print(Text(text, style), soft_wrap=True)

    def chapter(self, text: str) -> None:
        """Announce what happens now; findings are timed from here."""
        self._shift_at = time.monotonic()
        self.console.print()
        self.say(f"Now: {text}", "bold")

    def keep_on(self, text: str) -> None:
        """Announce that nothing changes any more: what is found from here on is not timed."""
        self._shift_at = None
        self.say(f"\n{text}", "bold")

    @contextmanager
    def waiting(self, what: str) -> Generator[Callable[[float, str], None]]:
        """Show that something takes its time, and afterwards how long it took.

        Args:
            what: What is waited for.

        Yields:
            A function to call with progress, 0 to 1, and what is known of it.
        """
        plain = not self.console.is_terminal
        started = told = time.monotonic()
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=plain,
        )
        if plain:
            self.say(f"  {what} ...")
        with bar:
            task = bar.add_task(what, total=None)

            def advance(progress: float, known: str) -> None:
                nonlocal told
                bar.update(task, total=1.0, completed=progress, description=f"{what}: {known}")
                if plain and time.monotonic() - told >= _PLAIN_EVERY_S:
                    told = time.monotonic()
                    self.say(f"    {100 * progress:.0f} %, {known}")

            yield advance
        took = f"{time.monotonic() - started:.1f} s"
        self.say(f"    done in {took}" if plain else f"  {what}: done in {took}")

    def finding(self, finding: Finding) -> None:
        """Show a finding that opened, or was resolved."""
        if finding.state == "opened":
            self._opened(finding)
        elif finding.state == "resolved":
            self.say(f"  resolved  {finding.aspect}", "green")

    def _opened(self, finding: Finding) -> None:
        since = "" if self._shift_at is None else f"  {time.monotonic() - self._shift_at:.1f} s after the change"
        head = Text.assemble(
            ("  BESIDE " if finding.is_beside else "  FOUND  ", "bold"),
            (finding.severity.upper(), _STYLES.get(finding.severity, "")),
            (since, "dim"),
        )
        self.console.print(head)
        self.say(f"    {finding.reason}")
        if finding.is_beside and finding.severity != "critical":
            return
        self.say(f"    observed {finding.observed}; usually {finding.baseline}", "dim")
        technique = f"; MITRE ATLAS {finding.technique}" if finding.technique else ""
        calls = f"{finding.n:,} calls in the newest window"
        self.say(f"    evidence: {_odds(finding.log10_e)} by chance, {calls}{technique}", "dim")


def _odds(log10_e: float) -> str:
    """Say how often evidence this strong comes up while nothing has changed."""
    if log10_e >= _LARGEST_TOLD:
        return f"1 in 10^{log10_e:.0f}"
    digits = max(int(log10_e) - 1, 0)
    return f"1 in {round(10**log10_e, -digits):,.0f}"
