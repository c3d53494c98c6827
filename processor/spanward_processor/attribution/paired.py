"""Old and new version on the same inputs: which slices and decisions changed, where no overall share shows it.

Where both versions answered an input, agreement says nothing; only pairs that disagree do. If the new version merely
differs at random, as many leave a decision as come to it. A class that loses many to the others is seen after a few dozen
pairs, though its share of the whole hardly moves.

Source: McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12 (1947),
as an e-value over the same grid of factors as in `evalue`; it may be looked at after every pair.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.attribution.evalue import log_e_values, log_mean
from spanward_processor.attribution.shift import added
from spanward_processor.kept import Arrays, copies
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.tables import OTHER

_LEAST_CHANGE: Final = 0.05  # of the inputs that have a decision; a new version that changes fewer is a new version


@dataclass(frozen=True, slots=True)
class Answered:
    """How often each decision was given to the same inputs, by slice; those of two shards are added.

    Args:
        kinds: (k, 3) int64 attribute, code of its value, and code of the decision; ascending.
        counts: (3, k) float64 inputs that had the decision under the old version only, under the new one only, and under both.
    """

    kinds: Ints
    counts: Floats

    @classmethod
    def of(cls, slices: Ints, old: Ints, new: Ints, counts: Floats) -> "Answered":
        """Return what pairs say.

        Args:
            slices: (n, 2) int64 attribute and code of its value of each kind of pair.
            old: (n,) int64 decision of the old version.
            new: (n,) int64 decision of the new version on the same input.
            counts: (n,) float64 pairs.
        """
        ends = np.concatenate((np.column_stack((slices, old)), np.column_stack((slices, new))))
        same, is_old, weights = np.tile(old == new, 2), np.repeat([True, False], old.size), np.tile(counts, 2)
        parts = np.stack((weights * (~same & is_old), weights * (~same & ~is_old), weights * (same & is_old)))
        return _summed(ends, parts)

    @classmethod
    def nothing(cls) -> "Answered":
        """Return what there is before the first pair."""
        return cls(np.empty((0, 3), np.int64), np.empty((3, 0)))

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]]) -> "Answered":
        """Return what gave these arrays."""
        return cls(arrays["kinds"], arrays["counts"])

    def __add__(self, other: "Answered") -> "Answered":
        """Return the answers of both."""
        return _summed(np.concatenate((self.kinds, other.kinds)), np.concatenate((self.counts, other.counts), axis=1))

    def __len__(self) -> int:
        """Return the number of kinds."""
        return int(self.kinds.shape[0])

    def joined(self, other: "Answered", most: int) -> "Answered":
        """Return the answers of both, of at most so many kinds; where there are more, those of `other` that are new are left out."""
        whole = self + other
        if len(whole) <= most:
            return whole
        _, places = np.unique(np.concatenate((self.kinds, other.kinds)), axis=0, return_inverse=True)
        known = np.zeros(len(whole), bool)
        known[places.reshape(-1)[: len(self)]] = True
        kept = np.sort(np.concatenate((np.flatnonzero(known), np.flatnonzero(~known)[: max(most - known.sum(), 0)])))
        return Answered(whole.kinds[kept], whole.counts[:, kept])

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return copies({"kinds": self.kinds, "counts": self.counts})


def _summed(kinds: Ints, counts: Floats) -> Answered:
    every, places = np.unique(kinds, axis=0, return_inverse=True)
    places = places.reshape(-1)
    return Answered(every, np.stack([added(places, row, every.shape[0]) for row in counts]))


@dataclass(frozen=True, slots=True)
class Flip:
    """One decision in one slice that the new version gives more or less often for the same inputs.

    Args:
        slice: Attribute and code of its value.
        decision: Code of the decision.
        left: Inputs that had it under the old version only.
        came: Inputs that have it under the new version only.
        kept: Inputs that have it under both.
        log10_e: Evidence, after paying for every slice and decision looked at.
    """

    slice: tuple[int, int]
    decision: int
    left: float
    came: float
    kept: float
    log10_e: float


def flips(answered: Answered, alpha: float) -> list[Flip]:
    """Return the decisions that flipped, strongest first.

    Args:
        answered: What both versions decided on the same inputs.
        alpha: Chance of naming any while the versions differ at random only, however often it is asked.
    """
    if not len(answered):
        return []
    left, came, kept = answered.counts
    even = np.ones(left.size)
    log_e = np.logaddexp(log_e_values(came, left, even), log_e_values(left, came, even)) - np.log(2)  # either way alike
    values, of_slice = np.unique(answered.kinds[:, :2], axis=0, return_inverse=True)
    of_slice = of_slice.reshape(-1)
    slices = values.shape[0]
    strength = log_mean(log_e, of_slice, slices) / np.log(10)
    tests = np.log10(np.bincount(of_slice)) + np.log10(slices)
    alone = log_e / np.log(10) - tests[of_slice]
    strong = (strength[of_slice] - np.log10(slices) >= -np.log10(alpha)) & (alone >= -np.log10(alpha) - 1)
    strong &= answered.kinds[:, 2] != OTHER
    change = np.abs(came - left) / np.maximum(kept + np.maximum(left, came), 1.0)
    strong &= change >= _LEAST_CHANGE
    chosen = np.flatnonzero(strong)
    # of two decisions that trade inputs, the rarer first
    evidence: Floats = alone.round(6)
    chosen = chosen[np.lexsort((-change[chosen], -evidence[chosen]))]
    kinds = answered.kinds.tolist()
    return [
        Flip((kinds[at][0], kinds[at][1]), kinds[at][2], *(float(part[at]) for part in (left, came, kept, alone)))
        for at in chosen.tolist()
    ]
