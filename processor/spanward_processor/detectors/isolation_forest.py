"""Rows that are easily told from the others by a few questions."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.fitted import MOST_SERIES, FittedRows
from spanward_processor.kept import Arrays
from spanward_processor.kernels.forest import LEAF, Forests, score_forest
from spanward_processor.kernels.jit import Floats, Ints, Singles

TREES: Final = 64
SAMPLES: Final = 128
"""Rows that each tree is grown from."""

_NODES: Final = 2 * SAMPLES - 1


class IsolationForest(FittedRows):
    """Count the sampled rows of a window that isolation forests find easy to isolate.

    scikit-learn fits a forest to the newest 512 sampled rows of a series, in the background, every sixty windows; a
    kernel scores the same trees, with the same result. Only sampled rows are scored, at most 32 of a window and series, of the
    first 16 series that have so many. Without scikit-learn there is no such detector.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.

    Source:
        Liu, Ting and Zhou, "Isolation forest", ICDM 2008.

    Cost:
        Per row nothing, per sampled row about 3 us, so at most 512 of them in a window; per series 190 kB, and 0.1 s of another
        thread for each fit. scikit-learn takes some 80 MB once it was needed.
    """

    name: ClassVar[str] = "isolation_forest"
    joint: ClassVar[bool] = True

    def __init__(self, learning: Learning, decay: float) -> None:
        super().__init__(learning, decay)
        self._forests = Forests(
            features=np.full((0, TREES, _NODES), LEAF, np.int8),
            thresholds=np.zeros((0, TREES, _NODES)),
            rights=np.zeros((0, TREES, _NODES), np.int16),
            path=np.zeros(MOST_SERIES),
        )

    @staticmethod
    def fit(rows: Singles, seed: int) -> Arrays:
        """Return the trees that scikit-learn grows; see `FittedRows.fit`."""
        from sklearn import ensemble

        library: Any = ensemble
        forest = library.IsolationForest(
            n_estimators=TREES, max_samples=SAMPLES, random_state=np.random.RandomState(seed % (1 << 32))
        )
        return trees_of(forest.fit(rows), _NODES)

    def adopt(self, slot: int, model: Arrays) -> None:
        """Use new trees; see `FittedRows.adopt`."""
        forests = self._forests
        if len(forests.features) <= slot:
            size = (slot + 1 - len(forests.features), TREES, _NODES)
            forests = self._forests = forests._replace(
                features=np.concatenate((forests.features, np.full(size, LEAF, np.int8))),
                thresholds=np.concatenate((forests.thresholds, np.zeros(size))),
                rights=np.concatenate((forests.rights, np.zeros(size, np.int16))),
            )
        forests.features[slot], forests.thresholds[slot] = model["features"], model["thresholds"]
        forests.rights[slot], forests.path[slot] = model["rights"], model["path"][0]

    def scores(self, starts: Ints, rows: Singles, slots: Ints) -> Floats:
        """Return what the trees say; see `FittedRows.scores`."""
        found = np.empty(len(rows))
        score_forest(starts, rows, slots, self._forests, found)
        return found

    def models(self) -> Arrays:
        """Return all trees; see `FittedRows.models`."""
        return dict(self._forests._asdict())

    def restore_models(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take all trees back; see `FittedRows.restore_models`."""
        self._forests = Forests(**arrays)


def trees_of(forest: Any, nodes: int) -> Arrays:
    """Return the trees of a fitted `sklearn.ensemble.IsolationForest` as `Forests` holds them, without the first axis.

    Args:
        forest: A fitted forest, of trees that see all features.
        nodes: Room for each tree.
    """
    trees = [estimator.tree_ for estimator in forest.estimators_]
    model: Arrays = {
        "features": np.full((len(trees), nodes), LEAF, np.int8),
        "thresholds": np.zeros((len(trees), nodes)),
        "rights": np.zeros((len(trees), nodes), np.int16),
        "path": np.array([len(trees) * _average_path(np.array([forest.max_samples_]))[0]]),
    }
    for number, tree in enumerate(trees):
        leaf, size = tree.children_left < 0, tree.node_count
        depths = np.zeros(size)
        for node in np.flatnonzero(~leaf).tolist():  # a child stands behind its parent
            depths[[tree.children_left[node], tree.children_right[node]]] = depths[node] + 1
        model["features"][number, :size] = np.where(leaf, LEAF, tree.feature)
        below = depths + _average_path(tree.n_node_samples)
        model["thresholds"][number, :size] = np.where(leaf, below, tree.threshold)
        model["rights"][number, :size] = np.where(leaf, 0, tree.children_right)
    return model


def _average_path(rows: Ints) -> Floats:
    """Return the average length of an unsuccessful search among rows; Liu et al., equation (1)."""
    others = np.maximum(rows - 1.0, 1.0)
    length = 2.0 * (np.log(others) + np.euler_gamma) - 2.0 * others / np.maximum(rows, 1)
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, length))
