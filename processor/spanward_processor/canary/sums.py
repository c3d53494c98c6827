"""Running sums of a trial, now and at each of its beginnings; all evidence follows from their differences."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.canary.clumps import Clumps
from spanward_processor.canary.columns import COLUMNS, EVENTS, Stratum
from spanward_processor.canary.sequential import ODDS, likelihood_of_odds
from spanward_processor.kept import Arrays, copies, part, under
from spanward_processor.kernels.jit import Floats

_EVERY: Final = 32  # beginnings of the newest blocks are all kept, older ones ever more sparsely
_KNOWN: Final = 10.0  # blocks' worth of belief that versions scatter as chance has it
_AS_CHANCE: Final = np.array([[1.0], [1.0], [3.0]])  # moments of the squares of a normal variable
_LARGEST: Final = 9.0  # one wild block must not hide a regression


class Sums:
    """Running sums, with a copy of them from the beginning of every block of time that is kept.

    Attributes:
        excess: (c,) what the canary's sums exceed their share by.
        variance: (c,) of that, if both versions are alike.
        weight: (c,) what an effect of one adds to it.
        likelihood: (e, o) log likelihood of ratios of odds.
        rows: (c, 2) rows by arm.
        totals: (c, 2) sums by arm.
        clumps: Whether events come in clumps.
    """

    _FIELDS: Final = ("excess", "variance", "weight", "likelihood", "rows", "totals")

    def __init__(self) -> None:
        self.excess, self.variance, self.weight = np.zeros((3, COLUMNS))
        self.likelihood = np.zeros((EVENTS.size, ODDS.size))
        self.rows, self.totals = np.zeros((COLUMNS, 2)), np.zeros((COLUMNS, 2))
        self.clumps = Clumps()
        self._starts: dict[int, dict[str, Floats]] = {}
        self._before: dict[str, Floats] = {}  # the same, all beginnings in one array
        self._block = -1
        self._last = np.zeros((2, COLUMNS))  # effect of the newest block that had one, and its variance
        self._scatter = np.zeros((3, COLUMNS))  # see `_note_scatter`

    def add(self, stratum: Stratum) -> None:
        """Add what happened in one stretch of time."""
        rows, totals = stratum.rows.sum(2), stratum.sums.sum(2)
        every = rows.sum(1)
        both = (rows > 0).all(1)
        share = np.where(both, rows[:, 1] / np.maximum(every, 1), 0.0)
        mean = totals.sum(1) / np.maximum(every, 1)
        weight = np.where(both, rows[:, 1] * (1 - share), 0.0)
        spread = np.maximum(stratum.squares - every * mean * mean, 0.0) / np.maximum(every - 1, 1)
        self.excess += np.where(both, totals[:, 1] - rows[:, 1] * mean, 0.0)
        self.variance += weight * spread
        self.weight += weight
        events = np.where(both, totals.sum(1), 0.0)[EVENTS]
        self.clumps.add(rows[EVENTS], totals[EVENTS])
        self.likelihood += likelihood_of_odds(events, np.where(both, totals[:, 1], 0.0)[EVENTS], share[EVENTS])
        self.rows += rows
        self.totals += totals

    def mean(self, column: int) -> float:
        """Return the mean of a column over both arms; NaN before its first row."""
        rows = float(self.rows[column].sum())
        return float(self.totals[column].sum()) / rows if rows else math.nan

    # --- beginnings ----------------------------------------------------------------------------------------------------

    def begin_block(self, block: int) -> None:
        """Keep the sums as they are now, as those of a possible beginning; the trial's first block is number 0."""
        if self._starts:
            self._note_scatter()
        self.clumps.end_block()
        self._block = block
        self._starts[block] = copies({name: getattr(self, name) for name in self._FIELDS})
        for start in list(self._starts):  # number 0 is a multiple of everything
            if start % (1 << ((block - start) // _EVERY).bit_length()):
                del self._starts[start]
        self._before = {}

    @property
    def block(self) -> int:
        """Number of the newest block; -1 before the first."""
        return self._block

    def numbers(self) -> Floats:
        """Return (s,) float64 blocks before each beginning."""
        return np.fromiter(self._starts, np.float64, len(self._starts))

    def since(self, name: str) -> Floats:
        """Return (s, ...) float64 what was added to a sum since each beginning."""
        if name not in self._before:
            self._before[name] = np.stack([start[name] for start in self._starts.values()])
        now: Floats = getattr(self, name)
        added: Floats = np.subtract(now, self._before[name])
        return added

    # --- scatter -------------------------------------------------------------------------------------------------------

    def _note_scatter(self) -> None:
        """See by how much the newest block's effect differs from that of the one before.

        Added up are how many differences there were, their squares by their variance, and the squares of those.
        """
        start = self._starts[self._block]
        weight, variance = self.weight - start["weight"], self.variance - start["variance"]
        seen = (weight > 0) & (variance > 0)
        effect = np.where(seen, (self.excess - start["excess"]) / np.maximum(weight, 1e-12), 0.0)
        scatter = np.where(seen, variance / np.maximum(weight, 1e-12) ** 2, 0.0)
        if (self.rows[EVENTS] > 0).all():
            # Most of the variance of seldom events is the canary's own, once it has more of them. And a block without any is
            # one that was seen: left out, those with events would look as if they scattered.
            rates = (self.totals[EVENTS] + 0.5) / (self.rows[EVENTS] + 1.0)
            of_block = np.maximum((self.rows - start["rows"])[EVENTS], 1.0)
            seen[EVENTS] = (weight[EVENTS] > 0) & (self.totals[EVENTS] > 0).any(1)
            scatter[EVENTS] = np.where(seen[EVENTS], (rates / of_block).sum(1), 0.0)
        twice = seen & (self._last[1] > 0)
        square = np.minimum((effect - self._last[0]) ** 2 / np.maximum(scatter + self._last[1], 1e-30), _LARGEST)
        self._scatter += np.where(twice, np.stack((np.ones(COLUMNS), square, square * square)), 0.0)
        self._last = np.where(seen, np.stack((effect, scatter)), self._last)

    def dispersion(self) -> Floats:
        """Return (c,) float64 how much more blocks differ than chance has it; 1 where they do not clearly.

        What is clear follows from how much the squared differences themselves scatter: those of seldom events do so far more
        than those of many. A block stands in two differences, which makes their mean half as uncertain again.
        """
        blocks, squares, fourth = self._scatter + _KNOWN * _AS_CHANCE
        mean = squares / blocks
        unsure = np.sqrt(1.5 * np.maximum(fourth / blocks - mean * mean, 0.0) / blocks)
        found: Floats = np.maximum(mean - unsure, 1.0)
        found[EVENTS] = np.maximum(found[EVENTS], self.clumps.factor())
        return found

    # --- over a restart ------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        kept = {name: getattr(self, name) for name in self._FIELDS}
        kept |= {f"start.{name}": self.since(name) for name in self._FIELDS if self._starts}
        blocks = np.array([self._block, *self._starts], np.int64)
        return under("clumps", self.clumps.arrays()) | copies(
            kept | {"last": self._last, "scatter": self._scatter, "blocks": blocks}
        )

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        for name in self._FIELDS:
            setattr(self, name, arrays[name])
        self.clumps.restore(part("clumps", arrays))
        self._last, self._scatter = arrays["last"], arrays["scatter"]
        self._block, *starts = arrays["blocks"].tolist()
        self._starts = {
            start: {name: arrays[name] - arrays[f"start.{name}"][place] for name in self._FIELDS}
            for place, start in enumerate(starts)
        }
        self._before = {}
