"""Rows with what was measured of each: the input of every explanation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from spanward_processor.kernels.jit import Flags, Floats, Ints

DATA: Final = ("input_tokens", "output_tokens", "input_size", "sparsity", "batch_size")
"""What of a call's data may cost time; roles of numbers."""

RUNTIME: Final = ("gc_pause_s", "wait_s", "model_load_s", "cpu_s")
"""Seconds that the process told of a call; roles of numbers."""

GC, WAIT, LOAD, CPU = range(len(RUNTIME))


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows of one model in some stretch of time.

    Args:
        span_s: (n,) float64 how long each span lasted, seconds.
        data: (5, n) float64 by `DATA`, NaN where a row does not say.
        runtime: (4, n) float64 by `RUNTIME`, seconds, NaN where a row does not say.
        groups: (n,) int64 which version answered, and by which way the call came; rows of one number are alike.
        blocks: (n,) int64 stretch of time; rows of one stretch shared its load.
        weights: (n,) float64 how many rows each stands for.
    """

    span_s: Floats
    data: Floats
    runtime: Floats
    groups: Ints
    blocks: Ints
    weights: Floats

    @classmethod
    def of(
        cls,
        span_s: Floats,
        *,
        data: dict[str, Floats] | None = None,
        runtime: dict[str, Floats] | None = None,
        groups: Ints | None = None,
        blocks: Ints | None = None,
        weights: Floats | None = None,
    ) -> Self:
        """Return rows of which only some things are known, each by its name in `DATA` and `RUNTIME`."""
        size = span_s.size
        unknown = np.full(size, np.nan)
        return cls(
            span_s=np.asarray(span_s, np.float64),
            data=np.stack([(data or {}).get(name, unknown) for name in DATA]),
            runtime=np.stack([(runtime or {}).get(name, unknown) for name in RUNTIME]),
            groups=np.zeros(size, np.int64) if groups is None else groups,
            blocks=np.zeros(size, np.int64) if blocks is None else blocks,
            weights=np.ones(size) if weights is None else weights,
        )

    @classmethod
    def empty(cls) -> Self:
        """Return no rows."""
        return cls.of(np.empty(0))

    @classmethod
    def together(cls, parts: Sequence["Measured"]) -> Self:
        """Return the rows of all parts."""
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.span_s for part in parts]),
            np.concatenate([part.data for part in parts], axis=1),
            np.concatenate([part.runtime for part in parts], axis=1),
            np.concatenate([part.groups for part in parts]),
            np.concatenate([part.blocks for part in parts]),
            np.concatenate([part.weights for part in parts]),
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.span_s.size

    @property
    def latency_s(self) -> Floats:
        """(n,) float64 from when the work was handed over until it was done: the wait for a worker lies before the span."""
        return np.asarray(self.span_s + np.nan_to_num(self.runtime[WAIT]))

    @property
    def shares(self) -> Floats:
        """(n,) float64 weights that sum to one."""
        return np.asarray(self.weights / self.weights.sum())

    def usable(self) -> "Measured":
        """Return the rows that lasted; others say nothing, nor do negative seconds."""
        kept = self.where(np.isfinite(self.span_s) & (self.span_s > 0) & (self.weights > 0))
        runtime = np.where(np.isfinite(kept.runtime) & (kept.runtime >= 0), kept.runtime, np.nan)
        data = np.where(np.isfinite(kept.data), kept.data, np.nan)
        return replace(kept, runtime=runtime, data=data)

    def where(self, chosen: Flags | Ints) -> "Measured":
        """Return the chosen rows."""
        return Measured(
            self.span_s[chosen],
            self.data[:, chosen],
            self.runtime[:, chosen],
            self.groups[chosen],
            self.blocks[chosen],
            self.weights[chosen],
        )

    def again(self, rng: np.random.Generator) -> "Measured":
        """Return as many rows, drawn again: whole stretches of time where there are enough, and rows by their weight in them.

        Args:
            rng: Source of randomness.

        Source:
            Cameron, Gelbach and Miller, "Bootstrap-based improvements for inference with clustered errors", Review of
            Economics and Statistics 90 (2008): rows that share a cluster are drawn together.
        """
        weights = self.weights
        _, places = np.unique(self.blocks, return_inverse=True)
        blocks = int(places.max(initial=0)) + 1
        if blocks >= _FEWEST_BLOCKS:
            times = np.bincount(rng.integers(0, blocks, blocks), minlength=blocks)
            weights = weights * times[places]
        chosen = rng.choice(len(self), len(self), p=weights / weights.sum())
        return replace(self.where(chosen), weights=np.ones(len(self)))


_FEWEST_BLOCKS: Final = 10
"""Stretches of time from which on they are drawn as wholes; of fewer, drawing tells little of how they differ."""
