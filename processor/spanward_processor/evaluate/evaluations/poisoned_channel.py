"""A recommender with one poisoned channel, and three stories in which nobody is to blame.

A poisoned channel is looked at after three times the rows that any test needs at least: `log(K / alpha)` nats, where K is how
many hypotheses are watched. It is stated for channels alone, as if the poisoned item were known beforehand, and for every pair
of channel and item. Beside both stands how many the best test there can be finds in as many rows (`neyman_pearson.py`).
"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from spanward_processor.attribution.answer import Answer, Attribution
from spanward_processor.attribution.attribute import ALPHA, attribute_mix
from spanward_processor.evaluate import neyman_pearson
from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_least, milliseconds, percent, stated
from spanward_processor.evaluate.intervals import over_seeds, share
from spanward_processor.testing.poisoning import CHANNEL, POISONED, PoisonCase, Recommender, Story, poison_case

CASES: Final = 30
SHORT_CASES: Final = 5
CHANNELS: Final = (8, 16, 32, 64)
ITEMS: Final = (8, 1_000, 100_000)
CLASSES: Final = 8
USUAL_ROWS: Final = 2_000_000
MOST_ROWS: Final = 2_000_000
BOUNDS: Final = 3
OVERALL: Final = (0.002, 0.02)
DETECTED: Final = 0.9
NAMED: Final = 0.95


@dataclass(slots=True)
class Tally:
    """What was answered to one story, and how many cases the best test there can be finds."""

    cases: int = 0
    possible: int = 0
    detected: int = 0
    first_right: int = 0
    answers: Counter[str] = field(default_factory=Counter[str])
    seconds: list[float] = field(default_factory=list[float])

    def note(self, case: PoisonCase, found: Attribution, seconds: float) -> None:
        """Add one case."""
        self.cases += 1
        self.detected += found.answer is not Answer.NOTHING
        named = found.causes[0].conditions if found.causes else ()
        self.first_right += case.attack is not None and named == ((CHANNEL, case.attack.channel),)
        self.answers[found.answer.value] += 1
        self.seconds.append(seconds)


def case_of(story: Story, rng: np.random.Generator, *, item_known: bool) -> PoisonCase:
    """Draw a world and a case in which between 0.2 and 2 % of all outputs move."""
    channels = int(rng.choice(CHANNELS))
    items = CLASSES if story is Story.FLIP else int(rng.choice(ITEMS))
    watched = (channels + 1) * (1 if item_known else items)
    while True:
        world = Recommender.drawn(channels, items, rng)
        moved = float(rng.uniform(0.02, 0.2) if story in POISONED else rng.uniform(*OVERALL))
        fixed = int(rng.integers(20_000, 200_000))

        def rows(information: float, fixed: int = fixed) -> int:
            if story not in POISONED:
                return fixed
            return min(MOST_ROWS, math.ceil(BOUNDS * math.log(watched / ALPHA) / information))

        case = poison_case(story, world, rows, USUAL_ROWS, moved, rng)
        if story not in POISONED or OVERALL[0] <= case.overall <= OVERALL[1]:
            return case


def told(story: Story, seeds: range, cases: int, *, item_known: bool) -> Tally:
    """Return what was answered to a story over all seeds."""
    tally = Tally()
    for seed in seeds:
        rng, of_best = (np.random.default_rng([seed, list(Story).index(story), *more]) for more in ((), (1,)))
        for _ in range(cases):
            case = case_of(story, rng, item_known=item_known)
            if case.attack is not None:
                tally.possible += neyman_pearson.finds(case.attack, story, case.world, case.rows, ALPHA, of_best)
            began = time.perf_counter()
            found = attribute_mix(case.table)
            tally.note(case, found, time.perf_counter() - began)
    return tally


def measure(effort: Effort) -> Iterator[Line]:
    """Tell every story; see `Evaluation`."""
    cases = SHORT_CASES if effort.short else CASES
    for story in Story:
        for item_known in (True, False) if story in POISONED else (False,):
            yield from _lines(story, told(story, effort.seeds, cases, item_known=item_known), item_known=item_known)


def _lines(story: Story, tally: Tally, *, item_known: bool) -> Iterator[Line]:
    if story in POISONED:
        bound = f"{BOUNDS} x the bound for {'channels' if item_known else 'channels x items'}"
        yield at_least(f"{story}: detected within {bound}", share(tally.detected, tally.cases), DETECTED, percent)
        yield stated(f"{story}: detected by the best test there can be", share(tally.possible, tally.cases), percent)
        first = share(tally.first_right, tally.detected)
        yield at_least(f"{story}: channel named first, once detected, {bound}", first, NAMED, percent)
    else:
        blameless = tally.cases - tally.answers[Answer.CAUSES.value]
        yield at_least(f"{story}: nobody blamed", share(blameless, tally.cases), NAMED, percent)
    yield stated(f"{story}: mean time of a case", over_seeds(tally.seconds), milliseconds)


EVALUATION: Final = Evaluation(
    name="poisoned_channel",
    shows="2 to 20 % of one channel's outputs moved, 0.2 to 2 % of all: is it found, and is the right channel named?",
    measure=measure,
    first_seed=200,
)
