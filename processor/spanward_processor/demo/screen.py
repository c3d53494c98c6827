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

    @contextmanager
    def waiting(self, what: str) -> Generator[Callable[[float, str], None]]:
        """Show that something takes its time, and afterwards how long it took.

        Args:
            what: What is waited for.

        Yields:
            A function to call with progress, 0 to 1, and what is known of it.
        """
        started = time.monotonic()
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with bar:
            task = bar.add_task(what, total=None)
            told = started

            def advance(progress: float, known: str) -> None:
                nonlocal told
                bar.update(task, total=1.0, completed=progress, description=f"{what}: {known}")
                if not self.console.is_terminal and time.monotonic() - told >= _PLAIN_EVERY_S:
                    told = time.monotonic()
                    self.say(f"  {what}: {100 * progress:.0f} %, {known}")

            yield advance
        self.say(f"  {what}: done in {time.monotonic() - started:.1f} s")

    def finding(self, finding: Finding) -> None:
        """Show a finding that opened, or was resolved."""
        if finding.state == "opened":
            self._opened(finding)
        elif finding.state == "resolved":
            self.say(f"  resolved  {finding.aspect}", "green")

    def _opened(self, finding: Finding) -> None:
        since = "" if self._shift_at is None else f"  {time.monotonic() - self._shift_at:.1f} s after the change"
        head = Text.assemble(
            ("  FOUND  ", "bold"), (finding.severity.upper(), _STYLES.get(finding.severity, "")), (since, "dim")
        )
        self.console.print(head)
        self.say(f"    {finding.reason}")
        self.say(f"    observed {finding.observed}; usually {finding.baseline}", "dim")
        technique = f"; MITRE ATLAS {finding.technique}" if finding.technique else ""
        self.say(
            f"    evidence 10^{finding.log10_e:.1f} against chance, {finding.n:,} calls in the window{technique}", "dim"
        )
