"""Atheris: libFuzzer keeps an input when it reaches a new branch of instrumented Python.

Machine code made by numba shows no coverage. The twins mirror its branches and are Python, so they are what is instrumented:
an input that leads a twin to a new branch mostly leads the kernel there too.
"""

import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, Final

from fuzz.loop import REGRESSIONS, Tally
from fuzz.shrinking import fault_of, shrunk
from fuzz.target import Target

_FIRST: Final = "google.protobuf.json_format"  # what the JSON reader's twin is made of; the processor imports it too
_KERNELS: Final = ("spanward_processor.annotate", "spanward_processor.receive.otlp_json")  # imported as they are
_TWINS: Final = ["naive", "naive_wire", "json_documents", "decoded", "hpack", "spanward_processor"]
_UNITS: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_LONGEST: Final = 512  # bytes of an input
_OF_LIBFUZZER: Final = 0.25  # share of changes left to libFuzzer, which knows what the twins compared with


def is_there() -> bool:
    """Return whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def guide(target: Target, folder: Path, seed: int, executions: int, seconds: float) -> Tally:
    """Run one target in a process of its own, since libFuzzer ends the process it runs in."""
    inputs, faults = folder / "inputs" / target.name, folder / "raw" / target.name
    for path in (inputs, faults, REGRESSIONS / target.name):
        path.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fuzz.guided", target.name, str(inputs), str(REGRESSIONS / target.name)]
    command += [f"-runs={executions}", f"-seed={seed}", f"-max_len={_LONGEST}", f"-artifact_prefix={faults}/"]
    command += ["-print_final_stats=1", "-verbosity=1", "-rss_limit_mb=4096", "-timeout=60"]
    command += [f"-max_total_time={int(seconds)}"] if seconds != float("inf") else []
    began = time.perf_counter()
    text = _run(command)
    units = _UNITS.search(text)
    tally = Tally(executions=int(units[1]) if units else 0, seconds=time.perf_counter() - began)
    for path in faults.glob("*"):
        data = path.read_bytes()
        tally.faults[fault_of(target, data) or f"not seen again: {path.name}"] = shrunk(target, data)
    if not units:
        print(text[-4000:])
        raise RuntimeError(f"{target.name}: libFuzzer told no number of executions")
    return tally


def _run(command: list[str]) -> str:
    """Return what libFuzzer says; an interrupt lets it end in its own way, with its numbers."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            return process.communicate()[0]
        except KeyboardInterrupt:
            process.terminate()
            return process.communicate()[0]


def main() -> None:
    """Be the process that libFuzzer runs in."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["google"]):
        importlib.import_module(_FIRST)
    for module in _KERNELS:  # numba cannot compile what is instrumented
        importlib.import_module(module)
    with atheris.instrument_imports(include=_TWINS):
        targets = importlib.import_module("fuzz.targets").TARGETS
    target = next(each for each in targets if each.name == sys.argv[1])

    target.check(target.fresh(Random(0)))  # compiles the kernels, which else counts as a hanging input

    def change(data: bytes, longest: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < _OF_LIBFUZZER:
            return bytes(atheris.Mutate(data, longest))
        changed: bytes = target.mutate(data, rng) if data else target.fresh(rng)
        return changed[:longest]

    def judge(data: bytes) -> None:
        target.mirror(data)
        target.check(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], judge, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
