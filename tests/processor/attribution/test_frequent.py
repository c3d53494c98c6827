"""Frequent categories together: a trade is seen earlier than either side of it, and chance alone is no trade."""

import numpy as np
import pytest

from spanward_processor.attribution.evalue import log_e_of_gains, log_e_values
from spanward_processor.attribution.frequent import Frequent
from spanward_processor.kernels.jit import Floats, Ints


def frequent(now: Floats, usual: Floats) -> Frequent:
    """Return what (s, c) counts of whole slices say."""
    size, width = now.shape
    slices: Ints = np.repeat(np.arange(size), width)
    exposure = np.repeat(now.sum(axis=1) / usual.sum(axis=1), width)
    counts = now.reshape(-1), usual.reshape(-1)
    return Frequent.of(slices, counts, exposure, log_e_values(*counts, exposure), size)


@pytest.mark.parametrize("mix", [(0.5, 0.5), (0.9, 0.1), (0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01)])
@pytest.mark.parametrize("rows", [40, 2_000])
def test_a_trade_is_one_on_average_while_nothing_changes(mix: tuple[float, ...], rows: int) -> None:
    """With as many rows as were drawn, so that what one class gains another has lost by chance as well."""
    rng = np.random.default_rng(3)
    tries = 20_000
    now, usual = (rng.multinomial(drawn, mix, tries).astype(float) for drawn in (rows, 20_000))

    e = np.exp(frequent(now, usual).one_gave(1.0))

    assert max((e >= level).mean() * level for level in (10, 100)) <= 1.0
    assert np.minimum(e, 1e4).mean() <= 1.1


@pytest.mark.parametrize("share", [1e-4, 0.01, 0.4])
def test_a_part_of_all_rows_comes_to_nobody_by_chance(share: float) -> None:
    """While nothing changes the evidence that a category gained is one on average at most, rare or not."""
    rng = np.random.default_rng(4)
    tries = 200_000
    now, usual = (rng.binomial(drawn, share, tries).astype(float) for drawn in (500, 20_000))
    exposure = np.full(tries, 500 / 20_000)
    some = now + usual > 0

    e = np.exp(log_e_of_gains(now[some], usual[some], exposure[some], ((now + usual) / 20_500)[some]))

    assert max((e >= level).mean() * level for level in (10, 100)) <= 1.0
    assert np.minimum(e, 1e4).mean() <= 1.1


def test_classes_that_trade_places_say_more_together() -> None:
    """Half of a class told as another: its size is paid for once, so the trade is ten times the evidence of two moves."""
    now, usual = np.full((1, 8), 50.0), np.full((1, 8), 1250.0)
    now[0, :2] = 26, 74

    told = frequent(now, usual)

    assert told.one_gave(1.0)[0] > told.several_moved()[0] + np.log(10)


def test_a_rare_item_that_gets_a_part_of_all_rows_stands_out() -> None:
    """Four of four hundred rows for an item that had none are ten times the evidence of a rise by any factor."""
    now, usual, exposure = np.array([4.0]), np.array([0.0]), np.array([400 / 20_000])

    gained = log_e_of_gains(now, usual, exposure, (now + usual) / 20_400)

    assert gained[0] > log_e_values(now, usual, exposure)[0] + 0.5


def test_one_category_alone_gives_to_nobody() -> None:
    """A slice with a single decision, and one without any, say nothing about trades."""
    told = Frequent.of(np.array([0]), (np.array([40.0]), np.array([900.0])), np.array([0.05]), np.zeros(1), 2)

    np.testing.assert_array_equal(told.one_gave(1.0), [0.0, 0.0])


def test_counts_that_scatter_more_are_weaker_evidence_of_a_trade() -> None:
    """A dispersion of four leaves less of it, and some."""
    now, usual = np.full((1, 8), 50.0), np.full((1, 8), 1250.0)
    now[0, :2] = 16, 84
    told = frequent(now, usual)

    assert 0 < told.one_gave(4.0)[0] < told.one_gave(1.0)[0]
