"""Row outliers on ADBench tables, each row scored before it is learned, beside an isolation forest that is refitted all the time.

Run as `PYTHONPATH=tests python tests/benchmarks/quality/outliers.py [--seeds N]`. One configuration for all of it. The parts that
score are those of `detectors/mahalanobis.py`, given the columns of a table in place of the numbers of a span: windows of 64 rows, the
half-life of the default configuration. Columns are brought to a common scale by the first window and rounded to whole
numbers, as a span's numbers are to bins.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn import ensemble, metrics

from spanward_processor.configuration.settings import Detection
from spanward_processor.evaluate.intervals import over_seeds
from spanward_processor.kernels.jit import Floats
from spanward_processor.kernels.sampling import Shorts
from spanward_processor.kernels.scatter import DISTANCES, SIDES, count_rows, distances
from spanward_processor.usual.covariance import empty_scatter, fitted_scatter
from spanward_processor.usual.moments import Moments, products_of
from spanward_processor.windows.sample import Groups

DATA: Final = Path(os.environ.get("SPANWARD_DATA", Path(__file__).parents[4] / "shared" / "data")) / "adbench"
TABLES: Final = ("2_annthyroid", "23_mammography", "32_shuttle", "10_cover")
MOST_ROWS: Final = 20_000  # of a table, shuffled
LEARNED: Final = 2_048  # first rows, which nobody is judged by
WINDOW: Final = 64
FEWEST_FITTED: Final = 60
LIBRARY: Final[tuple[Any, Any]] = (ensemble, metrics)  # which has no types
PER_DEVIATION: Final = 256.0  # whole numbers for one standard deviation of the first window


def whole(rows: Floats) -> Shorts:
    """Return (n, d) int16 rows on the scale of the first window."""
    first = rows[:WINDOW]
    spread = np.maximum(first.std(axis=0), 1e-3 * np.maximum(np.abs(first).max(axis=0), 1e-9))
    scaled = (rows - first.mean(axis=0)) / spread * PER_DEVIATION
    return np.asarray(np.clip(np.round(scaled), -32_000, 32_000), np.int16)


def by_distance(rows: Floats) -> Floats:
    """Return (n,) float64 distance of each row from what was learned of the windows before it."""
    values, detection = whole(rows), Detection()
    numbers, one = values.shape[1], np.zeros(1, np.int64)
    decay = 0.5 ** (detection.window_s / detection.half_life_s)
    moments, usual = Moments(decay, numbers), empty_scatter(1, numbers)
    moments.grow(1)
    seen_sides, seen_distances = np.zeros((1, numbers, SIDES), np.float32), np.zeros((1, DISTANCES), np.float32)
    found = np.zeros(len(values))
    for first in range(0, len(values), WINDOW):
        window = values[first : first + WINDOW]
        starts, sides = np.array([0, len(window)]), np.empty(window.shape, np.int16)
        distances(starts, window, one, usual, found[first : first + len(window)], sides)
        if moments.rows(one)[0] >= FEWEST_FITTED:
            seen_sides *= np.float32(decay)
            seen_distances *= np.float32(decay)
            count_rows(starts, found[first : first + len(window)], sides, one, seen_distances, seen_sides)
        moments.learn(one, products_of(Groups(one, starts, window), numbers))
        usual = fitted_scatter(moments.sums[:1], seen_sides, seen_distances)
    return found


def by_refitted_forest(rows: Floats, seed: int) -> Floats:
    """Return (n,) float64 score of each row by a forest fitted to the 2,048 rows before its own 2,048."""
    found = np.zeros(len(rows))
    for first in range(LEARNED, len(rows), LEARNED):
        forest = LIBRARY[0].IsolationForest(n_estimators=100, random_state=seed).fit(rows[first - LEARNED : first])
        found[first : first + LEARNED] = -forest.score_samples(rows[first : first + LEARNED])
    return found


def timed(score: Callable[[], Floats], truth: NDArray[np.int64]) -> tuple[float, float]:
    """Return AUC and rows per second."""
    began = time.perf_counter()
    found = score()
    took = time.perf_counter() - began
    return float(LIBRARY[1].roc_auc_score(truth[LEARNED:], found[LEARNED:])), len(truth) / took


def main(seeds: int) -> None:
    """Measure and print."""
    by_distance(np.random.default_rng(0).normal(size=(4 * WINDOW, 3)))  # compile first
    means: dict[str, list[float]] = {"distance": [], "refitted forest": []}
    speeds: dict[str, list[float]] = {"distance": [], "refitted forest": []}
    for seed in range(seeds):
        of_seed: dict[str, list[float]] = {name: [] for name in means}
        for table in TABLES:
            with np.load(DATA / f"{table}.npz") as file:
                order = np.random.default_rng(seed).permutation(len(file["X"]))[:MOST_ROWS]
                rows, truth = file["X"][order].astype(np.float64), file["y"][order].astype(np.int64)
            for name, score in (
                ("distance", lambda rows=rows: by_distance(rows)),
                ("refitted forest", lambda rows=rows, seed=seed: by_refitted_forest(rows, seed)),
            ):
                auc, speed = timed(score, truth)
                of_seed[name].append(auc)
                speeds[name].append(speed)
                print(f"seed {seed} {table:15} {name:16} AUC {auc:.3f} {speed:>9,.0f} rows/s", flush=True)
        for name, values in of_seed.items():
            means[name].append(float(np.mean(values)))
    for name, values in means.items():
        print(f"{name:16} mean AUC {over_seeds(values)}, median {np.median(speeds[name]):,.0f} rows/s")
    ratio = np.median(speeds["distance"]) / np.median(speeds["refitted forest"])
    reached = np.mean(means["distance"]) >= np.mean(means["refitted forest"]) and ratio >= 10
    print(f"to reach: a mean not below the refitted forest's, at 10 times its rows/s: {ratio:.0f} times, {reached}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    main(parser.parse_args().seeds)
