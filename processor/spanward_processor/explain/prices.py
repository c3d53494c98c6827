"""What data cost before: seconds of a call by its tokens, sizes, sparsity and batch, learned by least squares."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from spanward_processor.explain.measured import DATA, Measured
from spanward_processor.kernels.jit import Flags, Floats, Ints

KNEES: Final = (0.5, 0.9)
"""Quantiles of a driver at which its price may change, since attention and batching are no straight lines."""

_KNOWN: Final = 0.5  # share of rows that must tell a driver, in both times
_SEEN: Final = (0.01, 0.99)  # quantiles of before between which a price of then holds
_CONSTANT: Final = 1e-3  # standard deviation by mean, below which a driver did not vary
_RIDGE: Final = 1e-5  # of the variance: only keeps columns that say the same from being undetermined
_FEWEST_OF_GROUP: Final = 10
_LEAST_SPREAD: Final = 0.05  # of the mean spread, which no prediction falls below


@dataclass(frozen=True, slots=True)
class Prices:
    """What data cost, learned of one time.

    Args:
        drivers: (d,) int64 places in `DATA` that have a price.
        centers: (d,) float64 their means.
        knees: (d, 2) float64 where their price may change; NaN for none.
        slopes: (d, 3) float64 seconds per unit, and how much more beyond each knee.
        groups: (g,) int64 groups that have a level of their own, ascending.
        levels: (g,) float64 seconds of each at the centers.
        level: Seconds of all together.
        spread: (2,) float64 how far rows scatter: seconds, and that for each second predicted.
    """

    drivers: Ints
    centers: Floats
    knees: Floats
    slopes: Floats
    groups: Ints
    levels: Floats
    level: float
    spread: Floats

    def of_data(self, rows: Measured) -> Floats:
        """Return (d, n) float64 seconds that each driver adds to the level; none where a row does not tell it."""
        columns = _columns(rows.data[self.drivers], self.centers, self.knees)
        return np.asarray((columns * self.slopes[:, :, None]).sum(axis=1))

    def of_group(self, groups: Ints) -> Floats:
        """Return (n,) float64 the level of each row's group; NaN where it was not known."""
        if not self.groups.size:
            return np.full(groups.size, np.nan)
        places = np.minimum(np.searchsorted(self.groups, groups), self.groups.size - 1)
        return np.asarray(np.where(self.groups[places] == groups, self.levels[places], np.nan))

    def of_all(self, rows: Measured) -> Floats:
        """Return (n,) float64 seconds of rows as one would expect them: their level and what their data adds."""
        own = self.of_group(rows.groups)
        return np.asarray(np.where(np.isnan(own), self.level, own) + self.of_data(rows).sum(axis=0))

    def scatter(self, data_s: Floats) -> Floats:
        """Return (n,) float64 how far a row of so many seconds of data usually lies from its price, seconds."""
        wide = self.spread[0] + self.spread[1] * data_s
        return np.asarray(np.maximum(wide, _LEAST_SPREAD * self.spread[0] + 1e-12))


def learn(before: Measured, now: Measured, before_s: Floats, now_s: Floats) -> tuple[Prices, Ints]:
    """Return the prices of before, and the drivers whose price nobody can tell, though they moved.

    A driver that never varied before has no price of then, and far beyond what was seen before a price of then says nothing: a slope
    that chance gave it would be multiplied. Where such a driver varies now, its price is that of now.

    Args:
        before: Rows from which to learn.
        now: Rows that will be priced.
        before_s: (n,) float64 seconds to be explained by data.
        now_s: (m,) float64 the same of now.
    """
    told = np.array([_told(before, place) and _told(now, place) for place in range(len(DATA))])
    varies = _varied(now)
    varied = told & _varied(before) & ~(varies & _beyond(before, now))
    late = told & ~varied & varies
    drivers = np.flatnonzero(varied)
    prices = _fitted(before, before_s, drivers, _mean_and_sd(before)[0][drivers], _knees(before, drivers))
    if late.any():
        level = np.nan_to_num(prices.of_group(now.groups), nan=prices.level)
        rest_s = now_s - level - prices.of_data(now).sum(axis=0)
        drivers = np.flatnonzero(late)
        unbent = np.full((drivers.size, len(KNEES)), np.nan)
        prices = _with(prices, _fitted(now, rest_s, drivers, _mean_and_sd(before)[0][drivers], unbent))
    moved = told & ~varied & ~late & _moved(before, now)
    return prices, np.flatnonzero(moved)


def fitted(rows: Measured, target_s: Floats, like: Prices) -> Prices:
    """Return the prices of other rows for the same drivers, measured from the same points."""
    return _fitted(rows, target_s, like.drivers, like.centers, like.knees)


def _told(rows: Measured, place: int) -> bool:
    return bool(rows.shares[np.isfinite(rows.data[place])].sum() >= _KNOWN)


def _mean_and_sd(rows: Measured) -> tuple[Floats, Floats]:
    known = np.isfinite(rows.data)
    weights = np.where(known, rows.weights, 0.0)
    total = np.maximum(weights.sum(axis=1), 1e-300)
    data = np.where(known, rows.data, 0.0)
    mean = (weights * data).sum(axis=1) / total
    return mean, np.sqrt((weights * (data - mean[:, None]) ** 2 * known).sum(axis=1) / total)


