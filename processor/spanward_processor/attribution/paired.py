"""Old and new version on the same inputs: which slices and decisions changed, where no overall share shows it.

Where both versions answered an input, agreement says nothing; only pairs that disagree do. If the new version merely
differs at random, as many leave a decision as come to it. A class that loses many to the others is seen after a few dozen
pairs, though its share of the whole hardly moves.

Source: McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12 (1947),
as an e-value over the same grid of factors as in `evalue`.
"""

from dataclasses import dataclass

import numpy as np

from spanward_processor.attribution.evalue import log10_mean, log_e_values
from spanward_processor.attribution.shift import added
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.tables import OTHER


@dataclass(frozen=True, slots=True)
class Flip:
    """One decision in one slice that the new version gives more or less often for the same inputs.

    Args:
        slice: Code of the slice.
        decision: Code of the decision.
        left: Inputs that had it under the old version only.
        came: Inputs that have it under the new version only.
        kept: Inputs that have it under both.
        log10_e: Evidence, after paying for every slice and decision looked at.
    """

    slice: int
    decision: int
    left: float
    came: float
    kept: float
    log10_e: float


def flips(slices: Ints, old: Ints, new: Ints, counts: Floats, alpha: float) -> list[Flip]:
    """Return the decisions that flipped, strongest first.

    Args:
        slices: (n,) int64 slice of each kind of pair.
        old: (n,) int64 decision of the old version.
        new: (n,) int64 decision of the new version on the same input.
        counts: (n,) float64 pairs.
        alpha: Chance of naming any while the versions differ at random only.
    """
    ends = np.concatenate((np.stack((slices, old), axis=1), np.stack((slices, new), axis=1)))
    kinds, places = np.unique(ends, axis=0, return_inverse=True)
    places = places.reshape(-1)
    same = np.tile(old == new, 2)
    is_old = np.repeat([True, False], old.size)
    weights = np.tile(counts, 2)
    left, came, kept = (
        added(places, weights * chosen, kinds.shape[0]) for chosen in (~same & is_old, ~same & ~is_old, same & is_old)
    )
    log_e = log_e_values(came, left, np.ones(left.size))
    values, of_slice = np.unique(kinds[:, 0], return_inverse=True)
    strength = log10_mean(log_e, of_slice, values.size)
    tests = np.log10(np.bincount(of_slice)) + np.log10(values.size)
    alone = log_e / np.log(10) - tests[of_slice]
    strong = (strength[of_slice] - np.log10(values.size) >= -np.log10(alpha)) & (alone >= -np.log10(alpha) - 1)
    strong &= kinds[:, 1] != OTHER
    chosen = np.flatnonzero(strong)[np.argsort(-alone[strong])]
    return [Flip(*map(int, kinds[at]), *(float(column[at]) for column in (left, came, kept, alone))) for at in chosen]
