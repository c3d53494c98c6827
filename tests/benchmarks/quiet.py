"""False findings per simulated day, on traffic in which nothing happens: stationary, with a daily cycle, and recorded.

Run as `python tests/benchmarks/quiet.py [DAYS]`. The budget is the default, one false alarm per day for the whole deployment.
"""

import asyncio
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from spanward_processor.configuration.config import DetectionConfig
from spanward_processor.detectors import panel
from spanward_processor.findings import Finding, State
from spanward_processor.judge import Judge
from spanward_processor.replay import replay
from spanward_processor.testing.traffic import QUIET, Behaviour, Traffic

SEED = 20_261_125
DAY_S = 86_400.0
WARM_UP_WINDOWS = 100
MODELS = 3
DATA = Path(os.environ.get("SPANWARD_DATA", Path(__file__).parents[3] / "shared" / "data"))


def stationary(second: float) -> Behaviour:
    """Return a world that never changes."""
    del second
    return QUIET


def daily(second: float) -> Behaviour:
    """Return a world whose traffic swings by half over the day, with inputs a tenth longer in the busy hours."""
    swing = math.sin(2 * math.pi * second / DAY_S)
    return replace(QUIET, rate_per_s=QUIET.rate_per_s * (1 + 0.5 * swing), longer=1 + 0.1 * swing)


def opened(behave: Callable[[float], Behaviour], days: float) -> list[Finding]:
    """Return the findings opened after the warm-up."""
    settings = DetectionConfig().as_settings()
    traffic = Traffic(SEED, models=MODELS, window_s=settings.window_s)
    decay = float(0.5 ** (settings.window_s / settings.half_life_s))
    judge = Judge(
        panel(settings.learning, decay),
        traffic.directory,
        traffic.text,
        window_s=settings.window_s,
        false_alarms_per_day=settings.false_alarms_per_day,
    )
    findings: list[Finding] = []
    windows = WARM_UP_WINDOWS + round(days * DAY_S / settings.window_s)
    for number in range(windows):
        (window,) = traffic.windows(behave(number * settings.window_s), 1)
        changes = judge.hear(window)
        if number >= WARM_UP_WINDOWS:
            findings += [change for change in changes if change.state is State.OPENED]
    return findings


def show(name: str, findings: list[Finding], days: float, took_s: float) -> None:
    """Print one line, and what opened most often."""
    print(f"{name}: {len(findings)} findings in {days:.2f} days, {len(findings) / days:.1f} per day ({took_s:.0f} s)")
    for (detector, aspect), count in Counter((one.detector, one.aspect) for one in findings).most_common(5):
        print(f"    {count} x {detector}, {aspect}")


def main(days: float) -> None:
    """Simulate and print."""
    print(f"seed {SEED}; {MODELS} models of four channels each, budget 1 false alarm per day for all together")
    for name, behave in {"stationary": stationary, "daily cycle": daily}.items():
        began = time.perf_counter()
        show(name, opened(behave, days), days, time.perf_counter() - began)
    trace = DATA / "azure-llm" / "code.csv"
    if not trace.is_file():
        print(f"Azure LLM inference trace: absent ({trace.parent.name}/{trace.name} under SPANWARD_DATA)")
        return
    began = time.perf_counter()
    replayed = asyncio.run(replay([trace], DetectionConfig()))
    findings = [finding for finding in replayed.transitions if finding.state is State.OPENED]
    seen_days = (replayed.last_ns - replayed.first_ns) / 1e9 / DAY_S
    show("Azure LLM inference trace (CC-BY-4.0)", findings, seen_days, time.perf_counter() - began)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
