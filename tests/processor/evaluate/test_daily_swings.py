"""Daily swings in a tiny form: what is found at first is told, what is found later is judged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spanward_processor.configuration.config import Config
from spanward_processor.evaluate.base import Effort
from spanward_processor.evaluate.evaluations import daily_swings
from spanward_processor.evaluate.evaluations.daily_swings import LEARNED, SWING, measure
from spanward_processor.evaluate.evaluations.false_alarms import opened
from spanward_processor.findings import Finding
from spanward_processor.testing.simulation import simulate
from spanward_processor.testing.worlds import DAY_S, SECOND_NS, START_NS, Incident, World, classifier

SEED = 1


def test_the_first_days_alone_are_not_judged(tmp_path: Path) -> None:
    """Less than the days that a swing takes to be known gives no line that is reached or not."""
    print(f"seed {SEED}")
    of_seed, first = measure(Effort(range(SEED, SEED + 1), True, tmp_path, 0.006))

    assert (of_seed.what, of_seed.measured) == ("seed 1, 0.006 simulated days", "0 false findings")
    assert first.what == "false findings of the first 0.006 days, each of 1 seeds"
    assert first.reached is None


def findings_of_a_minute() -> list[Finding]:
    """Return what is found about a classifier that becomes slow."""
    config = Config()
    settings, limits = config.detection.as_settings(), config.limits.as_settings()
    world = World(classifier(30.0), np.random.default_rng(SEED), settings.window_s, Incident(432.0, slower=3.0))
    return opened(simulate([world], 600.0, settings, limits).changes)


def test_what_opens_later_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding counts per day after the first days, told with its time."""
    print(f"seed {SEED}")
    finding = findings_of_a_minute()[0]
    days = [replace(finding, opened_ns=START_NS + round(day * DAY_S * SECOND_NS)) for day in (0.5, 1.9, 2.1, 3.0)]
    monkeypatch.setattr(daily_swings, "false_findings", lambda *_: days)

    *told, first, later = measure(Effort(range(SEED, SEED + 2), False, tmp_path, LEARNED + 0.5))

    assert [line.what.split(":")[0] for line in told[1:5]] == ["day 0.50", "day 1.90", "day 2.10", "day 3.00"]
    assert first.measured.startswith("2.000")
    assert later.measured.startswith("4.000")
    assert later.reached is False


def test_values_swing_with_the_day() -> None:
    """Latency at noon is twice that of the night, inputs are longer in the morning than in the evening."""
    print(f"seed {SEED}")
    application = replace(classifier(50.0), swing=SWING)
    world = World(application, np.random.default_rng(SEED), 10.0)
    hours = {hour: world.calls(round(hour * 360)) for hour in (6, 18, 22, 32)}
    latency = {hour: float(np.median(calls.end_ns - calls.start_ns)) for hour, calls in hours.items()}
    length = {hour: float(np.median(calls.input_size)) for hour, calls in hours.items()}

    assert 1.6 < latency[32] / latency[22] < 3.0
    assert length[6] > 1.4 * length[18]
