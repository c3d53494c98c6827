"""What of two versions is compared: a column is a number per row, or whether something happened to it.

A stratum holds each column's sums by arm and group of clients. It is computed from a window's cells, so windows of several
processes merge first; no row is looked at.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.features import Aspect
from spanward_processor.kernels.binning import SCALE, UNIT_BINS, ZERO
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import OTHER
from spanward_processor.windows.cells import Cells

GROUPS: Final = 64
"""Groups of clients: a client is always in the same."""

TAILS: Final = (0.99, 0.999)
"""Quantiles of both versions' latency, beyond which a request is slow."""

MOST_DECISIONS: Final = 16
_LOGS: Final = (Aspect.LATENCY, Aspect.INPUT_TOKENS, Aspect.OUTPUT_TOKENS)
LATENCY, INPUT_TOKENS, OUTPUT_TOKENS, SCORE, ERRORS = range(5)
FIRST_TAIL: Final = 5
FIRST_DECISION: Final = FIRST_TAIL + len(TAILS)
COLUMNS: Final = FIRST_DECISION + MOST_DECISIONS

EVENTS: Final = np.arange(ERRORS, FIRST_DECISION)
"""Columns of what seldom happens: errors, and slow requests."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """What both arms showed in the same stretch of time; arm 0 is the stable version, arm 1 the canary.

    Args:
        rows: (c, 2, g) float64 rows that say something, by column, arm and group.
        sums: (c, 2, g) float64 sum of what they say.
        squares: (c,) float64 sum of its squares.
    """

    rows: Floats
    sums: Floats
    squares: Floats

    @classmethod
    def empty(cls) -> "Stratum":
        """Return one in which nothing happened."""
        return cls(np.zeros((COLUMNS, 2, GROUPS)), np.zeros((COLUMNS, 2, GROUPS)), np.zeros(COLUMNS))

    def __add__(self, other: "Stratum") -> "Stratum":
        """Return the stratum of both."""
        return Stratum(self.rows + other.rows, self.sums + other.sums, self.squares + other.squares)

    def only(self, column: int) -> "Stratum":
        """Return what it says of one column."""
        kept = Stratum.empty()
        kept.rows[column], kept.sums[column] = self.rows[column], self.sums[column]
        kept.squares[column] = self.squares[column]
        return kept

    def arm_rows(self, arm: int) -> float:
        """Return the rows of an arm: each says whether it failed."""
        return float(self.rows[ERRORS, arm].sum())


def stratum_of(cells: Cells, arms: tuple[int, int], tails: Sequence[float], decisions: Sequence[int]) -> Stratum:
    """Return what a window holds of two versions.

    Args:
        cells: The window's cells; a key is `slot * GROUPS + group`.
        arms: Slots of the stable version and the canary.
        tails: Bins above which a request is slow, by quantile.
        decisions: Codes of the decisions that are compared; at most `MOST_DECISIONS`.
    """
    made = Stratum.empty()
    slots = cells.keys // GROUPS
    ours = cells.where((slots == arms[0]) | (slots == arms[1]))
    arm, group = (ours.keys // GROUPS == arms[1]).astype(np.int64), ours.keys % GROUPS
    places = arm * GROUPS + group
    features, known = ours.features, ours.bins != OTHER

    def note(column: int, chosen: Flags, values: Floats) -> None:
        at, counts = places[chosen], ours.counts[chosen]
        shape = (2, GROUPS)
        made.rows[column] = np.bincount(at, counts, 2 * GROUPS).reshape(shape)
        made.sums[column] = np.bincount(at, counts * values, 2 * GROUPS).reshape(shape)
        made.squares[column] = float((counts * values * values).sum())

    for column, aspect in enumerate(_LOGS):
        chosen = (features == aspect) & known & (ours.bins > ZERO)
        note(column, chosen, (ours.bins[chosen].astype(float) + 0.5) * (math.log(2) / SCALE))
    chosen = (features == Aspect.SCORE) & (ours.bins >= 0) & (ours.bins < UNIT_BINS)
    note(SCORE, chosen, (ours.bins[chosen] + 0.5) / UNIT_BINS)
    chosen = features == Aspect.ERROR
    note(ERRORS, chosen, ours.bins[chosen].astype(float))
    chosen = (features == Aspect.LATENCY) & known
    for number, edge in enumerate(tails):
        note(FIRST_TAIL + number, chosen, (ours.bins[chosen] > edge).astype(float))
    chosen = features == Aspect.DECISION
    for number, code in enumerate(decisions):
        note(FIRST_DECISION + number, chosen, (ours.bins[chosen] == code).astype(float))
    return made


def clients_of(cells: Cells, arms: tuple[int, int]) -> tuple[Ints, Floats]:
    """Return (k,) int64 codes of the clients in a window, and (k, 2) float64 their rows by arm."""
    slots = cells.keys // GROUPS
    ours = cells.where((cells.features == Aspect.CLIENT) & np.isin(slots, arms) & (cells.bins != OTHER))
    codes, places = np.unique(ours.bins, return_inverse=True)
    arm = (ours.keys // GROUPS == arms[1]).astype(np.int64)
    return codes, counted(places * 2 + arm, ours.counts, 2 * codes.size).reshape(-1, 2)


def latency_of(cells: Cells, arms: tuple[int, int]) -> tuple[Ints, Floats]:
    """Return (b,) int64 bins of both arms' latency in a window, in order, and (b,) float64 rows in each."""
    slots = cells.keys // GROUPS
    ours = cells.where((cells.features == Aspect.LATENCY) & np.isin(slots, arms) & (cells.bins != OTHER))
    bins, places = np.unique(ours.bins, return_inverse=True)
    return bins, counted(places, ours.counts, bins.size)


def decisions_of(cells: Cells, arms: tuple[int, int]) -> list[int]:
    """Return the codes of the decisions in a window, most frequent first."""
    slots = cells.keys // GROUPS
    ours = cells.where((cells.features == Aspect.DECISION) & np.isin(slots, arms) & (cells.bins != OTHER))
    codes, places = np.unique(ours.bins, return_inverse=True)
    counts = counted(places, ours.counts, codes.size)
    return [int(code) for code in codes[np.argsort(-counts, kind="stable")]]


def counted(places: Ints, counts: Floats, size: int) -> Floats:
    """Return (size,) float64 the sum of the counts at each place."""
    return np.bincount(places, counts, size).astype(np.float64)
