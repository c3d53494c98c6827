"""A recommender with one poisoned channel, and three stories in which nobody is to blame.

Run as `PYTHONPATH=tests python tests/benchmarks/quality/poisoned_channel.py [--seeds N] [--cases N] [--short]`. A poisoned
channel is looked at after three times the rows that any test needs at least: `log(K / alpha)` nats, where K is how many
hypotheses are watched. It is stated for channels alone, as if the poisoned item were known beforehand, and for every pair
of channel and item.
"""

import argparse
import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks.quality.intervals import share
from spanward_processor.attribution.answer import Answer, Attribution
from spanward_processor.attribution.attribute import ALPHA, attribute_mix
from spanward_processor.testing.poisoning import CHANNEL, POISONED, PoisonCase, Recommender, Story, poison_case

FIRST_SEED: Final = 200  # 0 to 59 and 100 to 109 were used while this was built
CHANNELS: Final = (8, 16, 32, 64)
ITEMS: Final = (8, 1_000, 100_000)
CLASSES: Final = 8
USUAL_ROWS: Final = 2_000_000
MOST_ROWS: Final = 2_000_000
BOUNDS: Final = 3
OVERALL: Final = (0.002, 0.02)


@dataclass(slots=True)
class Tally:
    """What was answered to one story."""

    cases: int = 0
    detected: int = 0
    first_right: int = 0
    answers: Counter[str] = field(default_factory=Counter[str])
    seconds: list[float] = field(default_factory=list[float])

    def note(self, case: PoisonCase, found: Attribution, seconds: float) -> None:
        """Add one case."""
        self.cases += 1
        self.detected += found.answer is not Answer.NOTHING
        named = found.causes[0].conditions if found.causes else ()
        self.first_right += case.channel >= 0 and named == ((CHANNEL, case.channel),)
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
        rng = np.random.default_rng([seed, list(Story).index(story)])
        for _ in range(cases):
            case = case_of(story, rng, item_known=item_known)
            began = time.perf_counter()
            found = attribute_mix(case.table)
            tally.note(case, found, time.perf_counter() - began)
    return tally


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--cases", type=int, default=30)
    options.add_argument("--short", action="store_true", help="two seeds of five cases")
    chosen = options.parse_args()
    count, cases = (2, 5) if chosen.short else (chosen.seeds, chosen.cases)
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    print(f"seeds {seeds.start} to {seeds.stop - 1}, {cases} cases each, alpha {ALPHA}; load {os.getloadavg()[0]:.1f}")
    for story in Story:
        for item_known in (True, False) if story in POISONED else (False,):
            show(story, told(story, seeds, cases, item_known=item_known), item_known=item_known)


def show(story: Story, tally: Tally, *, item_known: bool) -> None:
    """Print what was answered."""
    print(f"{story.value}: {', '.join(f'{answer} {number}' for answer, number in tally.answers.most_common())}")
    if story in POISONED:
        watched = "channels" if item_known else "channels x items"
        print(
            f"    detected within {BOUNDS} x the bound for {watched}: {share(tally.detected, tally.cases)}, to reach 90 %"
        )
        print(f"    channel named first, once detected: {share(tally.first_right, tally.detected)}, to reach 95 %")
    else:
        blameless = tally.cases - tally.answers[Answer.CAUSES.value]
        print(f"    nobody blamed {share(blameless, tally.cases)}, to reach 95 %")
    median, high = np.quantile(tally.seconds, (0.5, 0.95))
    print(f"    {1e3 * median:.0f} / {1e3 * high:.0f} ms a case (median / p95)")


if __name__ == "__main__":
    main()
