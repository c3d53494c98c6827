"""Incidents of one channel, and of all alike, through the real pipeline: does the finding name who is behind it?

Half an hour of encoded spans is learned, then something goes wrong for a quarter of an hour. What counts is the first finding about
what moved, as it opens: the slices it names, strongest first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.configuration.config import Config
from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_least, percent, stated
from spanward_processor.evaluate.intervals import over_seeds, share
from spanward_processor.findings import Finding, State
from spanward_processor.testing.encoding import text_of
from spanward_processor.testing.simulation import simulate
from spanward_processor.testing.worlds import (
    SECOND_NS,
    START_NS,
    Application,
    Incident,
    World,
    classifier,
    recommender,
)

BEGINS_S: Final = 1_800.0
LASTS_S: Final = 900.0
CASES: Final = 4
NAMED: Final = 0.95
_RATE_PER_S: Final = 40.0
_RECOMMENDER: Final = recommender(_RATE_PER_S)


@dataclass(frozen=True, slots=True)
class Story:
    """What happens.

    Args:
        name: What a person calls it.
        application: To whom.
        aspect: Aspect of the findings about it.
        incident: Channel, -1 for all, to what goes wrong there.
        alike: Whether all channels suffer alike, and nobody is to be named.
        item: Item to which outputs move, which the finding is to name too; -1 where none do.
    """

    name: str
    application: Application
    aspect: str
    incident: Callable[[int], Incident]
    alike: bool = False
    item: int = -1


STORIES: Final = (
    Story(
        "30 % of the outputs of one of 16 channels moved",
        _RECOMMENDER,
        "decision",
        lambda channel: Incident(BEGINS_S, channel, moved=0.3),
        item=_RECOMMENDER.decisions - 1,
    ),
    Story(
        "one of 4 channels takes half as long again",
        classifier(_RATE_PER_S),
        "latency",
        lambda channel: Incident(BEGINS_S, channel, slower=1.5),
    ),
    Story(
        "a tenth of the calls of one of 4 channels fails",
        classifier(_RATE_PER_S),
        "error",
        lambda channel: Incident(BEGINS_S, channel, failing=0.1),
    ),
    Story(
        "all channels take half as long again",
        classifier(_RATE_PER_S),
        "latency",
        lambda channel: Incident(BEGINS_S, channel, slower=1.5),
        alike=True,
    ),
    Story(
        "5 % of the outputs of all channels moved",
        _RECOMMENDER,
        "decision",
        lambda channel: Incident(BEGINS_S, channel, moved=0.05),
        alike=True,
        item=_RECOMMENDER.decisions - 1,
    ),
    Story(
        "40 % of one class of one of 4 channels told as another",
        classifier(_RATE_PER_S),
        "decision",
        lambda channel: Incident(BEGINS_S, channel, flipped=0.4),
    ),
)


def told(story: Story, rng: np.random.Generator) -> tuple[Finding | None, int]:
    """Return the first finding about a story, None where there is none, and the channel behind it, -1 for all."""
    channel = -1 if story.alike else int(rng.integers(story.application.channels))
    config = Config()
    settings = config.detection.as_settings()
    world = World(story.application, rng, settings.window_s, story.incident(channel))
    changes = simulate([world], BEGINS_S + LASTS_S, settings, config.limits.as_settings()).changes
    begins_ns = START_NS + round(BEGINS_S * SECOND_NS)
    found = (one for one in changes if one.state is State.OPENED and one.aspect == story.aspect)
    return next((one for one in found if one.opened_ns > begins_ns), None), channel


def is_right(finding: Finding, channel: int) -> bool:
    """Return whether a finding speaks of the channel or names it first, or names nobody where all suffered alike."""
    spoken_of = [finding.series.slice[1]] if finding.series.slice and channel >= 0 else []
    named = spoken_of + [one.value for one in finding.slices]
    return not named if channel < 0 else named[:1] == [text_of(channel)]


def measure(effort: Effort) -> Iterator[Line]:
    """Tell every story; see `Evaluation`."""
    for number, story in enumerate(STORIES):
        rngs = (
            np.random.default_rng([seed, number, case])
            for seed in effort.seeds
            for case in range(1 if effort.short else CASES)
        )
        every = [told(story, rng) for rng in rngs]
        found = [(finding, channel) for finding, channel in every if finding]
        waited = [(finding.opened_ns - START_NS) / SECOND_NS - BEGINS_S for finding, _ in found]
        right = sum(is_right(finding, channel) for finding, channel in found)
        yield stated(f"{story.name}: found within {LASTS_S:.0f} s", share(len(found), len(every)), percent)
        yield stated(f"{story.name}: found after", over_seeds(waited), "{:.0f} s".format)
        verdict = "nobody named" if story.alike else "the channel named first"
        yield at_least(f"{story.name}: {verdict}, once found", share(right, len(found)), NAMED, percent)
        if story.item >= 0:
            told_of = sum(text_of(story.item) in finding.observed for finding, _ in found)
            yield at_least(f"{story.name}: the item named, once found", share(told_of, len(found)), NAMED, percent)


EVALUATION: Final = Evaluation(
    name="attributed_findings",
    shows="Incidents through the real pipeline: are they found, is the channel behind them named, and nobody where all suffer alike?",
    measure=measure,
    first_seed=900,
)
