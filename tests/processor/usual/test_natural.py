"""How far a stream strays by itself."""

import math

import numpy as np

from spanward_processor.usual.natural import Natural

BAG_S = 300
DAY_BAGS = 288
SLOT = np.array([0])
FIRST_DAY, LATER = np.array([1.0]), np.array([0.4])


def after(shifts: list[float]) -> Natural:
    """Return what is known after some bags."""
    natural = Natural()
    natural.grow(1)
    for number, shift in enumerate(shifts):
        natural.learn(SLOT, np.array([shift]), number * BAG_S * 1_000_000_000)
    return natural


def tolerance(natural: Natural) -> float:
    """Return how far the stream may be from its anchor."""
    return float(natural.tolerance(SLOT, FIRST_DAY, LATER)[0])


def test_the_first_day_has_a_margin_of_its_own() -> None:
    """Before a day was seen to its end, nobody knows what it covers."""
    assert tolerance(after([0.0] * (DAY_BAGS - 1))) == FIRST_DAY[0]


def test_what_a_day_covers_is_tolerated() -> None:
    """A cycle's whole range is added to the margin."""
    cycle = [0.3 * math.sin(2 * math.pi * number / DAY_BAGS) for number in range(DAY_BAGS + 1)]

    assert abs(tolerance(after(cycle)) - 1.0) < 0.02


def test_a_slow_ramp_widens_little() -> None:
    """What gets away by a tenth a day widens the tolerance by a tenth, however far away it gets."""
    ramp = [0.1 * number / DAY_BAGS for number in range(10 * DAY_BAGS + 1)]

    assert abs(tolerance(after(ramp)) - 0.5) < 0.01


def test_steps_are_from_the_bag_before() -> None:
    """A step is the distance from the last shift that was learned, nothing at first."""
    assert after([]).step(SLOT, np.array([0.5])).tolist() == [0.0]
    np.testing.assert_allclose(after([0.1, 0.2]).step(SLOT, np.array([0.5])), [0.3], rtol=1e-6)


def test_a_rhythm_is_tolerated_as_far_as_it_goes() -> None:
    """Where a stream goes further within a day, that counts."""
    cycle = [0.3 * math.sin(2 * math.pi * number / DAY_BAGS) for number in range(DAY_BAGS + 1)]
    natural = after(cycle)
    for far, hours in ((0.9, (30.0,)), (0.1, (38.0, 39.5))):
        for hour in hours:
            natural.rhythm.note(SLOT, np.array([far]), np.array([far > 0.5]), np.array([True]), hour * 3600)
    assert abs(tolerance(natural) - 1.3) < 1e-6
