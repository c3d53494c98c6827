"""Scores of rows by the trees of isolation forests that were fitted elsewhere."""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kernels.jit import Floats, Ints, Singles, borrowing

LEAF: Final = -1
"""In place of a feature: a node without children."""


class Forests(NamedTuple):
    """The trees of m forests, t of each, n nodes at most; a node's left child stands right behind it.

    Args:
        features: (m, t, n) int8 feature that a node asks for, `LEAF` for none.
        thresholds: (m, t, n) float64 largest value that goes left; of a leaf, its depth and what lies below it on average.
        rights: (m, t, n) int16 right child.
        path: (m,) float64 length of a path that isolates nothing, all trees together; 0 where there is no forest.
    """

    features: NDArray[np.int8]
    thresholds: Floats
    rights: NDArray[np.int16]
    path: Floats


@borrowing
def score_forest(starts: Ints, values: Singles, places: Ints, forests: Forests, scores: Floats) -> None:
    """Score rows by the forest of their series, as scikit-learn's `IsolationForest.score_samples` does.

    Args:
        starts: (g + 1,) int64 where the rows of each series begin.
        values: (r, d) float32, which is what scikit-learn compares.
        places: (g,) int64 place of each series in `forests`.
        forests: The trees.
        scores: (r,) float64 to fill; the lower, the easier a row is told from the others.
    """
    for group in range(places.size):
        place = places[group]
        for row in range(starts[group], starts[group + 1]):
            depth = 0.0
            for tree in range(forests.features.shape[1]):
                node = 0
                while forests.features[place, tree, node] != LEAF:
                    value = np.float64(values[row, forests.features[place, tree, node]])
                    left = value <= forests.thresholds[place, tree, node]
                    node = node + 1 if left else int(forests.rights[place, tree, node])
                depth += forests.thresholds[place, tree, node]
            scores[row] = -math.pow(2.0, -depth / forests.path[place]) if forests.path[place] > 0.0 else 0.0
