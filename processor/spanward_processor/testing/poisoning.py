"""Decisions of a recommender with ingestion channels, and what an attacker, the world or the traffic does to them.

Items are Zipf; each channel has a taste of its own, a permutation of the popular items. A targeted attack replaces a share
of one channel's outputs by one item; a flip turns a share of one class into another in one channel. Without an attacker:
something outside moves all channels alike, or the traffic moves between channels, or nothing happens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from spanward_processor.attribution.leaves import LeafCounts
from spanward_processor.attribution.table import LeafTable
from spanward_processor.kernels.jit import Floats, Ints

CHANNEL: Final = "channel"
DECISION: Final = "decision"
MOST_LEAVES: Final = 1 << 14  # kept of channel and decision; the rest is "other"
_HEAD: Final = 200  # popular items in which tastes differ


class Story(StrEnum):
    """What happens."""

    TARGETED = "targeted item"
    FLIP = "class flip"
    EXTERNAL = "external cause"
    SIMPSON = "traffic moves"
    NOTHING = "nothing"


POISONED: Final = (Story.TARGETED, Story.FLIP)


@dataclass(frozen=True, slots=True)
class PoisonCase:
    """One case.

    Args:
        table: Attributes are channel and decision; sums are rows.
        channel: The poisoned channel, or -1.
        overall: Share of all outputs that moved to another decision.
        information: Nats per row, over all channels, by which the new mix of decisions can be told from the old one.
    """

    table: LeafTable
    channel: int
    overall: float
    information: float


@dataclass(frozen=True, slots=True)
class Recommender:
    """A world of channels and items.

    Args:
        weights: (c,) float64 share of the traffic of each channel.
        tastes: (c, i) float64 share of each item in each channel.
    """

    weights: Floats
    tastes: Floats

    @classmethod
    def drawn(cls, channels: int, items: int, rng: np.random.Generator) -> "Recommender":
        """Return a world; with fewer than a hundred items they are classes of similar frequency."""
        weights = rng.dirichlet(np.full(channels, 5.0))
        popularity = 1.0 / np.arange(1, items + 1) if items >= 100 else rng.dirichlet(np.full(items, 5.0))
        popularity /= popularity.sum()
        tastes = np.tile(popularity, (channels, 1))
        head = min(_HEAD, items)
        for taste in tastes:
            taste[:head] = taste[rng.permutation(head)] if items >= 100 else taste[:head]
            taste[:head] *= rng.gamma(5.0, 0.2, head)
            taste /= taste.sum()
        return cls(weights, tastes)


def poison_case(
    story: Story,
    world: Recommender,
    rows: Callable[[float], int],
    usual_rows: int,
    moved: float,
    rng: np.random.Generator,
) -> PoisonCase:
    """Return counts before and after a story begins.

    Args:
        story: What happens.
        world: The recommender.
        rows: Rows after, given the nats per row that the change is worth.
        usual_rows: Rows of the baseline.
        moved: Share of a channel's outputs that move, or of all for an external cause.
        rng: Randomness.
    """
    channels, items = (int(size) for size in world.tastes.shape)
    tastes: Floats = world.tastes.copy()
    weights: Floats = world.weights.copy()
    channel = -1
    if story in POISONED:
        channel = int(rng.integers(channels))
        _move(story, tastes[channel], moved, items, rng)
    elif story is Story.EXTERNAL:
        target = int(rng.integers(items))
        tastes *= 1 - moved
        tastes[:, target] += moved
    elif story is Story.SIMPSON:
        weights = weights[rng.permutation(channels)] * rng.gamma(2.0, 0.5, channels)
        weights /= weights.sum()
    information = float(world.weights @ _divergence(tastes, world.tastes))
    overall = float(world.weights @ np.abs(tastes - world.tastes).sum(axis=1)) / 2
    usual = _counts(world.weights, world.tastes, usual_rows, rng)
    now = _counts(weights, tastes, rows(information), rng)
    return PoisonCase(LeafTable.of((CHANNEL, DECISION), now, usual), channel, overall, information)


def _divergence(new: Floats, old: Floats) -> Floats:
    """Return (c,) float64 Kullback-Leibler divergence of each channel's mix from its old one, nats."""
    return np.asarray((new * np.log(np.maximum(new, 1e-300) / old)).sum(axis=1))


def _move(story: Story, taste: Floats, moved: float, items: int, rng: np.random.Generator) -> None:
    """Change a channel's outputs in place."""
    if story is Story.TARGETED:
        target = int(rng.integers(items))
        taste *= 1 - moved
        taste[target] += moved
        return
    source, target = (int(item) for item in rng.permutation(items)[:2])
    part = min(moved, float(taste[source]))
    taste[source] -= part
    taste[target] += part


def _counts(weights: Floats, tastes: Floats, rows: int, rng: np.random.Generator) -> LeafCounts:
    per_channel = rng.multinomial(rows, weights)
    drawn = [rng.multinomial(count, taste) for count, taste in zip(per_channel, tastes, strict=True)]
    table: Ints = np.array(drawn, np.int64)
    channels, items = np.nonzero(table)
    codes = np.stack((channels, items), axis=1).astype(np.int64)
    return LeafCounts.of(codes, table[channels, items].astype(np.float64)[:, None]).bounded(MOST_LEAVES)
