"""The input of attribution: for one stream that shifted, what its leaves count now and what they usually count."""

from dataclasses import dataclass

import numpy as np

from spanward_processor.attribution.leaves import LeafCounts
from spanward_processor.kernels.jit import Floats, Ints


@dataclass(frozen=True, slots=True)
class LeafTable:
    """Now beside usually, by leaf.

    Args:
        attributes: Name of each attribute, as in spans.
        codes: (l, a) int64 value of each attribute.
        now: (l, m) float64 sums; the first column is rows.
        usual: (l, m) float64 the same of the baseline.
        now_floor: Rows that a leaf may have lost to "other".
        usual_floor: The same of the baseline.
    """

    attributes: tuple[str, ...]
    codes: Ints
    now: Floats
    usual: Floats
    now_floor: float = 0.0
    usual_floor: float = 0.0

    @classmethod
    def of(cls, attributes: tuple[str, ...], now: LeafCounts, usual: LeafCounts) -> "LeafTable":
        """Return two bags of counts side by side, with a line for every leaf of either."""
        codes, places = np.unique(np.concatenate((now.codes, usual.codes)), axis=0, return_inverse=True)
        places = places.reshape(-1)
        sides = np.zeros((2, codes.shape[0], now.sums.shape[1]))
        sides[0, places[: len(now)]] = now.sums
        sides[1, places[len(now) :]] = usual.sums
        return cls(attributes, codes, sides[0], sides[1], now.floor, usual.floor)
