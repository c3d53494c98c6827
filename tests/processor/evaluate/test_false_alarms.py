"""False findings in a tiny form: days are those that were asked for, and whatever is found is told in full."""

from pathlib import Path

import numpy as np

from spanward_processor.configuration.config import Config
from spanward_processor.evaluate.base import Effort
from spanward_processor.evaluate.evaluations.false_alarms import measure, opened, told
from spanward_processor.testing.simulation import simulate
from spanward_processor.testing.worlds import Incident, World, classifier

SEED = 1
DAYS = 0.006


def test_as_many_days_are_run_as_are_asked_for(tmp_path: Path) -> None:
    """The table says how many days each seed had, that more are asked for, and what lacks its data."""
    print(f"seed {SEED}")

    of_seed, per_day, within, trace = measure(Effort(range(SEED, SEED + 1), True, tmp_path, DAYS))

    assert (of_seed.what, of_seed.measured) == ("seed 1, 0.006 simulated days", "0 false findings")
    assert "0.006 simulated days of the 14 that are asked for, each of 1 seeds" in per_day.what
    assert (per_day.reached, within.reached, trace.reached) == (True, True, None)


def test_a_finding_is_told_with_its_time_and_its_sentence() -> None:
    """Were there an incident in quiet traffic, its findings would be counted, and a person could read what they say."""
    print(f"seed {SEED}")
    config = Config()
    settings, limits = config.detection.as_settings(), config.limits.as_settings()
    incident = Incident(432.0 + 3 * settings.window_s, slower=3.0)
    world = World(classifier(30.0), np.random.default_rng(SEED), settings.window_s, incident)

    findings = opened(simulate([world], 600.0, settings, limits).changes)

    lines = [told(finding) for finding in findings]
    assert any(line.what.startswith("day 0.01: ") and line.what.endswith(", latency") for line in lines), lines
    assert any(line.measured.startswith("Latency of simulated / classifier 1.0 rose") for line in lines), lines
