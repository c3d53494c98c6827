"""Inputs made, changed and judged one after the other, with no guidance but what their makers know of the format."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from fuzz.damage import damaged
from fuzz.shrinking import fault_of, shrunk
from fuzz.target import Target

_POOL: Final = 64  # inputs that are changed further
_LONGEST: Final = 300  # bytes; longer ones make room for fresh ones, else time goes into length
_FRESH: Final = 0.05
_DAMAGED: Final = 2  # copies of each input that are damaged and judged too; far cheaper than another input
REGRESSIONS: Final = Path(__file__).parent / "corpus"


@dataclass
class Tally:
    """What came of a target's executions.

    Args:
        executions: Inputs judged.
        taken: Those that were taken; the rest was refused by both sides.
        seconds: Time it took.
        faults: Shrunk input by fault.
    """

    executions: int = 0
    taken: int = 0
    seconds: float = 0.0
    faults: dict[str, bytes] = field(default_factory=dict[str, bytes])

    @property
    def per_s(self) -> float:
        """Executions in a second."""
        return self.executions / self.seconds if self.seconds else 0.0


def regressions(target: Target) -> list[bytes]:
    """Return the inputs that once showed a defect."""
    return [path.read_bytes() for path in sorted((REGRESSIONS / target.name).glob("*"))]


def run(target: Target, rng: Random, *, going_on: Callable[[Tally], bool]) -> Tally:
    """Judge inputs for as long as is asked.

    Args:
        target: What to run.
        rng: Source of all choices.
        going_on: Returns whether to go on; asked after every execution.
    """
    tally = Tally()
    pool = [*regressions(target), *(target.fresh(rng) for _ in range(_POOL))][:_POOL]
    target.check(pool[0])  # compiles the kernels, which is no part of the time
    began = time.perf_counter()
    try:
        while going_on(tally):
            place = rng.randrange(len(pool))
            data = target.fresh(rng) if rng.random() < _FRESH else target.mutate(pool[place], rng)
            if _taken(target, data, tally):
                pool[place] = data if len(data) <= _LONGEST else target.fresh(rng)
                for _ in range(_DAMAGED):
                    _taken(target, damaged(data, rng, 2), tally)
            tally.seconds = time.perf_counter() - began
    except KeyboardInterrupt:
        print(f"{target.name}: interrupted")
    return tally


def _taken(target: Target, data: bytes, tally: Tally) -> bool:
    tally.executions += 1
    try:
        taken = target.check(data)
    except Exception:  # noqa: BLE001 - any exception at all is a defect
        fault = fault_of(target, data) or "a fault that does not come again"
        if fault not in tally.faults:
            tally.faults[fault] = shrunk(target, data)
            print(f"{target.name}: {fault}: {tally.faults[fault].hex()}", flush=True)
        return False
    tally.taken += taken
    return taken


def keep(folder: Path, target: Target, tally: Tally) -> None:
    """Write the shrunk inputs of faults into a folder of the target."""
    for data in tally.faults.values():
        path = folder / target.name / f"{hashlib.blake2b(data, digest_size=6).hexdigest()}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
