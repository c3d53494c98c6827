"""What two versions decided on the same inputs, where both were asked: by a mirror of the traffic, or because inputs come again.

A class that a poisoned version gives to others hides in the share of each decision; among pairs it does not. Rows are paired as
they come, windows or not: what is counted is inputs, and each of them once.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.attribution.paired import Answered, Flip, flips
from spanward_processor.kept import Arrays, copies, part, under
from spanward_processor.kernels.jit import Codes, Ints
from spanward_processor.kernels.pairing import Answers, pair_rows
from spanward_processor.kernels.tables import MISSING

WHOLE: Final = -1
"""Stands for the attribute where all rows of a version are meant."""

_REMEMBERED: Final = 1 << 14  # inputs that wait for the other version, 330 kB
_MOST_KINDS: Final = 4096  # decisions of slices


class Pairs:
    """The pairs of one trial."""

    def __init__(self) -> None:
        self._answers = Answers(
            np.zeros(_REMEMBERED, np.uint64), np.zeros(_REMEMBERED, np.int64), np.zeros(_REMEMBERED, np.int32)
        )
        self._answered = Answered.nothing()
        self._coming: deque[Answered] = deque()  # filled by requests on their way, emptied by who judges

    def take(self, inputs: Codes, decisions: Ints, arms: Ints, slices: Ints) -> None:
        """Pair some rows; nobody else may call meanwhile.

        Args:
            inputs: (n,) uint64 hash of each row's input, 0 where absent.
            decisions: (n,) int64 codes, `MISSING` where absent.
            arms: (n,) int64 0 for the stable version, 1 for the canary, -1 for neither.
            slices: (s, n) int64 code of the value by attribute, 0 where absent.
        """
        others = np.empty(inputs.size, np.int64)
        pair_rows(inputs, decisions, arms, self._answers, others)
        (paired,) = np.nonzero(others != MISSING)
        if not paired.size:
            return
        is_old, mine, theirs = arms[paired] == 0, decisions[paired], others[paired]
        old, new = np.where(is_old, mine, theirs), np.where(is_old, theirs, mine)
        values = np.concatenate((np.zeros((1, paired.size), np.int64), slices[:, paired]))
        named = np.column_stack((np.repeat(np.arange(WHOLE, len(slices)), paired.size), values.ravel()))
        known = (named[:, 0] == WHOLE) | (named[:, 1] != 0)
        old, new = (np.tile(said, len(values))[known] for said in (old, new))
        self._coming.append(Answered.of(named[known], old, new, np.ones(old.size)))

    def flips(self, alpha: float) -> list[Flip]:
        """Return the decisions that flipped, strongest first; none where no pair has come since it was asked.

        Args:
            alpha: Chance, at most, that one is named in the whole trial while the versions differ at random only.
        """
        came = Answered.nothing()
        while self._coming:
            came += self._coming.popleft()
        if not len(came):
            return []
        self._answered = self._answered.joined(came, _MOST_KINDS)
        return flips(self._answered, alpha)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies(self._answers._asdict()) | under("answered", self._answered.arrays())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._answers = Answers(**{name: arrays[name] for name in Answers._fields})
        self._answered = Answered.restored(part("answered", arrays))
