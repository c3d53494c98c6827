"""Rows of the last hours, a few of each series and stretch of time, each with a weight; the older, the longer a stretch.

Rows come from the samples of closed windows. Where stretches are joined, rows are drawn so that sums by weight stay right on average:
every row gets a chance in proportion to its weight, and those that are kept stand for the others.

Source:
    Duffield, Lund and Thorup, "Priority sampling for estimation of arbitrary subset sums", Journal of the ACM 54 (2007).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.explain.measured import DATA, Measured
from spanward_processor.kept import Arrays, part, under
from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow, Singles
from spanward_processor.kernels.sampling import SAMPLED, TOLD
from spanward_processor.windows.window import Window

_SECOND_NS: Final = 1_000_000_000
_HOUR_NS: Final = 3_600 * _SECOND_NS

_STRETCHES: Final = (
    (120 * _SECOND_NS, 10 * _SECOND_NS, SAMPLED),
    (720 * _SECOND_NS, 60 * _SECOND_NS, 64),
    (2 * _HOUR_NS, 600 * _SECOND_NS, 96),
    (26 * _HOUR_NS, _HOUR_NS, 64),
)
"""Up to which age stretches have what length, and how many rows of a series each holds at most; nanoseconds."""

_FEWEST_SCALE: Final = 1 / 64
_ROOM: Final = 4  # times the rows there are, from which on more of each series are kept again


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of some stretch of time, sorted by series.

    Args:
        start_ns: Its first nanosecond.
        end_ns: The first one after it.
        keys: (r,) int32 series.
        routes: (r,) int32 key of the row's first slice, -1 for none.
        measured: (r, 1 + TOLD) float32 as in `Sample`.
        weights: (r,) float32 how many rows each stands for.

    Attributes:
        fullest: How many rows the series with the most of them has.
    """

    start_ns: int
    end_ns: int
    keys: Narrow
    routes: Narrow
    measured: Singles
    weights: Singles
    fullest: int = field(init=False)

    def __post_init__(self) -> None:
        """Count once; it is asked after every window."""
        ends = np.flatnonzero(np.diff(self.keys, append=-1))
        object.__setattr__(self, "fullest", int(np.diff(ends, prepend=-1).max(initial=0)))

    @classmethod
    def of(cls, window: Window) -> Self:
        """Return the sampled rows of a window; each stands for its part of all rows of its series."""
        sample = window.sample
        rates = window.rates
        begins = np.flatnonzero(np.diff(sample.keys, prepend=-1))
        kept = np.diff(begins, append=sample.keys.size)
        found = np.minimum(np.searchsorted(rates.keys, sample.keys[begins]), max(rates.keys.size - 1, 0))
        counts = rates.counts[found] if rates.keys.size else kept.astype(np.float64)
        weights = np.repeat(np.maximum(counts / kept, 1.0), kept)
        return cls(
            window.start_ns,
            window.end_ns,
            sample.keys.astype(np.int32),
            sample.routes,
            sample.measured,
            weights.astype(np.float32),
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.keys.size

    def where(self, chosen: Flags | Ints) -> "Stretch":
        """Return the chosen rows."""
        return replace(
            self,
            keys=self.keys[chosen],
            routes=self.routes[chosen],
            measured=self.measured[chosen],
            weights=self.weights[chosen],
        )

    def thinned(self, most: int, rng: np.random.Generator) -> "Stretch":
        """Return at most so many rows of each series, which stand for all.

        Args:
            most: Rows of a series.
            rng: Source of randomness.
        """
        inverse = rng.random(len(self)) / self.weights  # one by a row's priority
        begins = np.flatnonzero(np.diff(self.keys, prepend=-1))
        sizes = np.diff(begins, append=len(self))
        crowded = np.flatnonzero(np.repeat(sizes > most, sizes))
        # sorted by series and priority: positive numbers sort as their bits do, and one integer quicker than two keys
        ranks = self.keys[crowded].astype(np.int64) << 32 | inverse[crowded].astype(np.float32).view(np.int32)
        order = crowded[np.argsort(ranks)]
        sizes = sizes[sizes > most]
        first_out = np.cumsum(sizes) - sizes + most
        out = np.arange(order.size) >= np.repeat(first_out, sizes)
        weights = self.weights.copy()
        weights[order] = np.maximum(weights[order], np.repeat(1 / inverse[order[first_out]], sizes))
        kept = np.ones(len(self), bool)
        kept[order[out]] = False
        return replace(self, weights=weights).where(kept)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        times = np.array([self.start_ns, self.end_ns], np.int64)
        return {
            "times": times,
            "keys": self.keys,
            "routes": self.routes,
            "measured": self.measured,
            "weights": self.weights,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the stretch that gave these arrays."""
        start_ns, end_ns = (int(time_ns) for time_ns in arrays["times"])
        measured = arrays["measured"].reshape(-1, 1 + TOLD)
        return cls(start_ns, end_ns, arrays["keys"], arrays["routes"], measured, arrays["weights"])


def _joined(stretches: list[Stretch]) -> Stretch:
    if len(stretches) == 1:
        return stretches[0]
    whole = Stretch(
        stretches[0].start_ns,
        stretches[-1].end_ns,
        np.concatenate([one.keys for one in stretches]),
        np.concatenate([one.routes for one in stretches]),
        np.concatenate([one.measured for one in stretches]),
        np.concatenate([one.weights for one in stretches]),
    )
    return whole.where(np.argsort(whole.keys, kind="stable"))


class Recent:
    """Rows of the last 26 hours.

    Args:
        most_rows: Rows kept in all; where there are more, fewer of each series and stretch are, and at last the oldest go.
        rng: Source of randomness.

    Cost:
        52 bytes a row: of one busy series at most 3,700 rows, 190 kB. Nothing per row of traffic; per window some 20 ms at 1,000 series.
    """

    def __init__(self, most_rows: int, rng: np.random.Generator) -> None:
        self.most_rows = most_rows
        # with the time of a stretch, so that after a restart the same rows are drawn
        self._seed = int(rng.integers(1 << 32))
        self._scale = 1.0  # of how many rows of a series a stretch holds
        # oldest first; exchanged as a whole, so that it can be read from any thread
        self._stretches: tuple[Stretch, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(map(len, self._stretches))

    def keep(self, window: Window) -> None:
        """Keep rows of a closed window, and let those before it age; nobody else may call meanwhile."""
        # a clock that was set back begins anew: what lies ahead never was
        stretches = [one for one in self._stretches if one.end_ns <= window.start_ns]
        if window.sample.keys.size:
            stretches.append(Stretch.of(window))
        now_ns = window.end_ns
        made: list[Stretch] = []
        for place, together in groupby(stretches, lambda one: _place(one, now_ns)):
            if place is not None:
                made.append(self._thinned(_joined(list(together)), place[0]))
        self._stretches = tuple(self._bounded(made))

    def _thinned(self, stretch: Stretch, level: int) -> Stretch:
        most = max(round(_STRETCHES[level][2] * self._scale), 1)
        if stretch.fullest <= most:
            return stretch
        return stretch.thinned(most, np.random.default_rng((self._seed, stretch.start_ns % (1 << 63))))

    def _bounded(self, stretches: list[Stretch]) -> list[Stretch]:
        while (rows := sum(map(len, stretches))) > self.most_rows and self._scale > _FEWEST_SCALE:
            self._scale /= 2
            now_ns = stretches[-1].end_ns
            places = [_place(one, now_ns) for one in stretches]
            stretches = [self._thinned(one, place[0]) for one, place in zip(stretches, places, strict=True) if place]
        while rows > self.most_rows:
            rows -= len(stretches.pop(0))
        if rows * _ROOM < self.most_rows and self._scale < 1.0:
            self._scale *= 2
        return stretches

    def series(self) -> Ints:
        """Return (s,) int64 the series that have rows, ascending."""
        keys = [np.unique(one.keys) for one in self._stretches]
        return np.unique(np.concatenate(keys)).astype(np.int64) if keys else np.empty(0, np.int64)

    @property
    def ends_ns(self) -> tuple[int, int]:
        """Where the first stretch begins and the last one ends; 0 where there is none."""
        return (self._stretches[0].start_ns, self._stretches[-1].end_ns) if self._stretches else (0, 0)

    def rows(self, series: Iterable[int], first_ns: int, last_ns: int) -> Measured:
        """Return the rows of some series whose stretch lies, by its middle, between two times; from any thread.

        Args:
            series: Their keys.
            first_ns: First nanosecond.
            last_ns: First one after it.
        """
        wanted = np.fromiter(series, np.int64)
        inside = [one for one in self._stretches if first_ns <= (one.start_ns + one.end_ns) // 2 < last_ns and len(one)]
        return Measured.together([_measured(one.where(np.isin(one.keys, wanted))) for one in inside])

    # --- over a restart ------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        arrays: Arrays = {"stretches": np.array([len(self._stretches)]), "scale": np.array([self._scale])}
        for number, one in enumerate(self._stretches):
            arrays |= under(str(number), one.arrays())
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._scale = float(arrays["scale"][0])
        count = int(arrays["stretches"][0])
        self._stretches = tuple(Stretch.from_arrays(part(str(number), arrays)) for number in range(count))


def _place(stretch: Stretch, now_ns: int) -> tuple[int, int] | None:
    """Return the level of a stretch and the place in time it belongs to; None where it is too old."""
    age_ns = now_ns - stretch.end_ns
    for level, (until_ns, length_ns, _) in enumerate(_STRETCHES):
        if age_ns < until_ns:
            return level, stretch.start_ns // length_ns
    return None


def _measured(stretch: Stretch) -> Measured:
    numbers: Floats = stretch.measured.T.astype(np.float64)
    groups = stretch.keys.astype(np.int64) << 32 | (stretch.routes.astype(np.int64) + 1)
    return Measured(
        span_s=numbers[0],
        data=numbers[1 : 1 + len(DATA)],
        runtime=numbers[1 + len(DATA) :],
        groups=groups,
        blocks=np.full(len(stretch), stretch.start_ns),
        weights=stretch.weights.astype(np.float64),
    )
