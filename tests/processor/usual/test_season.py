"""Cycles of the rate: expected once they were seen, and what leaves them is found."""

import math
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors import panel
from spanward_processor.findings import State
from spanward_processor.judging.judge import Judge
from spanward_processor.testing.traffic import QUIET, Traffic
from spanward_processor.usual.season import Season

WINDOW_S = 600
WINDOW_NS = WINDOW_S * 1_000_000_000
PER_DAY = 86_400 // WINDOW_S
DECAY = 0.5 ** (WINDOW_S / 3600)
SLOT = np.zeros(1, np.int64)
SEED = 20_261_130


def cycle(number: int, *, amplitude: float = 0.5) -> float:
    """Return the rows of a window of a day, busiest at six."""
    return 1000.0 * (1 + amplitude * math.sin(2 * math.pi * number / PER_DAY))


def middle_ns(number: int) -> int:
    """Return the middle of a window."""
    return number * WINDOW_NS + WINDOW_NS // 2


def taught(rows: list[float]) -> Season:
    """Return a season that has learned windows in a row."""
    season = Season(DECAY)
    season.grow(1)
    season.begin(SLOT, np.array([rows[0]]), np.ones(1))
    for number, counted in enumerate(rows):
        season.learn(SLOT, np.array([counted]), middle_ns(number), WINDOW_NS)
    return season


def error(season: Season, number: int, rows: float) -> float:
    """Return by how much a season is wrong about the window after the last one learned."""
    return abs(float(season.expected(SLOT, middle_ns(number), WINDOW_NS)[0]) / rows - 1.0)


def test_a_new_slot_begins_with_the_level_of_the_baseline() -> None:
    """Before any hour was seen the mean is expected."""
    season = Season(DECAY)
    season.grow(1)
    season.begin(SLOT, np.array([4000.0]), np.array([8.0]))

    assert season.expected(SLOT, middle_ns(5), WINDOW_NS)[0] == pytest.approx(500.0)


def test_a_steady_rate_is_expected_to_go_on() -> None:
    """Where no hour differs from the others the profile is flat."""
    assert error(taught([1000.0] * (3 * PER_DAY)), 3 * PER_DAY, 1000.0) < 0.01


def test_a_daily_cycle_is_expected_after_some_days() -> None:
    """On the fifth day every window is expected to a few percent, where the level alone is wrong by a fifth."""
    rows = [cycle(number) for number in range(4 * PER_DAY)]
    season, worst = taught(rows), 0.0
    for number in range(4 * PER_DAY, 5 * PER_DAY):
        worst = max(worst, error(season, number, cycle(number)))
        season.learn(SLOT, np.array([cycle(number)]), middle_ns(number), WINDOW_NS)

    assert worst < 0.06


def test_a_busier_day_of_the_same_shape_is_followed() -> None:
    """Half as much again all day long: an hour or two later it is what is expected, by the profile's shape."""
    season = taught([cycle(number) for number in range(4 * PER_DAY)])
    for number in range(4 * PER_DAY, 4 * PER_DAY + 24):
        season.learn(SLOT, np.array([1.5 * cycle(number)]), middle_ns(number), WINDOW_NS)

    assert error(season, 4 * PER_DAY + 24, 1.5 * cycle(4 * PER_DAY + 24)) < 0.08


def test_weekends_are_expected_after_some_weeks() -> None:
    """Two quiet days of seven are told from the same hours of other days, when the third week comes to them."""

    def rows(number: int) -> float:
        return cycle(number) * (0.4 if number // PER_DAY % 7 >= 5 else 1.0)

    season = taught([rows(number) for number in range((2 * 7 + 5) * PER_DAY)])
    errors: list[float] = []
    for number in range((2 * 7 + 5) * PER_DAY, (2 * 7 + 7) * PER_DAY):
        errors.append(error(season, number, rows(number)))
        season.learn(SLOT, np.array([rows(number)]), middle_ns(number), WINDOW_NS)

    assert max(errors) < 0.8  # 1.5 without knowing of weeks
    assert float(np.median(errors)) < 0.06


def test_what_was_kept_goes_on() -> None:
    """A season that takes back what another has kept expects the same."""
    season, other = taught([cycle(number) for number in range(PER_DAY)]), Season(DECAY)
    other.restore(season.arrays())

    assert other.expected(SLOT, middle_ns(PER_DAY), WINDOW_NS) == season.expected(SLOT, middle_ns(PER_DAY), WINDOW_NS)


def test_a_drop_by_a_third_in_a_daily_cycle_is_found() -> None:
    """Days swing by half, and after four of them a rate a third below what its hour is used to is a finding; no day was one."""
    print(f"seed {SEED}")
    traffic = Traffic(SEED, window_s=WINDOW_S)
    judge = Judge(
        panel(Learning(), DECAY), traffic.directory, traffic.text, window_s=WINDOW_S, false_alarms_per_day=1.0
    )
    numbers = count()

    def opened(share: float, windows: int) -> set[str]:
        found: set[str] = set()
        for number in (next(numbers) for _ in range(windows)):
            behaviour = replace(QUIET, rate_per_s=share * cycle(number) / WINDOW_S)
            changes = judge.hear(next(traffic.windows(behaviour, 1)))
            found |= {change.aspect for change in changes if change.state is State.OPENED}
        return found

    assert opened(1.0, 4 * PER_DAY + 40) == set()
    assert "rate" in opened(0.67, 12)
