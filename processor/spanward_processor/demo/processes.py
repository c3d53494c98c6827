"""The programs of the demo, and of measurements, as separate processes: started, awaited, watched, and surely ended."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_LAST_LINES: Final = 12
_GRACE_S: Final = 8.0
_LOOK_EVERY_S: Final = 0.05


class ProcessError(RuntimeError):
    """A program ended, or did not become ready; the text shows its last lines."""


@dataclass(frozen=True, slots=True)
class _Child:
    name: str
    process: asyncio.subprocess.Process
    log: Path

    def last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"

    def ended(self) -> ProcessError:
        return ProcessError(
            f"the {self.name} ended with code {self.process.returncode}; its last lines:\n{self.last_lines()}"
        )


class Processes:
    """Starts programs; leaving the context ends them, the newest first.

    Args:
        folder: Where each one's output is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[_Child] = []

    async def __aenter__(self) -> Self:
        """Start with none."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all."""
        for child in reversed(self._children):
            await _end(child.process)

    async def start(
        self, name: str, command: Sequence[str], *, ready: str, timeout_s: float, env: Mapping[str, str] | None = None
    ) -> re.Match[str]:
        """Start a program and wait until it says it is ready.

        Args:
            name: What it is called in messages.
            command: Program and arguments.
            ready: Pattern that its output contains once it is ready.
            timeout_s: How long to wait for that, seconds.
            env: Its environment; ours when absent.

        Returns:
            The match of the pattern.

        Raises:
            ProcessError: When it ends first or is not ready in time.
        """
        child = await self._spawn(name, command, env)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    over = child.process.returncode is not None
                    if found := re.search(ready, child.log.read_text(encoding="utf-8", errors="replace")):
                        return found
                    if over:
                        raise child.ended()
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise ProcessError(
                f"the {name} was not ready within {timeout_s:.0f} s; its last lines:\n{child.last_lines()}"
            ) from None

    async def run(self, name: str, command: Sequence[str]) -> None:
        """Run a program to its end.

        Raises:
            ProcessError: When it does not end with code 0.
        """
        child = await self._spawn(name, command, None)
        if await child.process.wait():
            raise child.ended()
        self._children.remove(child)

    def pid(self, name: str) -> int:
        """Return the process id of a started program."""
        return next(child.process.pid for child in self._children if child.name == name)

    async def watch(self) -> None:
        """Wait for the first program to end, which none should while the demo runs.

        Raises:
            ProcessError: Always.
        """
        waits = {asyncio.create_task(child.process.wait()): child for child in self._children}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        raise waits[done.pop()].ended()

    async def _spawn(self, name: str, command: Sequence[str], env: Mapping[str, str] | None) -> _Child:
        log = self._folder / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=env,
                start_new_session=True,  # Ctrl-C reaches us alone; we end them in order
            )
        child = _Child(name, process, log)
        self._children.append(child)
        return child


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and make it end when it does not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE_S)
            return
