"""The best test there can be of "one channel is poisoned", to hold what was found against.

It knows each channel's usual mix exactly and how much the attacker moves; it only does not know which channel and which
decisions. For a given number of rows, of all tests with the same chance of a false alarm none finds more on average over
those: the likelihood of the mixture of all attacks over that of none, from a bound on that is exactly as rare as allowed. How
rare it is follows from draws of the attacks themselves, each weighed by the inverse of its ratio.

Source: Neyman and Pearson, "On the problem of the most efficient tests of statistical hypotheses", Philosophical Transactions
A 231 (1933), section III; Siegmund, "Importance sampling in the Monte Carlo study of sequential tests", Annals of Statistics 4 (1976).
"""

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.testing.poisoning import Attack, Recommender, Story

_DRAWS: Final = 200  # of attacks, for the bound

Made: TypeAlias = tuple[Ints, Ints]  # decisions that a channel made, ascending, and how often


def finds(attack: Attack, story: Story, world: Recommender, rows: int, alpha: float, rng: np.random.Generator) -> bool:
    """Return whether it finds an attack, in rows that are drawn for it.

    Args:
        attack: The attack.
        story: Of which kind it is known to be.
        world: The recommender before.
        rows: How many rows it is given.
        alpha: Chance of a finding while nothing has changed.
        rng: Randomness.
    """
    channels, items = (int(size) for size in world.tastes.shape)
    cumulative: Floats = np.cumsum(world.tastes, axis=1)

    def evidence(of: Attack) -> float:
        return log_ratio(world, story, attack.moved, drawn(world, cumulative, of, rows, rng))

    tried = [Attack.drawn(story, int(rng.integers(channels)), items, attack.moved, rng) for _ in range(_DRAWS)]
    reached: Floats = np.sort(np.array([evidence(other) for other in tried]))[::-1]
    chance: Floats = np.cumsum(np.exp(-reached)) / _DRAWS
    bound = reached[min(int(np.searchsorted(chance, alpha)), _DRAWS - 1)]
    return bool(evidence(attack) >= bound)


def drawn(
    world: Recommender, cumulative: Floats, attack: Attack | None, rows: int, rng: np.random.Generator
) -> list[Made]:
    """Return what each channel decides in some rows.

    Args:
        world: The recommender before.
        cumulative: (c, i) float64 sums of its tastes up to each decision.
        attack: What is done to it, if anything.
        rows: How many rows.
        rng: Randomness.
    """
    made: list[Made] = []
    counts: list[int] = rng.multinomial(rows, world.weights).tolist()
    for channel, count in enumerate(counts):
        sums = cumulative[channel]
        drawn_at: Floats = rng.random(count) * sums[-1]
        decisions: Ints = np.searchsorted(sums, drawn_at)
        if attack is not None and channel == attack.channel:
            moves: Flags = rng.random(count) < attack.chance(world.tastes[channel], decisions)
            decisions[moves] = attack.target
        made.append(np.unique(decisions, return_counts=True))
    return made


def log_ratio(world: Recommender, story: Story, moved: float, made: Sequence[Made]) -> float:
    """Return the logarithm of the likelihood under the mixture of all attacks over that under none.

    Args:
        world: The recommender before.
        story: The attacks.
        moved: Share of the channel's outputs that each of them moves.
        made: What each channel decided.
    """
    of_channel = _targeted if story is Story.TARGETED else _flipped
    parts = [of_channel(taste, moved, *its) for taste, its in zip(world.tastes, made, strict=True)]
    return float(np.logaddexp.reduce(parts)) - math.log(len(parts))


def _targeted(taste: Floats, moved: float, decisions: Ints, counts: Ints) -> float:
    """Return the log of the mean ratio over every target; those that were not decided are alike."""
    gained = counts * np.log1p(moved / ((1 - moved) * taste[decisions]))
    others = taste.size - decisions.size
    ratio = np.logaddexp(np.logaddexp.reduce(gained, initial=-np.inf), math.log(others) if others else -np.inf)
    return float(ratio) + int(counts.sum()) * math.log1p(-moved) - math.log(taste.size)


def _flipped(taste: Floats, moved: float, decisions: Ints, counts: Ints) -> float:
    """Return the log of the mean ratio over every pair of source and target."""
    rows = np.zeros(taste.size)
    rows[decisions] = counts
    part = np.minimum(moved, taste)
    left = np.log(np.maximum(1 - part / taste, 1e-300))
    pairs = (rows * left)[:, None] + rows * np.log1p(part[:, None] / taste)
    np.fill_diagonal(pairs, -np.inf)
    return float(np.logaddexp.reduce(pairs, axis=None)) - math.log(taste.size * (taste.size - 1))
