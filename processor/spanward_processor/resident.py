"""What the process keeps resident, and what it gives back once it no longer needs it; Linux only, elsewhere nothing happens.

The compiler is most of what is mapped: its code is needed while kernels are compiled or loaded, and hardly ever again. Its
pages are the file's own, so the system may have them back: whoever touches one reads it again from the page cache.
"""

import ctypes
import mmap
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SMAPS: Final = Path("/proc/self/smaps")
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)\s*(.*)")

# mallopt(3), <malloc.h>
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8

_LARGE_BYTES: Final = 1 << 20  # arrays from this size on are mapped, and so go back to the system when they are freed
_ARENAS: Final = 2


@dataclass(frozen=True, slots=True)
class Mapping:
    """One run of the address space.

    Args:
        start: First address.
        end: First address after it.
        rights: As in proc(5): read, write, execute, and `p` for private.
        inode: Of the file it shows, 0 for none.
        path: The file's name, empty for none.
        resident_bytes: Of it in memory.
        own_bytes: Of it changed since it was read from the file, and so not to be found there.
    """

    start: int
    end: int
    rights: str
    inode: int
    path: str
    resident_bytes: int
    own_bytes: int

    @property
    def is_spare(self) -> bool:
        """Whether every page of it can be read from its file again: nothing was written, and nothing can be."""
        return self.inode > 0 and "w" not in self.rights and not self.own_bytes and self.resident_bytes > 0


def mappings(smaps: str) -> Iterator[Mapping]:
    """Yield the mappings that proc(5) describes.

    Args:
        smaps: Text of `/proc/PID/smaps`.
    """
    for entry in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", smaps):
        if found := _MAPPING.match(entry):
            start, end, rights, inode, path = found.groups()
            sizes = {name: int(size) << 10 for name, size in re.findall(r"^(\w+): +(\d+) kB$", entry, re.MULTILINE)}
            yield Mapping(
                int(start, 16), int(end, 16), rights, int(inode), path, sizes.get("Rss", 0), sizes.get("Anonymous", 0)
            )


def bound_allocator() -> None:
    """Make freed arrays go back to the system instead of lying between what lives on.

    Left alone, the C library raises its bound for mapping memory whenever a large array is freed, until all but the largest
    arrays of a closed window lie in heaps, one heap for every few threads.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not every C library has it
    if mallopt is not None:
        for option, value in (
            (_MMAP_THRESHOLD, _LARGE_BYTES),
            (_TRIM_THRESHOLD, _LARGE_BYTES),
            (_ARENA_MAX, _ARENAS),
        ):
            mallopt(option, value)


def give_back() -> int:
    """Give free heap, and pages that their files hold, back to the system.

    Returns:
        Bytes of file pages given back; a part of them is read again as it is used.
    """
    if sys.platform != "linux" or not _SMAPS.exists():
        return 0
    library = ctypes.CDLL(None, use_errno=True)
    if trim := getattr(library, "malloc_trim", None):
        trim(0)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    given = 0
    for mapping in mappings(_SMAPS.read_text()):
        if mapping.is_spare and not library.madvise(mapping.start, mapping.end - mapping.start, mmap.MADV_DONTNEED):
            given += mapping.resident_bytes
    return given
