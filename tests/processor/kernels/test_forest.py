"""Scores of forests against scikit-learn's own."""

from typing import Any

import numpy as np
import pytest
from sklearn import ensemble

from spanward_processor.detectors.isolation_forest import SAMPLES, TREES, trees_of
from spanward_processor.kernels.forest import Forests, score_forest

SEED = 20_261_126
LIBRARY: Any = ensemble  # which has no types


@pytest.mark.parametrize("numbers", [1, 6, 10])
def test_score_forest_equals_score_samples(numbers: int) -> None:
    """`score_forest` gives each row what `IsolationForest.score_samples` gives it, whole or constant numbers included."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    rows = rng.normal(0, 30, (600, numbers)).astype(np.float32)
    rows[:, 0] = np.round(rows[:, 0])
    rows[:, -1] = 7.0 if numbers > 1 else rows[:, -1]
    forest = LIBRARY.IsolationForest(n_estimators=TREES, max_samples=SAMPLES, random_state=SEED).fit(rows[:256])
    trees = trees_of(forest, 2 * SAMPLES - 1)
    forests = Forests(trees["features"][None], trees["thresholds"][None], trees["rights"][None], trees["path"])
    scores = np.empty(len(rows))

    score_forest(np.array([0, len(rows)]), rows, np.array([0]), forests, scores)

    np.testing.assert_allclose(scores, forest.score_samples(rows), rtol=1e-13)


def test_score_forest_without_a_forest_says_nothing() -> None:
    """A series without trees gets 0 for every row."""
    shape = (1, 2, 3)
    forests = Forests(np.full(shape, -1, np.int8), np.zeros(shape), np.zeros(shape, np.int16), np.zeros(1))
    scores = np.ones(2)

    score_forest(np.array([0, 2]), np.zeros((2, 6), np.float32), np.array([0]), forests, scores)

    assert scores.tolist() == [0.0, 0.0]
