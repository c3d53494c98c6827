"""How far one backend has come, in sixteen bytes that survive the death of the process."""

import mmap
import os
import struct
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

_PREFIX: Final = "cursor-"
_PLACE: Final = struct.Struct("<QQ")  # the position and its complement; when they disagree the write was cut short
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


class Cursor:
    """A position kept in a small shared memory map of a file: moving it costs no system call.

    Args:
        folder: The journal's folder.
        name: Whose position it is.
        start: Where a backend begins that has no position yet.
    """

    def __init__(self, folder: Path, name: str, start: int) -> None:
        self._path = path = folder / f"{_PREFIX}{quote(name, safe='')}"
        new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _PLACE.size)
            self._map = mmap.mmap(descriptor, _PLACE.size)
        finally:
            os.close(descriptor)
        if new:
            self.move(start)

    @property
    def at(self) -> int | None:
        """The position; None when it cannot be trusted."""
        position, complement = _PLACE.unpack_from(self._map)
        return int(position) if position ^ complement == _MASK else None

    def move(self, position: int) -> None:
        """Move to a position."""
        _PLACE.pack_into(self._map, 0, position, position ^ _MASK)

    def close(self) -> None:
        """Write it to the file and close."""
        self._map.flush()
        self._map.close()

    def remove(self) -> None:
        """Close, and forget the position."""
        self._map.close()
        self._path.unlink(missing_ok=True)


def strangers(folder: Path, known: set[str]) -> list[tuple[str, Path]]:
    """Return name and file of every cursor in a folder whose backend is not known."""
    names = [(unquote(path.name.removeprefix(_PREFIX)), path) for path in folder.glob(f"{_PREFIX}*")]
    return [(name, path) for name, path in names if name not in known]
