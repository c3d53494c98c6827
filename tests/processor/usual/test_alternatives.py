"""Bets on changes: fair while nothing changes, also near the baseline, and paid when something does."""

import numpy as np
import pytest

from spanward_processor.kernels.jit import Floats
from spanward_processor.usual.alternatives import CATEGORIES, FLAGS, NUMBERS, RANKS, RATES, settle

SEED = 20_261_127
WINDOWS = 200_000


def exact(streams: int, directions: int, distance: float = 0.0) -> tuple[Floats, Floats]:
    """Return a distance from the baseline, and no excess."""
    return np.full((streams, directions), distance), np.ones((streams, directions))


def test_bets_on_a_number_are_fair() -> None:
    """While nothing changes, a row multiplies each bet by one on average, for any baseline."""
    print(f"seed {SEED}")
    share = np.random.default_rng(SEED).dirichlet(np.ones(RANKS.size + 1), 50)
    every = np.eye(RANKS.size + 1)

    means = [
        share[at] @ np.exp(NUMBERS.log_e(every, np.tile(share[at], (len(every), 1)), *exact(len(every), 4)))
        for at in range(len(share))
    ]

    np.testing.assert_allclose(means, 1.0, rtol=1e-9)


@pytest.mark.parametrize("distance", [0.02, 0.2])
def test_bets_are_fair_near_the_baseline_too(distance: float) -> None:
    """In any world within the distance of the baseline no bet gains on average: the worst such world, bet by bet."""
    print(f"seed {SEED}")
    every = np.eye(RANKS.size + 1)
    share = np.random.default_rng(SEED).dirichlet(np.full(RANKS.size + 1, 5.0))
    ratios = np.exp(NUMBERS.log_e(every, np.tile(share, (len(every), 1)), *exact(len(every), 4, distance)))

    for bet in range(ratios.shape[1]):
        apart: Floats = ratios[:, bet] - float(share @ ratios[:, bet])
        spread = float(np.sqrt(share @ np.square(apart)))
        world = np.maximum(share * (1 + distance * apart / spread), 0.0)
        assert world / world.sum() @ ratios[:, bet] <= 1 + 1e-9


@pytest.mark.parametrize("share", [1e-5, 0.01, 0.4])
def test_bets_on_shares_are_fair(share: float) -> None:
    """A row multiplies each bet by one on average, and by less within the distance."""
    rows, usual = np.ones(2), np.full((2, 1), share)
    raised = np.array([[1.0], [0.0]])
    chances = np.array([share, 1 - share])

    assert chances @ np.exp(FLAGS.log_e(raised, rows, usual, *exact(2, 1))) == pytest.approx(np.ones(FLAGS.bets))
    assert (chances @ np.exp(FLAGS.log_e(raised, rows, usual, *exact(2, 1, 0.1))) < 1).all()


@pytest.mark.parametrize("excess", [1.0, 4.0])
def test_bets_on_a_rate_are_fair(excess: float) -> None:
    """Over Poisson counts, and over bursty ones that have the stated dispersion, bets gain nothing on average."""
    print(f"seed {SEED}")
    rng, expected = np.random.default_rng(SEED), 5.0
    rates = expected if excess == 1.0 else rng.gamma(expected / (excess - 1), excess - 1, WINDOWS)
    counted = rng.poisson(rates, WINDOWS).astype(np.float64)

    gain = RATES.log_e(counted, np.full(WINDOWS, expected), np.zeros(WINDOWS), np.full(WINDOWS, excess))

    worth = np.exp(gain)
    allowed = 1 + 5 * worth.std(axis=0) / np.sqrt(WINDOWS)
    assert (worth.mean(axis=0) <= allowed).all()


def test_absent_categories_cost_nothing() -> None:
    """The mixture is shared by the bets on categories that a stream has."""
    present = np.zeros((1, CATEGORIES.shares), bool)
    present[0, :2] = True

    weights = CATEGORIES.weights(present)[0]

    assert weights.sum() == pytest.approx(1.0)
    assert np.count_nonzero(weights) == 2 * len(CATEGORIES.factors)


def test_bets_that_a_share_falls_are_a_fifth() -> None:
    """Rows that one category gains come from many; a flag has no such bets, and loses nothing by them."""
    loses = np.tile(np.array(CATEGORIES.factors) < 1.0, CATEGORIES.shares)
    weights = CATEGORIES.weights(np.ones((1, CATEGORIES.shares), bool))[0]

    assert weights[loses].sum() == pytest.approx(0.2)
    assert weights.sum() == pytest.approx(1.0)
    assert FLAGS.weights(np.ones((1, 1), bool))[0].tolist() == [1 / len(FLAGS.factors)] * len(FLAGS.factors)


def test_run_lengths_keep_to_the_threshold() -> None:
    """While nothing changes, streams reach evidence of a hundred once in a hundred windows at most."""
    print(f"seed {SEED}")
    rng, streams = np.random.default_rng(SEED), 400
    worth, alarms, windows = np.zeros((streams, RATES.weights.size)), 0, 500
    for _ in range(windows):
        counted = rng.poisson(20.0, streams).astype(np.float64)
        gain = RATES.log_e(counted, np.full(streams, 20.0), np.zeros(streams), np.ones(streams))
        worth, log10_e, _ = settle(worth, gain, RATES.weights)
        worth[log10_e >= 2.0] = 0.0
        alarms += int(np.count_nonzero(log10_e >= 2.0))

    assert 0 < alarms <= streams * windows / 100


def test_one_window_adds_a_bounded_amount() -> None:
    """However wild a window, it alone multiplies evidence by a bounded factor, and evidence has an end."""
    worth, wild = np.zeros((1, RATES.weights.size)), np.array([1e6])
    one = (np.array([10.0]), np.zeros(1), np.ones(1))
    seen: list[float] = []
    for _ in range(10):
        worth, log10_e, alone = settle(worth, RATES.log_e(wild, *one), RATES.weights)
        seen.append(float(log10_e[0]))
        assert alone[0] > 1000

    assert seen[0] == pytest.approx(2.5)
    assert seen[1] < 5.1
    assert seen[-1] == 12.0
    assert np.isfinite(worth).all()


def test_the_best_bet_of_a_lasting_change_remains() -> None:
    """After a gross change that lasted, a single usual window takes most of the evidence away."""
    worth = np.zeros((1, RATES.weights.size))
    one = (np.array([200.0]), np.zeros(1), np.ones(1))
    for _ in range(20):
        worth, _, _ = settle(worth, RATES.log_e(np.array([1200.0]), *one), RATES.weights)

    _, log10_e, _ = settle(worth, RATES.log_e(np.array([200.0]), *one), RATES.weights)

    assert log10_e[0] < 0.5
