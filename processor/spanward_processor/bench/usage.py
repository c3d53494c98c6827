"""What a process and its children have used, from /proc."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_UTIME: Final = 11  # place of utime among the fields after the command's name; stime, cutime, cstime follow (proc(5))
_LOOK_EVERY_S: Final = 0.05


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from tree(int(child))


def cpu_s(pid: int) -> float:
    """Return user and system seconds of a process tree, its ended children included."""
    ticks = 0
    for member in tree(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[_UTIME : _UTIME + 4]))
    return ticks / _TICKS_PER_S


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process tree, bytes."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) * page for member in tree(pid))


class Used:
    """CPU time and largest resident memory of a process tree while the context lasts.

    Args:
        pid: Root of the tree; without one nothing is measured.
    """

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self.cpu_s = float("nan")
        self.rss_bytes = 0

    async def __aenter__(self) -> Self:
        """Begin to look, twenty times a second."""
        if self._pid is not None:
            self._looking = asyncio.create_task(self._look(self._pid))
            self._before = cpu_s(self._pid)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Look once more and end."""
        if self._pid is not None:
            self.cpu_s = cpu_s(self._pid) - self._before
            self.rss_bytes = max(self.rss_bytes, rss_bytes(self._pid))
            self._looking.cancel()

    async def _look(self, pid: int) -> None:
        while True:
            self.rss_bytes = max(self.rss_bytes, rss_bytes(pid))
            await asyncio.sleep(_LOOK_EVERY_S)