def _varied(rows: Measured) -> Flags:
    mean, sd = _mean_and_sd(rows)
    return np.asarray(sd > _CONSTANT * np.abs(mean) + 1e-12)


def _beyond(before: Measured, now: Measured) -> Flags:
    """Return (d,) bool where most rows of now lie outside of nearly all of before."""
    beyond = np.zeros(len(DATA), bool)
    for place in range(len(DATA)):
        was, is_now = (rows.data[place][np.isfinite(rows.data[place])] for rows in (before, now))
        if was.size and is_now.size:
            low, high = np.quantile(was, _SEEN)
            beyond[place] = not low <= np.median(is_now) <= high
    return beyond


def _moved(before: Measured, now: Measured) -> Flags:
    (was, _), (is_now, _) = _mean_and_sd(before), _mean_and_sd(now)
    return np.asarray(np.abs(is_now - was) > _CONSTANT * np.abs(was) + 1e-12)


def _columns(data: Floats, centers: Floats, knees: Floats) -> Floats:
    """Return (d, 3, n) float64 distance from the center, and from each knee beyond it; 0 where a row does not tell."""
    known = np.isfinite(data)
    data = np.where(known, data, centers[:, None])
    straight = (data - centers[:, None])[:, None]
    bent = np.maximum(data[:, None] - knees[:, :, None], 0.0) - np.maximum(centers[:, None] - knees, 0.0)[:, :, None]
    return np.where(known[:, None], np.concatenate((straight, np.nan_to_num(bent)), axis=1), 0.0)


def _fitted(rows: Measured, target_s: Floats, drivers: Ints, centers: Floats, knees: Floats) -> Prices:
    """Return prices by weighted least squares with a level for each group."""
    columns = _columns(rows.data[drivers], centers, knees).reshape(-1, len(rows))
    known, places = np.unique(rows.groups, return_inverse=True)
    inside, target = _centred(columns, places, rows.weights), _centred(target_s[None], places, rows.weights)[0]
    slopes = _least_squares(inside, target, rows.shares)
    predicted = slopes @ columns
    rest = target_s - predicted
    weights = np.bincount(places, rows.weights)
    levels = np.bincount(places, rows.weights * rest) / weights
    enough = np.bincount(places) >= _FEWEST_OF_GROUP
    level = float(rows.shares @ rest)
    own = np.where(enough, levels, level)[places]
    spread = _spread(predicted, np.abs(rest - own), rows.shares)
    shape = (drivers.size, 1 + len(KNEES))
    return Prices(drivers, centers, knees, slopes.reshape(shape), known[enough], levels[enough], level, spread)


def _knees(rows: Measured, drivers: Ints) -> Floats:
    """Return (d, 2) float64 quantiles of each driver; NaN where they are its ends, or each other."""
    knees = np.full((drivers.size, len(KNEES)), np.nan)
    for place, driver in enumerate(drivers.tolist()):
        values = rows.data[driver]
        values = values[np.isfinite(values)]
        last = float(values.min())
        for number, share in enumerate(KNEES):
            at = float(np.quantile(values, share))
            if last < at < values.max():
                knees[place, number] = last = at
    return knees


def _centred(columns: Floats, places: Ints, weights: Floats) -> Floats:
    """Return columns less their mean in each group."""
    total = np.bincount(places, weights)
    means = np.stack([np.bincount(places, weights * column) / total for column in columns]) if columns.size else columns
    return columns - means[:, places] if columns.size else columns


def _least_squares(columns: Floats, target: Floats, shares: Floats) -> Floats:
    """Return (p,) float64 slopes; of columns that say the same each gets a part.

    Source:
        Hoerl and Kennard, "Ridge regression", Technometrics 12 (1970).
    """
    if not columns.shape[0]:
        return np.empty(0)
    scale = np.sqrt((shares * columns**2).sum(axis=1))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = columns / scale[:, None]
    gram = (scaled * shares) @ scaled.T + _RIDGE * np.eye(scale.size)
    return np.asarray(np.linalg.solve(gram, (scaled * shares) @ target) / scale)


def _spread(predicted: Floats, away: Floats, shares: Floats) -> Floats:
    """Return how the distance of rows from their price depends on it: calls that take long scatter more.

    Source:
        Glejser, "A new test for heteroskedasticity", Journal of the American Statistical Association 64 (1969).
    """
    mean, middle = float(shares @ away), float(shares @ predicted)
    variance = float(shares @ (predicted - middle) ** 2)
    slope = float(shares @ ((predicted - middle) * (away - mean))) / variance if variance > 0 else 0.0
    slope = max(slope, 0.0)
    level = mean - slope * middle
    lowest = float(predicted.min(initial=0.0))
    if level + slope * lowest < _LEAST_SPREAD * mean:  # a line that would fall below nothing is laid through its end
        slope = (1 - _LEAST_SPREAD) * mean / (middle - lowest) if middle > lowest else 0.0
        level = mean - slope * middle
    return np.array([level, slope])


def _with(prices: Prices, more: Prices) -> Prices:
    """Return prices with those of further drivers."""
    order = np.argsort(np.concatenate((prices.drivers, more.drivers)))
    return replace(
        prices,
        drivers=np.concatenate((prices.drivers, more.drivers))[order],
        centers=np.concatenate((prices.centers, more.centers))[order],
        knees=np.concatenate((prices.knees, more.knees))[order],
        slopes=np.concatenate((prices.slopes, more.slopes))[order],
    )
