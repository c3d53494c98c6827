"""Windows from a change to its finding in the real pipeline, with a baseline learned for an hour, beside CUSUM, which knows both.

Run as `PYTHONPATH=tests python tests/benchmarks/quality/pipeline_delay.py [--seeds N]`. Requests are decoded, scored, counted and
judged by every default detector at default settings. CUSUM's average run length is the one that the pipeline's threshold
guarantees for each stream: streams x windows a day / budget.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from spans import encoded
from spanward import semconv
from spanward_processor.configuration.settings import Detection, Limits
from spanward_processor.evaluate.brook_evans import Cusum
from spanward_processor.evaluate.intervals import over_seeds
from spanward_processor.findings import State
from spanward_processor.kernels.jit import Floats
from spanward_processor.pipeline import Pipeline

FIRST_SEED: Final = 900
STREAMS: Final = 4  # rate, latency, error, decision of one series
WINDOWS_PER_DAY: Final = 8640
LEARNED: Final = 360
LATEST: Final = 400
DRAWS: Final = 400_000
SECOND_NS: Final = 1_000_000_000
WINDOW_NS: Final = 10 * SECOND_NS
START_NS: Final = 1_700_000_000 * SECOND_NS
TO_REACH: Final = 3.0  # with a learned baseline
DECISIONS: Final = ("billing", "delivery", "technical", "account")


@dataclass(frozen=True, slots=True)
class World:
    """One window's traffic.

    Args:
        rows: Mean rows of a window.
        slower: Factor on latency.
        errors: Share of errors.
        mix: Shares of the decisions.
    """

    rows: float = 100.0
    slower: float = 1.0
    errors: float = 0.01
    mix: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)


QUIET: Final = World()


def latency_ratio(rng: np.random.Generator, windows: int, world: World, changed: World) -> Floats:
    """Return draws of CUSUM's log likelihood ratio of a window's latencies."""
    rows, shift = round(world.rows), np.log(changed.slower) / 0.5
    mean = np.log(world.slower) / 0.5
    sums = rng.normal(rows * mean, np.sqrt(rows), windows)
    return np.asarray(shift * sums - rows * shift**2 / 2)


def error_ratio(rng: np.random.Generator, windows: int, world: World, changed: World) -> Floats:
    """Return draws of it for errors."""
    rows, usual, now = round(world.rows), QUIET.errors, changed.errors
    raised = rng.binomial(rows, world.errors, windows)
    return np.asarray(raised * np.log(now / usual) + (rows - raised) * np.log((1 - now) / (1 - usual)))


def mix_ratio(rng: np.random.Generator, windows: int, world: World, changed: World) -> Floats:
    """Return draws of it for decisions."""
    counts = rng.multinomial(round(world.rows), world.mix, windows).astype(np.float64)
    return np.asarray(counts @ np.log(np.array(changed.mix) / np.array(QUIET.mix)))


def rate_ratio(rng: np.random.Generator, windows: int, world: World, changed: World) -> Floats:
    """Return draws of it for the rate."""
    counted = rng.poisson(world.rows, windows)
    return np.asarray(counted.astype(np.float64) * np.log(changed.rows / QUIET.rows) - (changed.rows - QUIET.rows))


CASES: Final = (
    ("latency x1.1", "latency", replace(QUIET, slower=1.1), latency_ratio),
    ("latency x1.3", "latency", replace(QUIET, slower=1.3), latency_ratio),
    ("errors 1 to 2 %", "error", replace(QUIET, errors=0.02), error_ratio),
    ("errors 1 to 5 %", "error", replace(QUIET, errors=0.05), error_ratio),
    ("4 % of all decisions moved", "decision", replace(QUIET, mix=(0.36, 0.34, 0.2, 0.1)), mix_ratio),
    ("rate x1.2", "rate", replace(QUIET, rows=120.0), rate_ratio),
    ("rate x0.6", "rate", replace(QUIET, rows=60.0), rate_ratio),
)


def request(world: World, number: int, rng: np.random.Generator) -> bytes:
    """Return a window's spans."""
    rows = int(rng.poisson(world.rows))
    ends = START_NS + number * WINDOW_NS + np.sort(rng.integers(0, WINDOW_NS, rows))
    lasted = (0.06 * world.slower * rng.lognormal(0.0, 0.5, rows) * SECOND_NS).astype(np.int64)
    failed, chosen = rng.random(rows) < world.errors, rng.choice(len(DECISIONS), rows, p=world.mix)
    spans: list[Span] = []
    for end, took, is_error, decision in zip(
        ends.tolist(), lasted.tolist(), failed.tolist(), chosen.tolist(), strict=True
    ):
        code = Status.STATUS_CODE_ERROR if is_error else Status.STATUS_CODE_UNSET
        span = Span(start_time_unix_nano=end - took, end_time_unix_nano=end, status=Status(code=code))
        span.attributes.add(key=semconv.MODEL_NAME).value.string_value = "router"
        span.attributes.add(key=semconv.DECISION).value.string_value = DECISIONS[decision]
        spans.append(span)
    return encoded(*spans)


def delay(changed: World, aspect: str, seed: int) -> tuple[float, int]:
    """Return windows from a change until its finding opens, and how many findings opened before the change."""
    now, rng = [START_NS], np.random.default_rng(seed)
    pipeline = Pipeline(Detection(), Limits(), clock_ns=lambda: now[0], monotonic_ns=lambda: now[0])
    early = 0
    for number in range(LEARNED + LATEST):
        now[0] = START_NS + (number + 1) * WINDOW_NS
        pipeline.acknowledge(pipeline.process(request(QUIET if number < LEARNED else changed, number, rng)))
        for change in pipeline.tick():
            if change.state is not State.OPENED:
                continue
            windows = (change.opened_ns - START_NS) / WINDOW_NS - LEARNED
            if windows > 0 and change.aspect == aspect:
                return windows, early
            early += windows <= 0
    return float(LATEST), early


def main(seeds: int) -> None:
    """Measure and print."""
    run_length = STREAMS * WINDOWS_PER_DAY / Detection().false_alarms_per_day
    print(
        f"seeds {FIRST_SEED} to {FIRST_SEED + seeds - 1}; average run length of CUSUM {run_length:,.0f} windows; "
        f"load {os.getloadavg()[0]:.1f}; means with 95 % intervals"
    )
    print("| change, 100 rows a window | windows to the finding | CUSUM's | ratio | to reach | false findings |")
    print("|---|---|---|---|---|---|")
    for name, aspect, changed, ratio in CASES:
        cusum = _cusum(changed, ratio).delay(run_length)
        each = [delay(changed, aspect, FIRST_SEED + seed) for seed in range(seeds)]
        windows, early = [one[0] for one in each], sum(one[1] for one in each)
        mean = float(np.mean(windows)) / cusum
        verdict = "reached" if mean <= TO_REACH else "missed"
        print(
            f"| {name} | {over_seeds(windows)} | {cusum:.1f} | {mean:.2f} | {TO_REACH}, {verdict} | {early} |",
            flush=True,
        )


def _cusum(changed: World, ratio: Callable[[np.random.Generator, int, World, World], Floats]) -> Cusum:
    rng = np.random.default_rng(FIRST_SEED)
    return Cusum(ratio(rng, DRAWS, QUIET, changed), ratio(rng, DRAWS, changed, changed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    main(parser.parse_args().seeds)
