"""Findings about quiet traffic: none of them is true.

Three applications are one deployment with one budget: a classifier, a recommender with sixteen channels and 1,000 items, and an
LLM service. Their requests are encoded OTLP and pass the real pipeline, in simulated time; network, journal and forwarding are
left out. Nothing is excluded: the first day, in which series become ready, counts too. Every false finding is told with its sentence,
so that a person can see what was taken for a change. The recorded trace goes over real OTLP.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from spanward_processor.configuration.config import Config, DetectionConfig
from spanward_processor.evaluate.base import Effort, Evaluation, Line, absent, at_least, at_most, number, percent
from spanward_processor.evaluate.intervals import Estimate, over_seeds, share
from spanward_processor.findings import Finding, State
from spanward_processor.replay import replay
from spanward_processor.testing.simulation import simulate
from spanward_processor.testing.worlds import DAY_S, SECOND_NS, START_NS, World, classifier, llm, recommender

DAYS: Final = 14.0
SHORT_DAYS: Final = 0.1
TOLERATED: Final = 2.0  # times the budget
SEEDS_WITHIN: Final = 0.8
TRACE: Final = Path("azure-llm") / "code.csv"


def opened(changes: Sequence[Finding]) -> list[Finding]:
    """Return the findings that opened."""
    return [change for change in changes if change.state is State.OPENED]


def false_findings(seed: int, days: float, data: Path, swing: float = 0.0) -> list[Finding]:
    """Return what is found in so many quiet days.

    Args:
        seed: Seed of the traffic.
        days: Simulated days.
        data: Folder of the public data, for the tokens of the LLM service.
        swing: How far values swing over the day; see `Application`.
    """
    config = Config()
    settings = config.detection.as_settings()
    worlds = [
        World(replace(application, swing=swing), np.random.default_rng([seed, place]), settings.window_s)
        for place, application in enumerate((classifier(), recommender(), llm(data)))
    ]
    return opened(simulate(worlds, days * DAY_S, settings, config.limits.as_settings()).changes)


def measure(effort: Effort) -> Iterator[Line]:
    """Count false findings; see `Evaluation`."""
    days, budget = effort.days or (SHORT_DAYS if effort.short else DAYS), DetectionConfig().false_alarms_per_day
    per_day: list[float] = []
    for seed in effort.seeds:
        findings = false_findings(seed, days, effort.data)
        per_day.append(len(findings) / days)
        yield Line(f"seed {seed}, {days:g} simulated days", f"{len(findings)} false findings")
        for finding in findings:
            yield told(finding)
    asked = "" if days >= DAYS else f" of the {DAYS:g} that are asked for"
    what = f"false findings per day, {days:g} simulated days{asked}, each of {len(effort.seeds)} seeds"
    yield at_most(what, over_seeds(per_day), TOLERATED * budget, number)
    within = share(sum(rate <= budget for rate in per_day), len(per_day))
    yield at_least(f"seeds with at most {budget:g} per day", within, SEEDS_WITHIN, percent)
    yield _of_trace(effort, budget)


def told(finding: Finding) -> Line:
    """Return the line of one false finding."""
    day = (finding.opened_ns - START_NS) / SECOND_NS / DAY_S
    return Line(f"day {day:.2f}: {finding.detector}, {finding.aspect}", finding.reason)


def _of_trace(effort: Effort, budget: float) -> Line:
    what = "false findings, Azure LLM inference trace (CC-BY-4.0)"
    if not (effort.data / TRACE).is_file():
        return absent(what, TRACE.parent.name)
    logging.getLogger("spanward_processor").setLevel(logging.ERROR)  # that it forwards nowhere is meant
    replayed = asyncio.run(replay([effort.data / TRACE], DetectionConfig()))
    days = (replayed.last_ns - replayed.first_ns) / 1e9 / DAY_S
    count = float(len(opened(replayed.transitions)))
    allowed = max(1.0, TOLERATED * budget * days)  # an hour cannot tell one a day from none
    return at_most(f"{what}, {days * 24 * 60:.0f} minutes", Estimate(count, count, count, 1), allowed, "{:.0f}".format)


EVALUATION: Final = Evaluation(
    name="false_alarms",
    shows="How many findings a day about traffic in which nothing happens, with cycles, noise, heavy tails, gaps and late spans.",
    measure=measure,
    first_seed=700,
)
