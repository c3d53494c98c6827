"""How the baseline follows: with time, whether a stream has many rows in each window or few."""

from dataclasses import replace

import numpy as np
import pytest

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.baseline import Baseline
from spanward_processor.features import Aspect
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.testing.traffic import Traffic
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.window import Window

WINDOW_NS = 10_000_000_000
HALF_LIFE = 360  # windows
STREAM = 1 << FEATURE_BITS | Aspect.LATENCY
BEFORE, AFTER = 100, 110  # bins


def learn(baseline: Baseline, first: int, windows: int, cell_bin: int, rows: float, *, every: int = 1) -> None:
    """Let a baseline learn windows in which a stream has so many rows of one value, in every so many of them.

    Args:
        baseline: Who learns.
        first: Number of the first window.
        windows: How many.
        cell_bin: The value.
        rows: Rows in a window.
        every: In how many windows the stream has rows once.
    """
    directory = Traffic(1).directory
    cells = Cells(np.array([STREAM]), np.array([cell_bin]), np.array([rows]))
    for number in range(first, first + windows, every):
        window = replace(Window.empty(number * WINDOW_NS, (number + 1) * WINDOW_NS), cells=cells)
        baseline.test(window, directory)
        baseline.learn(window, np.zeros(0, bool))


def share_of_new(rows: float, *, every: int = 1, changed: int = HALF_LIFE) -> float:
    """Return what part of the baseline is new when a value changed so many windows ago."""
    baseline = Baseline(Learning(), 0.5 ** (1 / HALF_LIFE))
    learn(baseline, 1, 8 * HALF_LIFE, BEFORE, rows, every=every)
    learn(baseline, 8 * HALF_LIFE + 1, changed, AFTER, rows, every=every)
    usual = baseline.usual(STREAM)
    return float(usual.where(usual.bins == AFTER).total() / usual.total())


@pytest.mark.parametrize(("rows", "every"), [(100.0, 1), (25.0, 1), (5.0, 1), (40.0, 5)])
def test_what_was_half_a_life_ago_counts_half(rows: float, every: int) -> None:
    """However many windows a stream waits for its twenty rows."""
    assert share_of_new(rows, every=every) == pytest.approx(0.5, abs=0.03)


def test_of_a_rare_stream_enough_is_kept() -> None:
    """With twenty rows in ten minutes a distribution of the last hour would be one of 120 rows; 2,000 are kept."""
    baseline = Baseline(Learning(), 0.5 ** (1 / HALF_LIFE))
    learn(baseline, 60, 60 * 500, BEFORE, 20.0, every=60)

    assert baseline.usual(STREAM).total() == pytest.approx(2000, rel=0.05)
