"""Good and bad rows of every objective, by event time: the last hours finely, the last months coarsely."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kept import Arrays, from_json, to_json
from spanward_processor.kernels.jit import Codes, Ints
from spanward_processor.kernels.objectives import Ring, add_marks, sum_stretches, tally_rows

SECOND_NS: Final = 1_000_000_000
LEVELS: Final = ((5, 6 * 3600), (300, 4 * 86_400), (3600, 92 * 86_400))
"""Length of a stretch, and the longest window that is made of them; both in seconds."""

LONGEST_S: Final = LEVELS[-1][1]
"""Longest period of a budget."""


class Ledger:
    """Counts marked rows, whenever they come, and adds them up over windows that end now.

    A window begins with the first stretch that lies in it as a whole, so that it is shorter by less than a stretch: 5 s of up
    to six hours, 5 min of up to four days, an hour of more. Rows that come late are counted at their own time.

    Args:
        names: Names of the objectives; by them counts are given back after a restart.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._rings = tuple(_empty(len(names), width_s, most_s) for width_s, most_s in LEVELS)
        self.totals: Ints = np.zeros((len(names), 2), np.int64)
        """(o, 2) int64 rows of each objective since this process began, and bad ones among them."""

    def add(self, time_ns: Ints, counted: Codes, bad: Codes) -> None:
        """Count rows; see `kernels.objectives.tally_rows`."""
        add_marks(counted, bad, self.totals)
        for ring in self._rings:
            tally_rows(time_ns, counted, bad, ring)

    def window(self, index: int, now_ns: int, window_s: float) -> tuple[int, int]:
        """Return the rows of an objective in the window that ends now, and the bad ones among them.

        Args:
            index: The objective.
            now_ns: Unix nanoseconds.
            window_s: Length, at most `LONGEST_S`.
        """
        level = next(place for place, (_, most_s) in enumerate(LEVELS) if window_s <= most_s)
        width_ns, sums = LEVELS[level][0] * SECOND_NS, np.empty(2, np.int64)
        first = -(-(now_ns - int(window_s * SECOND_NS)) // width_ns)
        sum_stretches(self._rings[level], first, now_ns // width_ns, index, sums)
        return int(sums[0]), int(sums[1])

    # --- keep --------------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        arrays: Arrays = {"names": from_json(self._names)}
        for level, ring in enumerate(self._rings):
            arrays |= {f"stretches.{level}": ring.stretches.copy(), f"counts.{level}": ring.counts.copy()}
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back the counts of the objectives that are still there; see `Kept`."""
        before = {name: place for place, name in enumerate(to_json(arrays["names"]))}
        for level, ring in enumerate(self._rings):
            ring.stretches[:] = arrays[f"stretches.{level}"]
            for index, name in enumerate(self._names):
                if name in before:
                    ring.counts[index] = arrays[f"counts.{level}"][before[name]]


def _empty(objectives: int, width_s: int, most_s: int) -> Ring:
    places = most_s // width_s + 1
    return Ring(
        stretches=np.full(places, -1, np.int64),
        counts=np.zeros((objectives, places, 2), np.int64),
        width_ns=np.array([width_s * SECOND_NS]),
    )
