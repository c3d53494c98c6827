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
class Attack:
    """What an attacker does to one channel.

    Args:
        channel: The poisoned channel.
        source: The decision that is told as another; -1 where all lose alike.
        target: The decision that gains.
        moved: Share of the channel's outputs that move, as far as the source has them.
    """

    channel: int
    source: int
    target: int
    moved: float

    @classmethod
    def drawn(cls, story: Story, channel: int, items: int, moved: float, rng: np.random.Generator) -> "Attack":
        """Return one whose decisions are drawn, each as likely as any other."""
        if story is Story.TARGETED:
            return cls(channel, -1, int(rng.integers(items)), moved)
        source, target = (int(item) for item in rng.permutation(items)[:2])
        return cls(channel, source, target, moved)

    def on(self, taste: Floats) -> Floats:
        """Return (i,) float64 what becomes of the channel's taste."""
        new: Floats = taste.copy()
        if self.source < 0:
            new *= 1 - self.moved
            new[self.target] += self.moved
        else:
            part = min(self.moved, float(new[self.source]))
            new[self.source] -= part
            new[self.target] += part
        return new

    def chance(self, taste: Floats, decisions: Ints) -> Floats:
        """Return (n,) float64 how likely each output of the channel is moved to the target.

        Args:
            taste: (i,) float64 before.
            decisions: (n,) int64 what would have been decided.
        """
        if self.source < 0:
            return np.full(decisions.size, self.moved)
        return np.where(decisions == self.source, min(self.moved / taste[self.source], 1.0), 0.0)


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


@dataclass(frozen=True, slots=True)
class PoisonCase:
    """One case.

    Args:
        table: Attributes are channel and decision; sums are rows.
        world: The recommender before.
        attack: What was done to it; None where nobody attacks.
        overall: Share of all outputs that moved to another decision.
        rows: Rows after.
        information: Nats per row, over all channels, by which the new mix of decisions can be told from the old one.
    """

    table: LeafTable
    world: Recommender
    attack: Attack | None
    overall: float
    rows: int
    information: float


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
    attack: Attack | None = None
    if story in POISONED:
        attack = Attack.drawn(story, int(rng.integers(channels)), items, moved, rng)
        tastes[attack.channel] = attack.on(tastes[attack.channel])
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
    after = rows(information)
    now = _counts(weights, tastes, after, rng)
    return PoisonCase(LeafTable.of((CHANNEL, DECISION), now, usual), world, attack, overall, after, information)


def _divergence(new: Floats, old: Floats) -> Floats:
    """Return (c,) float64 Kullback-Leibler divergence of each channel's mix from its old one, nats."""
    return np.asarray((new * np.log(np.maximum(new, 1e-300) / old)).sum(axis=1))


def _counts(weights: Floats, tastes: Floats, rows: int, rng: np.random.Generator) -> LeafCounts:
    per_channel = rng.multinomial(rows, weights)
    drawn = [rng.multinomial(count, taste) for count, taste in zip(per_channel, tastes, strict=True)]
    table: Ints = np.array(drawn, np.int64)
    channels, items = np.nonzero(table)
    codes = np.stack((channels, items), axis=1).astype(np.int64)
    return LeafCounts.of(codes, table[channels, items].astype(np.float64)[:, None]).bounded(MOST_LEAVES)
