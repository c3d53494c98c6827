"""How much more versions scatter than chance has it is believed only where it is clear."""

import numpy as np
import pytest

from spanward_processor.canary.clumps import Clumps
from spanward_processor.canary.columns import COLUMNS, ERRORS, EVENTS, GROUPS, LATENCY, Stratum
from spanward_processor.canary.sums import Sums

SEED = 20_261_126
SECONDS, BLOCK = 1200, 10


def strata(rng: np.random.Generator, rate: float, burst: int = 1, scatter: float = 0.0) -> Sums:
    """Return the sums of twenty minutes, 90 requests a second of the stable version and 10 of the canary.

    Args:
        rng: Source of chance.
        rate: Errors per request.
        burst: Errors that come at once, in one version.
        scatter: sd of the log latency that each version has of its own for ten seconds.
    """
    sums, own = Sums(), np.zeros(2)
    for second in range(SECONDS):
        if second % BLOCK == 0:
            own = rng.normal(0, scatter, 2)
            sums.begin_block(second // BLOCK)
        rows, totals, squares = np.zeros((COLUMNS, 2, GROUPS)), np.zeros((COLUMNS, 2, GROUPS)), np.zeros(COLUMNS)
        for arm, count in enumerate((90, 10)):
            rows[:, arm, 0] = count
            totals[ERRORS, arm, 0] = burst * rng.poisson(count * rate / burst)
            logs = rng.normal(own[arm], 0.5, count)
            totals[LATENCY, arm, 0] = logs.sum()
            squares[LATENCY] += (logs**2).sum()
        squares[ERRORS] = totals[ERRORS].sum()
        sums.add(Stratum(rows, totals, squares))
    return sums


@pytest.mark.parametrize("rate", [0.0005, 0.002], ids=["one block in two has none", "every block has some"])
def test_seldom_errors_are_not_taken_for_scatter(rate: float) -> None:
    """Counts of seldom events are skewed, and blocks without any count too; neither may weaken the evidence."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)

    found = [float(strata(rng, rate).dispersion()[ERRORS]) for _ in range(8)]

    assert np.mean(found) < 1.05


def test_errors_that_come_in_bursts_count_less() -> None:
    """Retries of one request are no evidence of their own each."""
    print(f"seed {SEED}")

    assert strata(np.random.default_rng(SEED), 0.01, burst=8).dispersion()[ERRORS] > 2.0


def test_a_version_that_is_slow_now_and_then_counts_less() -> None:
    """What comes and goes in ten seconds is not the version's doing."""
    print(f"seed {SEED}")

    assert strata(np.random.default_rng(SEED), 0.01, scatter=0.5).dispersion()[LATENCY] > 2.0


def test_an_outage_of_both_versions_is_no_clump_of_one() -> None:
    """What befalls both at once says that errors come together, not that a version's errors do."""
    rng, clumps = np.random.default_rng(SEED), Clumps()
    print(f"seed {SEED}")
    rows = np.broadcast_to([90.0, 10.0], (EVENTS.size, 2))
    for second in range(1200):
        if second % BLOCK == 0:
            clumps.end_block()
        failing = 0.9 if 300 <= second < 304 else 0.002
        clumps.add(rows, np.broadcast_to(rng.binomial([90, 10], failing), (EVENTS.size, 2)).astype(float))

    assert clumps.factor()[0] < 2.0


def test_errors_of_the_canary_alone_are_no_clump() -> None:
    """A canary that fails all the time has many errors in each second, as its own ten seconds have it."""
    rng, clumps = np.random.default_rng(SEED), Clumps()
    print(f"seed {SEED}")
    rows = np.broadcast_to([90.0, 10.0], (EVENTS.size, 2))
    for _ in range(BLOCK):
        clumps.add(rows, np.broadcast_to([0.0, rng.binomial(10, 0.5)], (EVENTS.size, 2)).astype(float))

    assert clumps.factor()[0] < 1.2


def test_the_first_clump_is_recognised() -> None:
    """Five errors of one second, and none else, count as one."""
    clumps = Clumps()
    rows = np.broadcast_to([90.0, 10.0], (EVENTS.size, 2))
    for second in range(BLOCK):
        clumps.add(rows, np.broadcast_to([0.0, 5.0 * (second == 3)], (EVENTS.size, 2)))

    assert 4.0 < clumps.factor()[0] <= 5.0
