"""A canary with a tenth of 100 requests a second: nulls in which it is as good as the stable version, and regressions.

Run as `PYTHONPATH=tests python tests/benchmarks/quality/canary.py [--nulls N] [--runs N] [--minutes M] [--only NAME]`. Beside it
Kayenta's judge (`kayenta.py`), which looks once a minute from the fifth on and has a baseline of the canary's size. Latency is
log-normal, 60 ms with sigma 0.5; every minute has a load of its own for both versions, a factor with sd 0.1. A regression
is there from the beginning. Looks are once a minute for nulls, every five seconds for regressions.
"""

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from benchmarks.quality.kayenta import FEWEST, is_high, points
from spanward_processor.canary.columns import GROUPS
from spanward_processor.canary.settings import Canary
from spanward_processor.canary.trial import Trial
from spanward_processor.canary.verdict import Decision
from spanward_processor.evaluate.intervals import share
from spanward_processor.features import Aspect
from spanward_processor.findings import Series
from spanward_processor.kernels.binning import exponential_bins
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.window import Window

FIRST_SEED: Final = 5_000  # 0 to 31 were used while this was built
RATE: Final = 100
SECOND: Final = 1_000_000_000
START: Final = 1_700_000_000
_SHIFT: Final = 1 << 40  # bins are smaller


@dataclass(frozen=True, slots=True)
class Story:
    """What happens.

    Args:
        latency: Factor on the canary's latency.
        errors: Share of requests that fail: stable, canary.
        slow: Share of the canary's requests that take five times as long.
        share: The canary's share of the traffic.
        noise: sd of the minutes' load, of its logarithm.
        cold: Factor on the latency of both in the first two minutes, and of the canary alone where `cold_canary`.
        cold_canary: Whether only the canary is cold.
        daily: Whether the load swings by half, up and down, within the hour.
        clients: Clients that stay with one version, each with a latency of its own; 0 for none.
    """

    latency: float = 1.0
    errors: tuple[float, float] = (0.001, 0.001)
    slow: float = 0.0
    share: float = 0.1
    noise: float = 0.1
    cold: float = 1.0
    cold_canary: bool = False
    daily: bool = False
    clients: int = 0


NULLS: Final = {
    "load noise 0.1": Story(),
    "load noise 0.3": Story(noise=0.3),
    "a share of 12 %, not 10": Story(share=0.12),
    "daily load": Story(daily=True),
    "both cold, x3 for 2 min": Story(cold=3.0),
    "canary cold, x3 for 2 min": Story(cold=3.0, cold_canary=True),
    "100 sticky clients": Story(clients=100),
    "latency +1 %": Story(latency=1.01),
}

