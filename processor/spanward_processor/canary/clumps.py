"""Whether seldom events come in clumps: five errors within a second are one piece of news if one request was sent five times.

Events that have nothing to do with each other share a second and a version as often as chance has it. How often that is follows
from those ten seconds as a whole, and from pairs with one event in either version: an outage of both is no clump of one. More
pairs than that make events count for less, as in overdispersed counts. Source of dividing a likelihood by the dispersion:
Wedderburn, "Quasi-likelihood functions", 1974; of counting pairs: Ripley, "The second-order analysis of stationary point
processes", 1976.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.canary.columns import EVENTS
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Floats


class Clumps:
    """Pairs of events in the same stretch of time, as many as there are and as chance has it."""

    _FIELDS: Final = ("events", "pairs", "cross", "chance", "block")

    def __init__(self) -> None:
        self.events = np.zeros((EVENTS.size, 2))  # by arm
        self.pairs = np.zeros(EVENTS.size)  # of events in one stratum and one arm
        self.cross = np.zeros(EVENTS.size)  # of events in one stratum, one in each arm
        self.chance = np.zeros(EVENTS.size)  # of `pairs`, by the blocks that are over
        self.block = np.zeros((3, EVENTS.size, 2))  # of the block under way: events, rows, squared rows of its strata

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies({name: getattr(self, name) for name in self._FIELDS})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        for name in self._FIELDS:
            setattr(self, name, arrays[name])

    def add(self, rows: Floats, events: Floats) -> None:
        """Add a stratum: (e, 2) float64 its rows and its events by arm."""
        self.events += events
        self.pairs += (events * (events - 1)).sum(1)
        self.cross += events[:, 0] * events[:, 1]
        self.block += (events, rows, rows * rows)

    def end_block(self) -> None:
        """Begin another block of time."""
        self.chance += by_chance(self.block)
        self.block[:] = 0.0

    def factor(self) -> Floats:
        """Return (e,) float64 by how much more the canary's share of the events varies than if each came alone; at least 1."""
        every = np.maximum(self.events.sum(1), 1.0)
        share = (self.events[:, 1] + 0.5) / (every + 1.0)
        of_both = self.cross * (share**2 + (1 - share) ** 2) / (share * (1 - share))
        expected = np.maximum(self.chance + by_chance(self.block), of_both)
        found: Floats = 1.0 + np.maximum(self.pairs - expected, 0.0) / every
        return found


def by_chance(block: Floats) -> Floats:
    """Return (e,) float64 pairs in one stratum and arm that chance makes of a block's events.

    Args:
        block: (3, ..., e, 2) float64 events, rows, and sum of the squared rows of its strata.
    """
    events, rows, squares = block
    same = (squares - rows) / np.maximum(rows * (rows - 1), 1.0)  # chance that two of its rows are in one stratum
    found: Floats = (np.maximum(events * (events - 1), 0.0) * same).sum(-1)
    return found
