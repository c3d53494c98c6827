"""How busy the processors of this machine are, and processes that make them so."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_STAT: Final = Path("/proc/stat")
_IDLE: Final = slice(3, 5)  # idle, and waiting for a disk
_BUSY: Final = "while True: pass"


@dataclass(frozen=True, slots=True)
class Ticks:
    """Ticks of all processors since the machine began.

    Args:
        total: All.
        idle: Those without work.
    """

    total: int
    idle: int

    @classmethod
    def now(cls) -> Self:
        """Read them."""
        told = [int(text) for text in _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        return cls(sum(told), sum(told[_IDLE]))

    def busy_since(self, before: "Ticks") -> float:
        """Return the share of all processors that was in use since then."""
        return 1.0 - (self.idle - before.idle) / max(self.total - before.total, 1)


@asynccontextmanager
async def burners(wanted: int | None = None) -> AsyncGenerator[None]:
    """Let other processes compute meanwhile.

    Args:
        wanted: How many; two for each processor when absent.
    """
    number = 2 * (os.cpu_count() or 1) if wanted is None else wanted
    started: list[asyncio.subprocess.Process] = []
    try:
        while len(started) < number:
            # in sessions of their own, as other services are: where sessions share the processors evenly, one would take a half at most
            started.append(await asyncio.create_subprocess_exec(sys.executable, "-c", _BUSY, start_new_session=True))
        yield
    finally:
        for process in started:
            process.kill()
            await process.wait()
