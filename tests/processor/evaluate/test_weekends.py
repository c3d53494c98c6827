"""Weekends in a tiny form: what is found at first is told, what is found later is judged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from findings import FINDING
from spanward_processor.evaluate.base import Effort
from spanward_processor.evaluate.evaluations import weekends
from spanward_processor.evaluate.evaluations.weekends import LEARNED_S, RATE_PER_S, WEEKEND, measure
from spanward_processor.findings import Finding
from spanward_processor.testing.worlds import DAY_S, SECOND_NS, START_NS, WEEK_S, World, classifier

SEED = 1
STEP_S = 600.0


def finding(day: float) -> Finding:
    """Return a finding that opened on a day."""
    return replace(FINDING, opened_ns=START_NS + round(day * DAY_S * SECOND_NS))


def test_less_than_two_weekends_are_not_judged(tmp_path: Path) -> None:
    """An hour of a Monday is run, and gives no line that is reached or not."""
    print(f"seed {SEED}")
    of_seed, first = measure(Effort(range(SEED, SEED + 1), True, tmp_path, 1 / 24))

    assert of_seed.what == f"seed 1, {1 / 24:g} simulated days"
    assert of_seed.measured == "0 findings, 0 of them later"
    assert first.reached is None


def test_what_opens_once_two_weekends_are_known_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding counts per day after the second Monday."""
    monkeypatch.setattr(weekends, "_findings", lambda *_: [finding(day) for day in (5.0, 14.5, 15.5, 19.0)])

    *_, first, later = measure(Effort(range(SEED, SEED + 2), False, tmp_path, LEARNED_S / DAY_S + 0.5))

    assert first.measured.startswith("2.000")
    assert later.measured.startswith("4.000")
    assert later.reached is False


def test_the_world_is_another_one_at_weekends() -> None:
    """From Saturday to Sunday more decisions are the last one and calls are shorter; the week begins on Monday."""
    print(f"seed {SEED}")
    world = World(replace(classifier(50 * RATE_PER_S), weekend=WEEKEND), np.random.default_rng(SEED), STEP_S)
    share: dict[float, float] = {}
    latency: dict[float, float] = {}
    for day in (0.0, 4.0, 5.0, 6.0, 7.0, 12.0):
        calls = world.calls(round((day * DAY_S + 7_200) / STEP_S))
        share[day] = float((calls.decision == classifier().decisions - 1).mean())
        latency[day] = float(np.median(calls.end_ns - calls.start_ns))

    assert WEEK_S == 7 * DAY_S
    for day in (5.0, 6.0, 12.0):
        assert share[day] > share[0.0] + 0.1
        assert 0.5 < latency[day] / latency[0.0] < 0.7
    for day in (4.0, 7.0):
        assert share[day] < share[0.0] + 0.05
        assert 0.85 < latency[day] / latency[0.0] < 1.15
