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
SCORE_SPREAD: Final = FIRST_DECISION + MOST_DECISIONS
COLUMNS: Final = SCORE_SPREAD + 1

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


@dataclass(frozen=True, slots=True)
class Served:
    """The cells of a window that are of two versions, sorted by feature.

    Args:
        places: (n,) int64 `arm * GROUPS + group` of each; arm 0 is the stable version, arm 1 the canary.
        bins: (n,) int64.
        counts: (n,) float64.
        ends: Where the cells of each feature end.
    """

    places: Ints
    bins: Ints
    counts: Floats
    ends: Sequence[int] = ()

    @classmethod
    def of(cls, cells: Cells, arms: tuple[int, int]) -> "Served":
        """Return what two seats served; a key is `seat * GROUPS + group`."""
        keys, features = cells.keys, cells.features
        seats = keys // GROUPS
        (ours,) = np.nonzero(((seats == arms[0]) | (seats == arms[1])) & (cells.bins != OTHER))
        ours = ours[np.argsort(features[ours], kind="stable")]
        ends = np.searchsorted(features[ours], np.arange(len(Aspect)), side="right")
        places = (seats[ours] == arms[1]) * GROUPS + keys[ours] % GROUPS
        return cls(places, cells.bins[ours], cells.counts[ours], ends.tolist())

    def only(self, feature: int) -> "Served":
        """Return what is of one feature."""
        part = slice(self.ends[feature - 1] if feature else 0, self.ends[feature])
        return Served(self.places[part], self.bins[part], self.counts[part])

    def where(self, chosen: Flags) -> "Served":
        """Return the chosen cells of one feature."""
        return Served(self.places[chosen], self.bins[chosen], self.counts[chosen])


def stratum_of(
    served: Served, tails: Sequence[float], decisions: Sequence[int], usual_score: float = math.nan
) -> Stratum:
    """Return what a window holds of two versions.

    Args:
        served: Their cells.
        tails: Bins above which a request is slow, by quantile.
        decisions: Codes of the decisions that are compared; at most `MOST_DECISIONS`.
        usual_score: Mean score of both arms so far; NaN where none is known.
    """
    made = Stratum.empty()

    def note(column: int, of: Served, values: Floats) -> None:
        weighted = of.counts * values
        made.rows[column] = counted(of.places, of.counts, 2 * GROUPS).reshape(2, GROUPS)
        made.sums[column] = counted(of.places, weighted, 2 * GROUPS).reshape(2, GROUPS)
        made.squares[column] = float(weighted @ values)

    for column, feature in enumerate(_LOGS):
        if (of := served.only(feature)).bins.size:
            of = of.where(of.bins > ZERO)  # nothing has no logarithm
            note(column, of, (of.bins.astype(np.float64) + 0.5) * (math.log(2) / SCALE))
    if (of := served.only(Aspect.SCORE)).bins.size:
        of = of.where((of.bins >= 0) & (of.bins < UNIT_BINS))
        scores = (of.bins.astype(np.float64) + 0.5) / UNIT_BINS
        note(SCORE, of, scores)
        if not math.isnan(usual_score):
            note(SCORE_SPREAD, of, np.abs(scores - usual_score))
    of = served.only(Aspect.ERROR)
    note(ERRORS, of, of.bins.astype(np.float64))
    of = served.only(Aspect.LATENCY)
    for number, edge in enumerate(tails):
        note(FIRST_TAIL + number, of, (of.bins > edge).astype(np.float64))
    of = served.only(Aspect.DECISION)
    for number, code in enumerate(decisions):
        note(FIRST_DECISION + number, of, (of.bins == code).astype(np.float64))
    return made


def clients_of(served: Served) -> tuple[Ints, Floats]:
    """Return (k,) int64 codes of the clients in a window, and (k, 2) float64 their rows by arm."""
    of = served.only(Aspect.CLIENT)
    codes, places = np.unique(of.bins, return_inverse=True)
    return codes, counted(places * 2 + of.places // GROUPS, of.counts, 2 * codes.size).reshape(-1, 2)


def latency_of(served: Served) -> tuple[Ints, Floats]:
    """Return (n,) int64 bins of both arms' latency in a window, some more than once, and (n,) float64 rows in each."""
    of = served.only(Aspect.LATENCY)
    return of.bins, of.counts


def decisions_of(served: Served) -> list[int]:
    """Return the codes of the decisions in a window, most frequent first."""
    of = served.only(Aspect.DECISION)
    if not of.bins.size:
        return []
    codes, places = np.unique(of.bins, return_inverse=True)
    counts = counted(places, of.counts, codes.size)
    return [int(code) for code in codes[np.argsort(-counts, kind="stable")]]


def counted(places: Ints, counts: Floats, size: int) -> Floats:
    """Return (size,) float64 the sum of the counts at each place."""
    return np.bincount(places, counts, size).astype(np.float64, copy=False)
