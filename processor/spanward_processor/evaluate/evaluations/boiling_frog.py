"""Ramps of small steps, each too small to be noticed: are they found before what they lead to has become normal?

After an hour of quiet traffic one thing moves by one percent per step, until the target is reached, and stays there. A ramp is
found by the first finding about what moves that opens before the target is reached; whatever opens later comes too late. The table
says when, how far the ramp was, and which detector spoke.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from spanward_processor.configuration.settings import Detection
from spanward_processor.detectors import panel
from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_least, percent
from spanward_processor.evaluate.intervals import share
from spanward_processor.findings import State
from spanward_processor.judging.judge import Judge
from spanward_processor.testing.traffic import QUIET, Behaviour, Traffic

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
        panel(SETTINGS.learning, decay),
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


def _line(ramp: Ramp, step_windows: int, runs: Sequence[Found | None]) -> Line:
    found = [run for run in runs if run is not None]
    what = f"{ramp.name}, a step in {step_windows * SETTINGS.window_s:.0f} s: found in time"
    if found:
        factors = [run.factor for run in found]
        speakers = ", ".join(f"{name} {count}" for name, count in Counter(run.detector for run in found).most_common())
        what += (
            f"; after {np.median([run.minutes for run in found]):.0f} min at x{np.median(factors):.2f}, "
            f"furthest x{max(factors, key=lambda factor: abs(math.log(factor))):.2f}; {speakers}"
        )
    return at_least(what, share(len(found), len(runs)), 1.0, percent)


def measure(effort: Effort) -> Iterator[Line]:
    """Climb every ramp; see `Evaluation`."""
    for ramp in RAMPS:
        for step_windows in STEP_WINDOWS[:2] if effort.short else STEP_WINDOWS:
            yield _line(ramp, step_windows, [climb(ramp, step_windows, seed) for seed in effort.seeds])


EVALUATION: Final = Evaluation(
    name="boiling_frog",
    shows="Ramps of one percent per step, found before what they lead to has become normal.",
    measure=measure,
    first_seed=300,
)
