"""A program that rolls back: told by its standard input, and by variables."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Final, Self

from spanward_processor.canary.executors.base import ExecutorError, RollBack
from spanward_processor.canary.section import CommandConfig

_MOST_SHOWN: Final = 200


class CommandExecutor:
    """Runs a program, without a shell.

    Args:
        command: Program and arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    @classmethod
    def of(cls, config: CommandConfig) -> Self:
        """Return what a section asks for."""
        return cls(config.command)

    @property
    def name(self) -> str:
        """The program: an argument may hold a secret."""
        return f"command {self._command[0]}"

    async def execute(self, roll_back: RollBack) -> str:
        """Run it to its end; see `Executor`. One that is given up is ended, with all it has started."""
        told = {
            "SPANWARD_ROLL_BACK_ID": roll_back.id,
            "SPANWARD_SERVICE": roll_back.service,
            "SPANWARD_MODEL": roll_back.model,
            "SPANWARD_STABLE": roll_back.stable,
            "SPANWARD_CANARY": roll_back.canary,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=os.environ | told,
                start_new_session=True,
            )
        except OSError as error:
            raise ExecutorError(f"cannot be started ({error.strerror})") from error
        try:
            _, errors = await process.communicate(roll_back.as_json() + b"\n")
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        if process.returncode:
            said = errors.decode(errors="replace").strip().splitlines()
            shown = f": {said[-1][:_MOST_SHOWN]}" if said else ""
            raise ExecutorError(f"ended with code {process.returncode}{shown}")
        return "ended with code 0"
