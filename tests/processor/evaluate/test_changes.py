"""Delays and ramps in a tiny form: what is measured moves when what is measured gets worse."""

from dataclasses import replace

import numpy as np
import pytest

from spanward_processor.evaluate.brook_evans import Cusum
from spanward_processor.evaluate.changes import CHANGES
from spanward_processor.evaluate.evaluations.boiling_frog import RAMPS, climb
from spanward_processor.evaluate.evaluations.change_delay import bar_for, delay
from spanward_processor.features import Aspect
from spanward_processor.testing.traffic import QUIET

SEED = 2
GROSS = next(change for change in CHANGES if change.name == "Gaussian, +1 sd")


def test_the_exact_cusum_is_that_of_the_literature() -> None:
    """One standard deviation at a mean run length of 1,000: 10.5 samples, as Markov chains of others give it."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    before, after = (rng.normal(mean, 1.0, 200_000) - 0.5 for mean in (0.0, 1.0))

    assert Cusum(before, after).delay(1_000) == pytest.approx(10.5, rel=0.1)


def test_a_higher_bar_is_reached_later() -> None:
    """A gross change is found within a few windows, and later where more evidence is asked for."""
    print(f"seed {SEED}")
    low, high = (delay(GROSS, bar, np.random.default_rng(SEED)) for bar in (2.0, 6.0))

    assert 1.0 < low < high < 60.0


def test_the_bar_follows_the_run_length() -> None:
    """Streams whose evidence grows evenly to 3 within 100 windows: the bar is where so many windows have passed."""
    largest = np.maximum.accumulate(np.tile(np.linspace(0.0, 3.0, 100), (5, 1)), axis=1)

    bars = [bar_for(largest, run_length)[0] for run_length in (20.0, 60.0)]

    assert bars[0] == pytest.approx(0.6, abs=0.1)
    assert bars[1] == pytest.approx(1.8, abs=0.1)


@pytest.mark.slow
def test_a_ramp_is_found_and_no_ramp_is_not() -> None:
    """Inputs that grow by one percent in a window are found on the way; a world that stays quiet is not."""
    print(f"seed {SEED}")
    growing = RAMPS[0]
    still = replace(growing, behave=lambda _: QUIET)

    found = climb(growing, 1, SEED)

    assert found
    assert 1.0 < found.factor < growing.target
    assert climb(still, 1, SEED) is None


def test_ramps_are_of_aspects_that_findings_name() -> None:
    """A ramp waits for findings about what moves, so its aspect must be one."""
    assert {ramp.aspect for ramp in RAMPS} <= {aspect.name.lower() for aspect in Aspect}