REGRESSIONS: Final = {
    "latency +5 %": Story(latency=1.05),
    "latency +10 %": Story(latency=1.1),
    "latency +25 %": Story(latency=1.25),
    "latency x2": Story(latency=2.0),
    "1 % of requests x5": Story(slow=0.01),
    "errors 0.1 to 0.3 %": Story(errors=(0.001, 0.003)),
    "errors 0.1 to 1 %": Story(errors=(0.001, 0.01)),
    "errors 0.1 to 5 %": Story(errors=(0.001, 0.05)),
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests in the order of their time.

    Args:
        second: (n,) int64 when.
        canary: (n,) bool whether the canary got it.
        latency: (n,) float64 seconds.
        failed: (n,) bool.
        client: (n,) int64; 0 where there is none.
    """

    second: Ints
    canary: Flags
    latency: Floats
    failed: Flags
    client: Ints


def traffic_of(story: Story, seconds: int, rng: np.random.Generator) -> Traffic:
    """Draw the traffic of a story."""
    rate = np.full(seconds, float(RATE))
    load = np.repeat(np.exp(rng.normal(0, story.noise, seconds // 60 + 1)), 60)[:seconds]
    if story.daily:
        swing = np.sin(np.arange(seconds) * (2 * math.pi / 3600))
        rate, load = rate * (1 + 0.5 * swing), load * (1 + 0.5 * swing)
    second = np.repeat(np.arange(seconds), rng.poisson(rate))
    size = second.size
    client = rng.integers(1, story.clients + 1, size) if story.clients else np.zeros(size, np.int64)
    own = np.exp(rng.normal(0, 0.2, story.clients + 1))
    chosen = rng.random(story.clients + 1) < story.share
    canary = chosen[client] if story.clients else rng.random(size) < story.share
    latency = 0.06 * np.exp(rng.normal(0, 0.5, size)) * load[second] * (own[client] if story.clients else 1.0)
    latency = np.where(canary, latency * story.latency, latency)
    latency = np.where((second < 120) & (canary | (not story.cold_canary)), latency * story.cold, latency)
    latency = np.where(canary & (rng.random(size) < story.slow), latency * 5, latency)
    failed = rng.random(size) < np.where(canary, story.errors[1], story.errors[0])
    return Traffic(second, canary, latency, failed, client)


def windows_of(traffic: Traffic) -> list[Cells]:
    """Return the cells of each second, as the processor would count them."""
    keys = traffic.canary.astype(np.int64) * GROUPS + traffic.client % GROUPS
    columns = [(Aspect.LATENCY, exponential_bins(traffic.latency)), (Aspect.ERROR, traffic.failed.astype(np.int64))]
    if traffic.client.any():
        columns.append((Aspect.CLIENT, traffic.client))
    seconds = int(traffic.second[-1]) + 1
    streams = np.concatenate([keys << FEATURE_BITS | aspect for aspect, _ in columns])
    bins = np.concatenate([values for _, values in columns])
    second = np.tile(traffic.second, len(columns))
    order = np.lexsort((bins, streams, second))
    streams, bins, second = streams[order], bins[order], second[order]
    same = (np.diff(streams) == 0) & (np.diff(bins) == 0) & (np.diff(second) == 0)
    first = np.flatnonzero(np.concatenate(([True], ~same)))
    counts = np.diff(np.concatenate((first, [streams.size]))).astype(np.float64)
    ends = np.searchsorted(second[first], np.arange(seconds + 1))
    return [
        Cells(streams[first[low:high]], bins[first[low:high]], counts[low:high])
        for low, high in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def ours(traffic: Traffic, look_s: int, settings: Canary) -> float | None:
    """Return after how many minutes the canary is rolled back; None where it is not."""
    trial = Trial((0, 1), Series("s", "m", "2.0"), Series("s", "m", "2.1"), START * SECOND)
    for second, cells in enumerate(windows_of(traffic), start=1):
        begin_ns = (START + second) * SECOND
        window = replace(Window.empty(begin_ns, begin_ns + SECOND), cells=cells)
        trial.hear(window, settings)
        if second % look_s == 0 and trial.judge(settings, str).decision is Decision.ROLL_BACK:
            return second / 60
    return None


def kayenta(traffic: Traffic, rng: np.random.Generator) -> float | None:
    """Return after how many minutes Kayenta's judge would fail the canary, were it asked every minute; None where never."""
    minutes = traffic.second // 60
    size = int(minutes[-1]) + 1
    share = float(traffic.canary.mean())
    control = ~traffic.canary & (rng.random(traffic.second.size) < share / (1 - share))
    canary = points(traffic.latency, minutes, traffic.failed, traffic.canary, size)
    baseline = points(traffic.latency, minutes, traffic.failed, control, size)
    for minute in range(FEWEST, size + 1):
        if any(is_high(canary[metric, :minute], baseline[metric, :minute]) for metric in range(3)):
            return float(minute)
    return None


@dataclass(slots=True)
class Tally:
    """How long each run took, minutes; None where nothing was found."""

    ours: list[float | None] = field(default_factory=list[float | None])
    kayenta: list[float | None] = field(default_factory=list[float | None])


def quantiles(found: Sequence[float | None]) -> str:
    """Return median and 90th percentile of the delay, runs without a finding counted as later than any."""
    ordered = sorted(math.inf if one is None else one for one in found)
    median, late = (ordered[min(int(part * len(ordered)), len(ordered) - 1)] for part in (0.5, 0.9))
    return " / ".join("never" if math.isinf(one) else f"{one:.1f}" for one in (median, late))


def _rate(found: Sequence[float | None]) -> str:
    return share(sum(one is not None for one in found), len(found)).shown("{:.1%}".format) + f" of {len(found)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nulls", type=int, default=100)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    print(f"seeds from {FIRST_SEED}; {asked.minutes} minutes; ours {Canary()}")
    print("| story | ours: found | median / p90 min | Kayenta: found | median / p90 min |\n|---|---|---|---|---|")
    for stories, runs, look_s in ((NULLS, asked.nulls, 60), (REGRESSIONS, asked.runs, 5)):
        for name, story in stories.items():
            if asked.only not in name or not runs:
                continue
            tally, began_s = Tally(), time.perf_counter()
            cold = 0.0 if stories is REGRESSIONS else 120.0
            for run in range(runs):
                rng = np.random.default_rng(FIRST_SEED + run)
                traffic = traffic_of(story, asked.minutes * 60, rng)
                tally.ours.append(ours(traffic, look_s, Canary(warmup_s=cold)))
                tally.kayenta.append(kayenta(traffic, rng))
            print(
                f"| {name} | {_rate(tally.ours)} | {quantiles(tally.ours)} | {_rate(tally.kayenta)} | "
                f"{quantiles(tally.kayenta)} | {time.perf_counter() - began_s:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
