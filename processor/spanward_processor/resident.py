"""What the process keeps resident, and what it gives back once it no longer needs it; Linux only, elsewhere nothing happens.

The compiler is most of what is mapped: its code is needed while kernels are compiled or loaded, and hardly ever again. Its
pages are the file's own, so the system may have them back: whoever touches one reads it again from the page cache.
"""

import ctypes
import math
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
_LARGEST_BYTES: Final = 1 << 23  # ... however large requests are
_GROWTH: Final = 1.25  # times its size, that a request takes while it is read
_COPIES: Final = 4  # of one, at once
_MANY: Final = 32  # requests, until they are not taken for exceptions
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


class Allocator:
    """The C library's, of which a process has one: from which size on what is freed goes back to the system.

    Left alone, it raises that bound whenever a large array is freed, until all but the largest arrays of a closed window lie in
    heaps, one heap for every few threads, between what lives on. Bounded, it takes memory from the system anew for every copy of
    a large request, page by page, which is half the work of such a request; so where many come, the bound is raised above them.
    """

    def __init__(self) -> None:
        self._bound = 0  # bytes; 0 while nobody has bounded it
        self._larger = 0  # requests beyond it

    def bound(self) -> None:
        """Make freed arrays go back to the system instead of lying between what lives on."""
        self._set(_LARGE_BYTES, _LARGE_BYTES)
        _mallopt(_ARENA_MAX, _ARENAS)

    def expect(self, size: int) -> None:
        """Note that a request of so many bytes came; keep room for such ones once many have, where the allocator was bounded."""
        if not 0 < self._bound < size * _GROWTH <= _LARGEST_BYTES:
            return
        self._larger += 1
        if self._larger >= _MANY:
            self._larger = 0
            bound = 1 << math.ceil(math.log2(size * _GROWTH))
            self._set(bound, _COPIES * bound)

    def _set(self, bound: int, spare: int) -> None:
        self._bound = bound
        _mallopt(_MMAP_THRESHOLD, bound)
        _mallopt(_TRIM_THRESHOLD, spare)


def _mallopt(option: int, value: int) -> None:
    """Set an option of the C library's allocator, where it has one."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(option, value)


ALLOCATOR: Final = Allocator()


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
