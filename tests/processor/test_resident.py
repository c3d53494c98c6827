"""What the process gives back to the system, seen in a process of its own."""

import os
import subprocess
import sys
from typing import Final

import pytest

from spanward_processor.resident import mappings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only: elsewhere nothing is given back")

MB: Final = 1 << 20

RESIDENT: Final = """
import sys
def resident(kind):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(kind))
"""

COMPILER_GIVEN_BACK: Final = """
from pathlib import Path
from llvmlite import binding
from spanward_processor.resident import give_back
def compile():
    binding.initialize_native_target(), binding.initialize_native_asmprinter()
    engine = binding.create_mcjit_compiler(
        binding.parse_assembly("define i64 @seven() { ret i64 7 }"),
        binding.Target.from_default_triple().create_target_machine(),
    )
    engine.finalize_object()
    return engine, engine.get_function_address("seven")
kept = compile()
before = resident("RssFile")
given = give_back()
after = resident("RssFile")
again = compile()
import ctypes
values = [ctypes.CFUNCTYPE(ctypes.c_int64)(address)() for _, address in (kept, again)]
print(before - after, given, *values)
"""

FREED_ARRAYS: Final = """
import numpy as np
from spanward_processor.resident import ALLOCATOR
if sys.argv[1] == "bounded":
    ALLOCATOR.bound()
np.ones(1 << 21)  # a large array is freed: the C library now keeps such sizes in its heap
before, kept = resident("RssAnon"), []
large = []
for _ in range(40):
    large.append(np.ones(1 << 19))
    kept.append(np.ones(1 << 10))  # small ones that live on lie between the large ones
del large
print(resident("RssAnon") - before)
"""

LARGE_REQUESTS: Final = """
import ctypes, resource
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: one huge page is one fault
from spanward_processor.resident import ALLOCATOR
ALLOCATOR.bound()
size = 2_300_000
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        copies = [bytearray(size), bytearray(size)]
        del copies
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
for came in sys.argv[1:]:
    for _ in range(int(came)):
        ALLOCATOR.expect(size if came != "1000" else 64_000_000)
    print(faults())
print(first)
"""

UNBOUNDED: Final = """
import ctypes
from spanward_processor import resident
set_options = []
resident._mallopt = lambda *option: set_options.append(option)
for _ in range(100):
    resident.ALLOCATOR.expect(2_300_000)
print(len(set_options))
"""

SMAPS: Final = """\
7f0000000000-7f0000100000 r-xp 00000000 08:01 42                         /usr/lib/with space.so
Rss:                 512 kB
Anonymous:             0 kB
7f0000200000-7f0000300000 r--p 00000000 08:01 42                         /usr/lib/relocated.so
Rss:                 512 kB
Anonymous:             4 kB
7f0000400000-7f0000500000 rw-p 00000000 08:01 42                         /usr/lib/data.so
Rss:                 512 kB
Anonymous:             0 kB
7f0000600000-7f0000700000 r-xp 00000000 00:00 0
Rss:                 512 kB
Anonymous:             0 kB
7f0000800000-7f0000900000 r-xp 00000000 08:01 43                         /usr/lib/unread.so
Rss:                   0 kB
Anonymous:             0 kB
"""


def run(script: str, *arguments: str) -> list[int]:
    """Return the numbers that a script prints."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RESIDENT + script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    return [int(word) for word in done.stdout.split()]


def test_only_what_its_file_still_holds_is_spare() -> None:
    """Changed pages, pages that may be written, and those of no file stay; what is not resident need not go."""
    spare = [mapping.path for mapping in mappings(SMAPS) if mapping.is_spare]

    assert spare == ["/usr/lib/with space.so"]


def test_the_compilers_code_goes_back_and_is_read_again() -> None:
    """Tens of megabytes of code leave memory; what was compiled still runs, and the compiler still compiles."""
    fallen, given, *values = run(COMPILER_GIVEN_BACK)

    assert fallen > 20 * MB
    assert given >= fallen
    assert values == [7, 7]


def test_freed_arrays_go_back() -> None:
    """Large arrays between small ones that live on leave memory as they are freed; without the bound they stay."""
    (bounded,), (unbounded,) = run(FREED_ARRAYS, "bounded"), run(FREED_ARRAYS, "unbounded")

    assert bounded < 10 * MB
    if unbounded <= 10 * bounded:
        pytest.skip("the C library gave the arrays back by itself this time, so the bound could not show what it does")


def test_where_many_large_requests_come_room_for_them_is_kept() -> None:
    """Their copies are not taken from the system anew each time; a few, or ones beyond all bounds, change nothing."""
    after_few, after_huge, after_many, first = run(LARGE_REQUESTS, "8", "1000", "24")

    assert min(first, after_few, after_huge) > 50_000  # two copies of 561 pages, a hundred times
    assert after_many < first / 20


def test_an_allocator_that_nobody_bounded_is_left_alone() -> None:
    """Where the processor is part of another program, that program's memory is its own."""
    (unbounded,) = run(UNBOUNDED)

    assert unbounded == 0
