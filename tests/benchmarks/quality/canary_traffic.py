"""The traffic of a canary with a tenth of 100 requests a second: nulls in which it is as good as the stable version, and regressions.

Latency is log-normal, 60 ms with sigma 0.5; every minute has a load of its own for both versions, a factor with sd 0.1. A
regression is there from the beginning.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.canary.columns import GROUPS
from spanward_processor.features import Aspect
from spanward_processor.kernels.binning import exponential_bins
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.windows.cells import Cells

RATE: Final = 100
_AT_ONCE_S: Final = 120  # seconds that are turned into cells together


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
        clients: Clients that come again and again, each with a latency of its own; 0 for none.
        sticky: Whether each of them stays with one version.
        tries: Times that a request which fails is sent, all to the same version.
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
    sticky: bool = True
    tries: int = 1


NULLS: Final = {
    "load noise 0.1": Story(),
    "load noise 0.3": Story(noise=0.3),
    "a share of 12 %, not 10": Story(share=0.12),
    "daily load": Story(daily=True),
    "both cold, x3 for 2 min": Story(cold=3.0),
    "canary cold, x3 for 2 min": Story(cold=3.0, cold_canary=True),
    "100 sticky clients": Story(clients=100),
    "100 clients, split by request": Story(clients=100, sticky=False),
    "failing requests sent 5 times": Story(tries=5),
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
    canary = chosen[client] if story.clients and story.sticky else rng.random(size) < story.share
    latency = 0.06 * np.exp(rng.normal(0, 0.5, size)) * load[second] * (own[client] if story.clients else 1.0)
    latency = np.where(canary, latency * story.latency, latency)
    latency = np.where((second < 120) & (canary | (not story.cold_canary)), latency * story.cold, latency)
    latency = np.where(canary & (rng.random(size) < story.slow), latency * 5, latency)
    failed = rng.random(size) < np.where(canary, story.errors[1], story.errors[0])
    sent = np.repeat(np.arange(size), np.where(failed, story.tries, 1))
    return Traffic(second[sent], canary[sent], latency[sent], failed[sent], client[sent])


def windows_of(traffic: Traffic) -> Iterator[Cells]:
    """Return the cells of each second, as the processor would count them."""
    seconds = int(traffic.second[-1]) + 1
    for begin in range(0, seconds, _AT_ONCE_S):
        end = min(begin + _AT_ONCE_S, seconds)
        part = slice(*np.searchsorted(traffic.second, (begin, end)).tolist())
        some = Traffic(
            traffic.second[part],
            traffic.canary[part],
            traffic.latency[part],
            traffic.failed[part],
            traffic.client[part],
        )
        yield from _cells_of(some, begin, end)


def _cells_of(traffic: Traffic, begin: int, end: int) -> Iterator[Cells]:
    keys = traffic.canary.astype(np.int64) * GROUPS + traffic.client % GROUPS
    columns = [(Aspect.LATENCY, exponential_bins(traffic.latency)), (Aspect.ERROR, traffic.failed.astype(np.int64))]
    if traffic.client.any():
        columns.append((Aspect.CLIENT, traffic.client))
    streams = np.concatenate([keys << FEATURE_BITS | aspect for aspect, _ in columns])
    bins = np.concatenate([values for _, values in columns])
    second = np.tile(traffic.second, len(columns))
    order = np.lexsort((bins, streams, second))
    streams, bins, second = streams[order], bins[order], second[order]
    same = (np.diff(streams) == 0) & (np.diff(bins) == 0) & (np.diff(second) == 0)
    first = np.flatnonzero(np.concatenate(([True], ~same)))
    counts = np.diff(np.concatenate((first, [streams.size]))).astype(np.float64)
    ends = np.searchsorted(second[first], np.arange(begin, end + 1))
    for low, high in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        yield Cells(streams[first[low:high]], bins[first[low:high]], counts[low:high])
