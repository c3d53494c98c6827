"""What goes beyond what is tolerated and comes back by itself."""

from collections.abc import Sequence

import numpy as np
import pytest

from spanward_processor.usual.rhythm import Rhythm

SLOT = np.array([0])
DAY = 24.0


def note(rhythm: Rhythm, hour: float, far: float, *, once: bool = False) -> None:
    """Note how far the stream is at an hour; more than 1 is beyond what is tolerated."""
    rhythm.note(SLOT, np.array([far]), np.array([far > 1.0]), np.array([once]), hour * 3600)


def gone_and_back(
    excursions: Sequence[tuple[float, float, float]], *, once: bool = False, quiet_until: float | None = None
) -> float:
    """Return how far the rhythm goes of a stream that went so far between two hours, and was back for two hours each time."""
    rhythm = Rhythm()
    rhythm.grow(1)
    note(rhythm, 0.0, 0.0, once=once)
    for gone, back, far in excursions:
        note(rhythm, gone, far, once=once)
        for hour in (back, back + 1, back + 2):
            note(rhythm, hour, 0.1, once=once)
    if quiet_until is not None:
        note(rhythm, quiet_until, 0.1, once=once)
    return float(rhythm.far(SLOT)[0])


def test_what_comes_back_on_two_days_is_a_rhythm() -> None:
    """A night that differs is one once it was seen twice, as far as it went both times."""
    assert gone_and_back([(20, 28, 1.5)]) == 0.0
    assert gone_and_back([(20, 28, 1.5), (44, 52, 2.0)]) == 1.5


def test_once_is_enough_where_little_can_be_gained() -> None:
    """A latency that went and came back within a day may do so the next day."""
    assert gone_and_back([(20, 28, 1.5)], once=True) == 1.5


@pytest.mark.parametrize("once", [False, True])
def test_what_stays_away_is_no_rhythm(once: bool) -> None:
    """What comes back after more than a day is told again."""
    assert gone_and_back([(20, 50, 1.5), (60, 90, 1.5)], once=once) == 0.0


def test_twice_on_one_day_is_no_rhythm() -> None:
    """Two excursions within some hours show nothing about the next day."""
    assert gone_and_back([(20, 22, 1.5), (25, 26, 1.5)]) == 0.0


def test_a_week_apart_is_a_rhythm_and_nine_days_are_not() -> None:
    """Weekends are a rhythm too."""
    assert gone_and_back([(20, 28, 1.5), (20 + 7 * DAY, 28 + 7 * DAY, 1.5)]) == 1.5
    assert gone_and_back([(20, 28, 1.5), (20 + 9 * DAY, 28 + 9 * DAY, 1.5)]) == 0.0


def test_crossings_at_the_border_take_no_great_one_apart() -> None:
    """A stream that comes and goes for an hour while it leaves and returns has been away once, on each of two days."""
    rhythm = Rhythm()
    rhythm.grow(1)
    for day in (0, 1):
        for hour, far in (
            (8.0, 1.1),
            (8.5, 0.9),
            (9.0, 1.2),
            (12.0, 3.0),
            (17.0, 1.1),
            (17.5, 0.9),
            (17.8, 1.1),
            (18.0, 0.9),
        ):
            note(rhythm, day * DAY + hour, far)
        note(rhythm, day * DAY + 20, 0.2)
    assert rhythm.far(SLOT).tolist() == [3.0]


def test_small_excursions_do_not_hide_a_great_one() -> None:
    """What was at the border in the morning does not take the place of what was far away at noon of the day before."""
    days = [[(6.0 + DAY * day, 7.0 + DAY * day, 1.1), (12.0 + DAY * day, 16.0 + DAY * day, 3.0)] for day in (0, 1)]
    assert gone_and_back([*days[0], *days[1]]) == 3.0


def test_a_rhythm_that_no_longer_shows_is_forgotten() -> None:
    """After eight days without."""
    twice = [(20.0, 28.0, 1.5), (44.0, 52.0, 1.5)]
    assert gone_and_back(twice, quiet_until=52 + 7.9 * DAY) == 1.5
    assert gone_and_back(twice, quiet_until=52 + 8.1 * DAY) == 0.0


def test_a_rhythm_that_is_tolerated_still_shows() -> None:
    """Who is no longer beyond what is tolerated, since it is known, keeps it by going far."""
    rhythm = Rhythm()
    rhythm.grow(1)
    for hour, far in ((20.0, 1.5), (28.0, 0.1), (30.0, 0.1)):
        note(rhythm, hour, far, once=True)
    for day in range(1, 20):
        rhythm.note(SLOT, np.array([1.4]), np.array([False]), np.array([True]), (20 + day * DAY) * 3600)
    assert rhythm.far(SLOT).tolist() == [1.5]


def test_a_slot_that_is_cleared_has_none() -> None:
    """Others may have it."""
    rhythm = Rhythm()
    rhythm.grow(1)
    for hour, far in ((20.0, 1.5), (28.0, 0.1), (30.0, 0.1), (44.0, 1.5)):
        note(rhythm, hour, far, once=True)
    rhythm.clear(SLOT)
    note(rhythm, 50.0, 0.1, once=True)
    note(rhythm, 52.0, 0.1, once=True)
    assert rhythm.far(SLOT).tolist() == [0.0]
