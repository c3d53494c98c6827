"""Findings about a service whose decisions and durations are other ones each weekend: told at first, then known.

A classifier with the cycles of `false_alarms`, two calls a second, windows of a minute. From the first hour of Saturday on a fifth of its
decisions are of one class more, and calls take six tenths of the time; in the first hour of Monday that is over. Nobody can know it on the first
weekend, and what is a matter of quality is believed when it came twice; what is found until the end of the second Monday is told and not judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from spanward_processor.configuration.config import Config
from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_most, number
from spanward_processor.evaluate.evaluations.false_alarms import TOLERATED, opened, told
from spanward_processor.evaluate.intervals import over_seeds
from spanward_processor.findings import Finding
from spanward_processor.testing.simulation import simulate
from spanward_processor.testing.worlds import DAY_S, SECOND_NS, START_NS, WEEK_S, World, classifier

WEEKS: Final = 4
SHORT_WEEKS: Final = 1
LEARNED_S: Final = 2 * WEEK_S + DAY_S
"""Seconds after which two weekends are over, with the Monday that follows."""

WEEKEND: Final = 0.2
RATE_PER_S: Final = 2.0
WINDOW_S: Final = 60.0


def measure(effort: Effort) -> Iterator[Line]:
    """Count findings until two weekends are known, and after that; see `Evaluation`."""
    config = Config()
    weeks = SHORT_WEEKS if effort.short else WEEKS
    days = effort.days or 7 * weeks + 1
    first: list[float] = []
    per_day: list[float] = []
    for seed in effort.seeds:
        findings = _findings(seed, days, config)
        later = sum(finding.opened_ns >= START_NS + LEARNED_S * SECOND_NS for finding in findings)
        first.append(float(len(findings) - later))
        per_day.append(later / max(days - LEARNED_S / DAY_S, 1e-9))
        yield Line(f"seed {seed}, {days:g} simulated days", f"{len(findings)} findings, {later} of them later")
        for finding in findings:
            yield told(finding)
    seeds = f"each of {len(effort.seeds)} seeds"
    yield Line(f"findings until two weekends are known, {seeds}", over_seeds(first).shown(number))
    if days * DAY_S > LEARNED_S:
        what = f"findings per day after that, {seeds}"
        yield at_most(what, over_seeds(per_day), TOLERATED * config.detection.false_alarms_per_day, number)


def _findings(seed: int, days: float, config: Config) -> Sequence[Finding]:
    """Return what opened in so many days; see `measure`."""
    settings = replace(config.detection.as_settings(), window_s=WINDOW_S)
    application = replace(classifier(RATE_PER_S), weekend=WEEKEND)
    world = World(application, np.random.default_rng([seed, 0]), WINDOW_S)
    return opened(simulate([world], days * DAY_S, settings, config.limits.as_settings()).changes)


EVALUATION: Final = Evaluation(
    name="weekends",
    shows="How many findings a day about a service that is another one each weekend, once that is known.",
    measure=measure,
    first_seed=740,
)
