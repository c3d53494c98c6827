"""E-values of counts and pairs: they hold their promise while nothing changes, and see what shares hide."""

import numpy as np
import pytest

from spanward_processor.attribution.evalue import log10_mean, log_e_values
from spanward_processor.attribution.paired import flips


@pytest.mark.parametrize(("mean", "exposure"), [(0.5, 0.1), (5.0, 1.0), (200.0, 0.05)])
def test_an_e_value_is_one_on_average(mean: float, exposure: float) -> None:
    """While nothing changes its mean is at most one, whatever the counts and the length of the baseline."""
    rng = np.random.default_rng(1)
    tries = 200_000
    usual = rng.poisson(mean, tries).astype(float)
    now = rng.poisson(mean * exposure, tries).astype(float)

    e = np.exp(log_e_values(now, usual, np.full(tries, exposure)))

    reached = [(e >= level).mean() * level for level in (10, 100)]
    assert max(reached) <= 1.0
    assert np.minimum(e, 1e4).mean() <= 1.1


def test_an_item_out_of_nowhere_is_strong_evidence() -> None:
    """Thirty rows of an item that had one in a baseline ten times as long speak for themselves."""
    log_e = log_e_values(np.array([30.0]), np.array([1.0]), np.array([0.1]))

    assert log_e[0] / np.log(10) > 15


def test_no_rows_on_one_side_say_nothing() -> None:
    """Without a baseline, or without rows now, there is no evidence either way."""
    log_e = log_e_values(np.array([0.0, 0.0]), np.array([50.0, 0.0]), np.array([0.0, 1e12]))

    np.testing.assert_allclose(log_e, 0.0, atol=1e-6)


def test_dispersion_weakens_evidence_in_proportion() -> None:
    """Counts that scatter four times as much are a quarter of the evidence for one factor, so less than without."""
    counts = np.array([60.0]), np.array([200.0]), np.array([0.1])

    plain, scattered = log_e_values(*counts)[0], log_e_values(*counts, dispersion=4.0)[0]

    assert 0 < scattered < plain


def test_the_mean_of_a_group_is_the_logarithm_of_a_mean() -> None:
    """Huge and tiny e-values are averaged without overflow; an empty group says nothing."""
    log_e = np.log(10) * np.array([400.0, 0.0, 1.0, -300.0])

    means = log10_mean(log_e, np.array([0, 0, 2, 2]), 3)

    np.testing.assert_allclose(means, [400 - np.log10(2), 0.0, 1 - np.log10(2)])


def test_a_flipped_class_is_seen_in_pairs() -> None:
    """Forty percent of a rare class leave it in one slice; its share of the whole moves by half a percent."""
    slices = np.array([0, 0, 0, 1, 1, 1, 1])
    old = np.array([1, 2, 3, 1, 2, 3, 3])
    new = np.array([1, 2, 3, 1, 2, 3, 1])
    counts = np.array([900.0, 800.0, 50.0, 900.0, 800.0, 30.0, 20.0])

    found = flips(slices, old, new, counts, 0.01)

    assert {(flip.slice, flip.decision) for flip in found} == {(1, 3), (1, 1)}
    assert {(flip.left, flip.came) for flip in found} == {(20.0, 0.0), (0.0, 20.0)}


def test_versions_that_differ_at_random_flip_nothing() -> None:
    """As many leave each decision as come to it: the new version is different, not biased."""
    rng = np.random.default_rng(2)
    slices = np.repeat(np.arange(10), 12)
    pairs = [(one, other) for one in range(4) for other in range(4) if one != other]
    old, new = np.array(pairs * 10).T

    named = sum(bool(flips(slices, old, new, rng.poisson(20, 120).astype(float), 0.01)) for _ in range(100))

    assert named <= 4
