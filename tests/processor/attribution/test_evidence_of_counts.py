"""E-values of counts and pairs: they hold their promise while nothing changes, and see what shares hide."""

import numpy as np
import pytest

from spanward_processor.attribution.evalue import log_e_values, log_mean


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

    means = log_mean(log_e, np.array([0, 0, 2, 2]), 3)

    np.testing.assert_allclose(means / np.log(10), [400 - np.log10(2), 0.0, 1 - np.log10(2)])
