"""How far two distributions are apart."""

import math

import numpy as np
from scipy.spatial.distance import jensenshannon

from spanward_processor.usual.distances import gaining_run, jensen_shannon, population_stability, wasserstein

SEED = 20_261_126


def two(bins: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return two random distributions."""
    print(f"seed {SEED}")
    return np.random.default_rng(SEED).dirichlet(np.ones(bins), 2)


def test_the_stability_index_is_that_of_the_book() -> None:
    """Two categories that change places: the sum of differences times log ratios."""
    psi = population_stability(np.array([0.8, 0.2]), np.array([0.2, 0.8]), ordered=False)

    assert abs(psi - 2 * 0.6 * math.log(4)) < 0.01


def test_ordered_bins_are_grouped_by_deciles() -> None:
    """Many narrow bins, of which every other one is empty on either side, differ by little."""
    now, usual = np.tile([0.0, 1.0], 100) / 100, np.tile([1.0, 0.0], 100) / 100

    assert population_stability(now, usual, ordered=True) < 0.05 < population_stability(now, usual, ordered=False)


def test_divergence_equals_that_of_scipy() -> None:
    """Scipy gives the root of the divergence."""
    now, usual = two(20)

    assert abs(jensen_shannon(now, usual) - float(jensenshannon(now, usual, base=2)) ** 2) < 1e-12


def test_what_is_moved_counts_by_how_far() -> None:
    """A quarter of the rows goes from 1 to 2, another from 1 to 4: no plan moves less."""
    now, usual = np.array([0.25, 0.25, 0.5]), np.array([0.75, 0.0, 0.25])
    found = wasserstein(np.array([0, 1, 2]), now, usual, lambda cell_bin: 2.0**cell_bin)

    assert abs(found - (0.25 * 1 + 0.25 * 3)) < 1e-12


def test_the_run_that_gains_most_is_named() -> None:
    """A loss between two gains is bridged where that gains more than either."""
    now, usual = np.array([0.1, 0.3, 0.1, 0.4, 0.1]), np.array([0.3, 0.1, 0.15, 0.1, 0.35])

    assert gaining_run(now, usual) == (1, 3)
    assert gaining_run(usual, now) == (4, 4)
