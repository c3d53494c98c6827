"""Row outliers in tables: what the distance sees."""

import numpy as np
import pytest

from spanward_processor.evaluate.evaluations.outliers import LEARNED, by_distance, by_refitted_forest, timed

SEED = 20_261_126


@pytest.mark.parametrize("way", ["distance", "forest"])
def test_rows_far_from_all_others_are_the_outliers(way: str) -> None:
    """One row in fifty lies eight deviations away: both ways rank it first."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    rows, truth = rng.normal(size=(2 * LEARNED, 4)), (rng.random(2 * LEARNED) < 0.02).astype(np.int64)
    rows[truth == 1] += 8.0

    area, speed = timed(lambda: by_distance(rows) if way == "distance" else by_refitted_forest(rows, SEED), truth)

    assert area > 0.99
    assert speed > 0
