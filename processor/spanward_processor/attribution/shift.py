"""What each leaf did against what it was expected to do: the form in which rates, means and amounts are searched alike.

A leaf is one combination of attribute values. Its shift is observed less expected, and the variance says how large a
shift chance alone would make. Both add up over leaves, so any set of leaves has a shift and a variance too.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Floats, Ints

PRIOR_ROWS: Final = 20.0  # rows that a leaf's own past must outweigh before it is believed over its neighbours'
_FEWEST_EXPECTED: Final = 1e-9
_FINEST_FORECAST: Final = 0.01**2  # no forecast is taken to be better than one percent


class Kind(StrEnum):
    """What the shifts are."""

    COUNTS = "counts"  # events more or less than expected; their tail is not a bell's
    SUMS = "sums"  # of numbers
    CHANGES = "changes"  # relative ones, which do not add up to anything that was asked


@dataclass(frozen=True, slots=True)
class LeafShift:
    """The shift of every leaf.

    Args:
        codes: (l, a) int64 value of each attribute.
        shift: (l,) float64 observed less expected.
        variance: (l,) float64 of the shift while nothing has changed.
        size: (l,) float64 what a change by a common factor would multiply: expected events, rows, or one.
        weight: (l,) float64 share of the traffic now; sums to one.
        kind: What the shifts are.
        hidden: (2, l) float64 how much the shift could be smaller, and larger, since events were folded into "other".
    """

    codes: Ints
    shift: Floats
    variance: Floats
    size: Floats
    weight: Floats
    kind: Kind
    hidden: Floats

    def __len__(self) -> int:
        """Return the number of leaves."""
        return int(self.shift.size)


def rate_shift(
    codes: Ints,
    hits: Floats,
    rows: Floats,
    usual_hits: Floats,
    usual_rows: Floats,
    hidden: tuple[Floats, Floats] | None = None,
) -> LeafShift:
    """Return the shift of a rate: hits among rows, now against usually.

    Each leaf is expected to keep its own rate, so a change of the traffic's mix shifts nothing. A leaf with little past
    borrows from its neighbours: from the product of what its attribute values do on their own.

    Args:
        codes: (l, a) int64.
        hits: (l,) float64 events now: errors, or rows with a decision of interest.
        rows: (l,) float64 rows now.
        usual_hits: (l,) float64 events in the baseline.
        usual_rows: (l,) float64 rows in the baseline.
        hidden: (l,) float64 events that may lie in "other", now and in the baseline; none where not given.
    """
    neighbours = _borrowed_rates(codes, usual_hits, usual_rows)
    rate = np.clip((usual_hits + PRIOR_ROWS * neighbours) / (usual_rows + PRIOR_ROWS), 0.0, 1.0)
    expected = np.maximum(rows * rate, _FEWEST_EXPECTED)
    variance = np.maximum(expected * (1 - rate), _FEWEST_EXPECTED) * (1 + rows / (usual_rows + PRIOR_ROWS))
    unseen = np.zeros((2, rows.size))
    if hidden is not None:
        unseen[0], unseen[1] = hidden[1] * rows / (usual_rows + PRIOR_ROWS), hidden[0]
    weight = rows / max(float(rows.sum()), 1.0)
    return LeafShift(codes, hits - expected, variance, expected, weight, Kind.COUNTS, unseen)


def added(places: Ints, values: Floats, size: int) -> Floats:
    """Return (size,) float64 the sum of the values at each place."""
    return np.bincount(places, values, size).astype(np.float64, copy=False)


def _borrowed_rates(codes: Ints, hits: Floats, rows: Floats) -> Floats:
    """Return (l,) float64 the rate of each leaf if its attributes' values acted independently of each other."""
    overall = (float(hits.sum()) + 0.5) / (float(rows.sum()) + 1.0)
    log_rates = np.full(rows.size, np.log(overall))
    for column in codes.T:
        _, places = np.unique(column, return_inverse=True)
        of_value = (np.bincount(places, hits) + PRIOR_ROWS * overall) / (np.bincount(places, rows) + PRIOR_ROWS)
        log_rates += np.log(of_value / overall)[places]
    return np.asarray(np.exp(np.minimum(log_rates, 0.0)))


def mean_shift(
    codes: Ints, sums: Floats, squares: Floats, rows: Floats, usual: tuple[Floats, Floats, Floats]
) -> LeafShift:
    """Return the shift of a sum of numbers, where each leaf is expected to keep its own mean.

    Args:
        codes: (l, a) int64.
        sums: (l,) float64 sum of the numbers now.
        squares: (l,) float64 sum of their squares.
        rows: (l,) float64 how many.
        usual: The same three of the baseline.
    """
    usual_sums, usual_squares, usual_rows = usual
    both = float(rows.sum() + usual_rows.sum())
    centre = float(sums.sum() + usual_sums.sum()) / max(both, 1.0)
    mean = (usual_sums + PRIOR_ROWS * _borrowed_means(codes, usual_sums, usual_rows, centre)) / (
        usual_rows + PRIOR_ROWS
    )
    spread = max(float(squares.sum() + usual_squares.sum()) / max(both, 1.0) - centre * centre, _FEWEST_EXPECTED)
    own = _own_variance(sums + usual_sums, squares + usual_squares, rows + usual_rows, spread)
    variance = np.maximum(rows, _FEWEST_EXPECTED) * own * (1 + rows / (usual_rows + PRIOR_ROWS))
    weight = rows / max(float(rows.sum()), 1.0)
    return LeafShift(codes, sums - rows * mean, variance, rows, weight, Kind.SUMS, np.zeros((2, rows.size)))


def _borrowed_means(codes: Ints, sums: Floats, rows: Floats, overall: float) -> Floats:
    means = np.full(rows.size, overall)
    for column in codes.T:
        _, places = np.unique(column, return_inverse=True)
        of_value = (np.bincount(places, sums) + PRIOR_ROWS * overall) / (np.bincount(places, rows) + PRIOR_ROWS)
        means += of_value[places] - overall
    return means


def _own_variance(sums: Floats, squares: Floats, rows: Floats, spread: float) -> Floats:
    """Return (l,) float64 variance of one number in each leaf, drawn towards the one of all where rows are few."""
    mean = sums / np.maximum(rows, 1.0)
    within = np.maximum(squares - rows * mean * mean, 0.0)
    return np.asarray((within + PRIOR_ROWS * spread) / (np.maximum(rows - 1.0, 0.0) + PRIOR_ROWS))


def amount_shift(codes: Ints, amounts: Floats, forecasts: Floats) -> LeafShift:
    """Return the shift of amounts against a forecast whose error is unknown, in relative terms.

    The relative change `(amount - forecast) / max(amount, forecast)` lies in -1..1 and treats rise and fall alike. A
    forecast that is off by a constant factor moves all leaves of a cause by the same relative change (the ripple effect;
    Sun et al., "HotSpot", IEEE Access 2018). Its usual size is learned from the leaves themselves.

    Args:
        codes: (l, a) int64.
        amounts: (l,) float64, not negative.
        forecasts: (l,) float64, not negative.
    """
    larger = np.maximum(amounts, forecasts)
    known = larger > 0
    shift = np.divide(amounts - forecasts, larger, out=np.zeros(amounts.size), where=known)
    weight = amounts + forecasts
    return LeafShift(
        codes,
        shift,
        np.where(known, _FINEST_FORECAST, 0.0),
        np.ones(shift.size),
        weight / max(float(weight.sum()), 1e-300),
        Kind.CHANGES,
        np.zeros((2, shift.size)),
    )
