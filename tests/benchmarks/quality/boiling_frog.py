"""Ramps of small steps, each too small to be noticed: are they found before what they lead to has become normal?

Run as `PYTHONPATH=tests python tests/benchmarks/quality/boiling_frog.py [--seeds N] [--short] [--only RAMP]`. After an hour of quiet traffic
one thing moves by one percent per step, until the target is reached, and stays there. A ramp is found by the first finding about
what moves that opens before the target is reached; whatever opens later comes too late. The table says when, how far the
ramp was, and which detector spoke. The quiet control is `tests/benchmarks/quiet.py`, with and without a daily cycle.
"""

import argparse
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from benchmarks.quality.intervals import share
from spanward_processor.detectors import DETECTORS
from spanward_processor.findings import State
from spanward_processor.judge import Judge
from spanward_processor.settings import Detection
from spanward_processor.testing.traffic import QUIET, Behaviour, Traffic

FIRST_SEED: Final = 300  # 1 to 9 were used while this was built
SETTINGS: Final = Detection()
WARM_UP: Final = 360
STEP: Final = 1.01
STEP_WINDOWS: Final = (1, 6, 30, 84)
"""Windows that one step takes; at 84 a value doubles within 16 hours."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """Something that moves.

    Args:
        name: What a person calls it.
        aspect: Aspect of the findings that name it.
        target: Factor at which it stays.
        behave: World at a factor.
    """

    name: str
    aspect: str
    target: float
    behave: Callable[[float], Behaviour]


RAMPS: Final = (
    Ramp("input length x2", "input_size", 2.0, lambda factor: replace(QUIET, longer=factor)),
    Ramp("latency x2", "latency", 2.0, lambda factor: replace(QUIET, slower=factor)),
    Ramp("score to its square", "score", 0.5, lambda factor: replace(QUIET, surer=factor)),
    Ramp("errors x5", "error", 5.0, lambda factor: replace(QUIET, error_ratio=0.01 * factor)),
    Ramp("one class of one channel x0.2", "decision", 0.2, lambda factor: replace(QUIET, flipped=1 - factor)),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The first finding about what moves.

    Args:
        detector: Who spoke.
        minutes: Since the ramp began.
        factor: Where the ramp was.
    """

    detector: str
    minutes: float
    factor: float


def climb(ramp: Ramp, step_windows: int, seed: int) -> Found | None:
    """Return how a ramp was found before its target was reached; None if it was not."""
    traffic = Traffic(seed, window_s=SETTINGS.window_s)
    decay = float(0.5 ** (SETTINGS.window_s / SETTINGS.half_life_s))
    judge = Judge(
        [build(SETTINGS.learning, decay) for build in DETECTORS],
        traffic.directory,
        traffic.text,
        window_s=SETTINGS.window_s,
        false_alarms_per_day=SETTINGS.false_alarms_per_day,
    )
    for window in traffic.windows(QUIET, WARM_UP):
        judge.hear(window)
    steps = math.ceil(abs(math.log(ramp.target)) / math.log(STEP))
    for number in range(steps * step_windows):
        factor = STEP ** math.copysign(number // step_windows + 1, math.log(ramp.target))
        (window,) = traffic.windows(ramp.behave(factor), 1)
        for change in judge.hear(window):
            if change.state is State.OPENED and change.aspect == ramp.aspect:
                return Found(change.detector, number * SETTINGS.window_s / 60, factor)
    return None


def show(ramp: Ramp, step_windows: int, runs: list[Found | None]) -> None:
    """Print one row."""
    found = [run for run in runs if run is not None]
    line = f"{ramp.name:30} {step_windows * SETTINGS.window_s:6.0f} s   {share(len(found), len(runs)):40}"
    if found:
        minutes, factors = ([getattr(run, name) for run in found] for name in ("minutes", "factor"))
        speakers = ", ".join(f"{name} {count}" for name, count in Counter(run.detector for run in found).most_common())
        line += f" after {np.median(minutes):6.0f} min at x{np.median(factors):.2f} (furthest x{_furthest(factors):.2f})  {speakers}"
    print(line, flush=True)


def _furthest(factors: list[float]) -> float:
    return max(factors, key=lambda factor: abs(math.log(factor)))


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--short", action="store_true", help="two seeds, the two fastest ramps")
    options.add_argument("--only", default="", help="ramps whose name holds this")
    chosen = options.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + (2 if chosen.short else chosen.seeds))
    print(f"seeds {seeds.start} to {seeds.stop - 1}; one percent per step; load {os.getloadavg()[0]:.1f}")
    began = time.perf_counter()
    for ramp in RAMPS:
        if chosen.only in ramp.name:
            for step_windows in STEP_WINDOWS[:2] if chosen.short else STEP_WINDOWS:
                show(ramp, step_windows, [climb(ramp, step_windows, seed) for seed in seeds])
    print(f"to reach: found in 100 % of the runs ({time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
