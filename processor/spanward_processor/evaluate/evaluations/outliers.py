"""Row outliers on ADBench tables, each row scored before it is learned, beside an isolation forest that is refitted all the time.

The parts that score are those of `detectors/mahalanobis.py`, given the columns of a table in place of the numbers of a span: windows
of 64 rows, the half-life of the default configuration. Columns are brought to a common scale by the first window and rounded to whole
numbers, as a span's numbers are to bins. The form of the distance was chosen on these tables, so the figures are optimistic.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Detection
from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_least, number, stated
from spanward_processor.evaluate.intervals import over_seeds
from spanward_processor.kernels.jit import Floats
from spanward_processor.kernels.sampling import Shorts
from spanward_processor.kernels.scatter import DISTANCES, SIDES, count_rows, distances
from spanward_processor.usual.covariance import empty_scatter, fitted_scatter
from spanward_processor.usual.moments import Moments, products_of
from spanward_processor.windows.sample import Groups

FOLDER: Final = "adbench"
TABLES: Final = ("2_annthyroid", "23_mammography", "32_shuttle", "10_cover")
MOST_ROWS: Final = 20_000  # of a table, shuffled
SHORT_ROWS: Final = 6_000
LEARNED: Final = 2_048  # first rows, which nobody is judged by
WINDOW: Final = 64
FEWEST_FITTED: Final = 60
FASTER: Final = 10.0
PER_DEVIATION: Final = 256.0  # whole numbers for one standard deviation of the first window


def whole(rows: Floats) -> Shorts:
    """Return (n, d) int16 rows on the scale of the first window."""
    first = rows[:WINDOW]
    spread: Floats = np.maximum(first.std(axis=0), 1e-3 * np.maximum(np.abs(first).max(axis=0), 1e-9))
    scaled: Floats = (rows - first.mean(axis=0)) / spread * PER_DEVIATION
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
    ensemble: Any = import_module("sklearn.ensemble")  # has no types
    found = np.zeros(len(rows))
    for first in range(LEARNED, len(rows), LEARNED):
        forest = ensemble.IsolationForest(n_estimators=100, random_state=seed).fit(rows[first - LEARNED : first])
        found[first : first + LEARNED] = -forest.score_samples(rows[first : first + LEARNED])
    return found


def timed(score: Callable[[], Floats], truth: NDArray[np.int64]) -> tuple[float, float]:
    """Return the area under the ROC curve, and rows per second."""
    metrics: Any = import_module("sklearn.metrics")  # has no types
    began = time.perf_counter()
    found = score()
    took = time.perf_counter() - began
    return float(metrics.roc_auc_score(truth[LEARNED:], found[LEARNED:])), len(truth) / took


def table(path: Path, seed: int, most: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return rows of a table, shuffled, and which of them are outliers."""
    with np.load(path) as file:
        order = np.random.default_rng(seed).permutation(len(file["X"]))[:most]
        return file["X"][order].astype(np.float64), file["y"][order].astype(np.int64)


def measure(effort: Effort) -> Iterator[Line]:
    """Score every table in both ways; see `Evaluation`."""
    if find_spec("sklearn") is None:
        yield Line("row outliers", "not measured: scikit-learn is not installed")
        return
    by_distance(np.random.default_rng(0).normal(size=(4 * WINDOW, 3)))  # compile first
    areas, speeds = np.empty((len(effort.seeds), len(TABLES), 2)), np.empty((len(effort.seeds), len(TABLES), 2))
    for at, seed in enumerate(effort.seeds):
        for place, name in enumerate(TABLES):
            path = effort.data / FOLDER / f"{name}.npz"
            rows, truth = table(path, seed, SHORT_ROWS if effort.short else MOST_ROWS)
            areas[at, place, 0], speeds[at, place, 0] = timed(partial(by_distance, rows), truth)
            areas[at, place, 1], speeds[at, place, 1] = timed(partial(by_refitted_forest, rows, seed), truth)
    own, forest = areas.mean(axis=1).T
    yield stated("mean AUC by distance", over_seeds(own.tolist()), number)
    yield stated("mean AUC of the refitted forest", over_seeds(forest.tolist()), number)
    yield at_least("by how much the distance is better", over_seeds((own - forest).tolist()), 0.0, number)
    faster = np.median(speeds[:, :, 0], axis=1) / np.median(speeds[:, :, 1], axis=1)
    yield at_least("rows per second, times the forest's", over_seeds(faster.tolist()), FASTER, "{:.0f}".format)


EVALUATION: Final = Evaluation(
    name="outliers",
    shows="Rows unlike the others in public tables, scored as they come: the distance beside a forest that is fitted again and again.",
    measure=measure,
    first_seed=0,
    needs=(FOLDER,),
)
