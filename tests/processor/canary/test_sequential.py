"""Evidence may be looked at as often as one likes: the chance that it ever misleads is bounded, and what is true stays in the interval.

Every trial is of a canary as good as the stable version, while its share of the traffic and the load change as they like.
"""

import math

import numpy as np
import pytest

from spanward_processor.canary.sequential import (
    evidence_of_events,
    evidence_of_numbers,
    interval_of_odds,
    likelihood_of_odds,
    radius_of_numbers,
)
from spanward_processor.kernels.jit import Floats

SEED = 20_261_126
TRIALS, STRATA = 300, 600
ALPHA = 0.1
MOST = 1.5 * ALPHA  # what chance makes of 0.1 in 300 trials is more in one case of 500 only
EVERY = 12  # strata between looks at events, which have 97 likelihoods each


def traffic(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return (t, s) float64 rows of both versions and the canary's, by trial and stratum: a day's load, and a share that grows."""
    seconds = np.arange(STRATA)
    load = 60 * (1 + 0.8 * np.sin(seconds * 2 * math.pi / STRATA))
    rows = rng.poisson(load, (TRIALS, STRATA)) + 10
    canary = rng.binomial(rows.astype(np.int64) - 2, np.linspace(0.03, 0.5, STRATA)) + 1
    return rows.astype(np.float64), canary.astype(np.float64)


def misled(evidence: Floats) -> float:
    """Return the share of trials (t, s) in which the evidence is beyond the level at any look."""
    return float((evidence >= -math.log(ALPHA)).any(1).mean())


def numbers(rng: np.random.Generator, effect: float) -> tuple[Floats, Floats, Floats]:
    """Return (t, s) float64 running excess, variance and weight of logarithms with sd 0.5, of which the canary's are larger."""
    rows, canary = traffic(rng)
    stable = rows - canary
    share = canary / rows
    level = rng.normal(0, 0.3, (TRIALS, STRATA))  # of the second, for both
    sums = [count * level + rng.normal(0, 0.5 * np.sqrt(count)) for count in (stable, canary)]
    weight = canary * (1 - share)
    excess = sums[1] + canary * effect - share * (sums[0] + sums[1] + canary * effect)
    return excess.cumsum(1), (0.25 * weight).cumsum(1), weight.cumsum(1)


def events(rng: np.random.Generator, stable: float, canary: float) -> Floats:
    """Return (t, l, o) float64 log likelihood of each ratio of odds at each look; events have the given chances."""
    rows, of_canary = traffic(rng)
    share = of_canary / rows
    counts = (
        rng.binomial(rows.astype(np.int64) - of_canary.astype(np.int64), stable),
        rng.binomial(of_canary.astype(np.int64), canary),
    )
    looks = np.arange(0, STRATA, EVERY)
    each = [
        np.add.reduceat(
            likelihood_of_odds(
                (counts[0] + counts[1])[trial].astype(float), counts[1][trial].astype(float), share[trial]
            ),
            looks,
        )
        for trial in range(TRIALS)
    ]
    return np.stack(each).cumsum(1)


def test_numbers_that_are_alike_mislead_no_more_often_than_allowed() -> None:
    """At any of 600 looks, whatever load and share did."""
    print(f"seed {SEED}")
    excess, variance, weight = numbers(np.random.default_rng(SEED), 0.0)

    assert misled(evidence_of_numbers(excess, variance, weight)) <= MOST


@pytest.mark.parametrize("rate", [0.002, 0.2])
def test_events_that_are_alike_mislead_no_more_often_than_allowed(rate: float) -> None:
    """Seldom ones and frequent ones, at any of 50 looks."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    likelihood = events(rng, rate, rate)

    assert misled(evidence_of_events(likelihood, np.ones(likelihood.shape[:2]))) <= MOST


def test_the_interval_of_numbers_holds_the_truth_at_every_look() -> None:
    """In as many trials as it says, not only at the end."""
    print(f"seed {SEED}")
    effect = 0.08
    excess, variance, weight = numbers(np.random.default_rng(SEED), effect)

    radius = radius_of_numbers(variance, weight, math.log(ALPHA))

    assert (np.abs(excess / weight - effect) > radius).any(1).mean() <= MOST
    assert (radius[:, -1] < effect).all()


def test_the_interval_of_odds_holds_the_truth_at_every_look() -> None:
    """Events are three times as frequent in the canary."""
    print(f"seed {SEED}")
    likelihood = events(np.random.default_rng(SEED), 0.01, 0.03)
    odds = 0.03 / 0.97 * 0.99 / 0.01

    outside = 0
    for trial in likelihood[:100]:
        intervals = [interval_of_odds(look, math.log(ALPHA)) for look in trial]
        outside += any(not low <= odds <= high for low, high in intervals)

    assert outside <= 100 * MOST
    low, high = interval_of_odds(likelihood[0, -1], math.log(ALPHA))
    assert 1.0 < low < high < 10.0
