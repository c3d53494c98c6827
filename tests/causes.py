"""Calls of a model of which every second's cause is known, so that an explanation can be held against the truth."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spanward_processor.explain.measured import Measured
from spanward_processor.kernels.jit import Floats


@dataclass(frozen=True)
class World:
    """How calls come about.

    Args:
        tokens: Median input tokens.
        per_token_s: CPU seconds of one.
        base_s: CPU seconds of a call besides.
        batch: Items of a call.
        per_item_s: CPU seconds of each item beyond the first.
        noise: Standard deviation of the logarithm of CPU time.
        gc_ratio: Share of calls with a collection of garbage.
        gc_s: Its mean length.
        lock_ratio: Share of calls that wait for a lock.
        lock_s: How long, on average.
        worker_s: Mean wait for a worker, before the span begins.
        load_ratio: Share of calls that load a model, for half a second.
        stretch: Seconds off the processor for each second on it.
        group: Version and route.
    """

    tokens: float = 400.0
    per_token_s: float = 1e-4
    base_s: float = 0.01
    batch: int = 1
    per_item_s: float = 0.0
    noise: float = 0.1
    gc_ratio: float = 0.02
    gc_s: float = 0.01
    lock_ratio: float = 0.05
    lock_s: float = 0.005
    worker_s: float = 0.0
    load_ratio: float = 0.0
    stretch: float = 0.0
    group: int = 0

    def but(self, **changes: Any) -> "World":
        """Return a world in which some things are otherwise."""
        return replace(self, **changes)

    def calls(self, count: int, rng: np.random.Generator) -> Measured:
        """Return calls; 200 share a stretch of time."""
        tokens = rng.lognormal(np.log(self.tokens), 0.5, count)
        computing = self.base_s + self.per_token_s * tokens + self.per_item_s * (self.batch - 1)
        cpu = computing * rng.lognormal(-(self.noise**2) / 2, self.noise, count)
        gc = _now_and_then(self.gc_ratio, rng.exponential(self.gc_s, count), rng)
        load = _now_and_then(self.load_ratio, np.full(count, 0.5), rng)
        lock = _now_and_then(self.lock_ratio, rng.exponential(self.lock_s, count), rng)
        return Measured.of(
            cpu + gc + load + lock + self.stretch * cpu,
            data={"input_tokens": tokens, "batch_size": np.full(count, float(self.batch))},
            runtime={
                "cpu_s": cpu,
                "gc_pause_s": np.where(gc > 0, gc, np.nan),  # told where there was one
                "model_load_s": np.where(load > 0, load, np.nan),
                "wait_s": rng.exponential(self.worker_s, count),
            },
            groups=np.full(count, self.group),
            blocks=np.arange(count) // 200,
        )


def _now_and_then(ratio: float, seconds: Floats, rng: np.random.Generator) -> Floats:
    return np.where(rng.random(seconds.size) < ratio, seconds, 0.0)


USUAL = World()
