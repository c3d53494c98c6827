"""Changes with known distributions before and after: what is drawn, what CUSUM knows, and what the bets are told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import numpy as np
from scipy import stats

from spanward_processor.kernels.jit import Floats
from spanward_processor.usual.alternatives import CATEGORIES, FLAGS, NUMBERS, RANKS, RATES, WATCHED


class Distribution(Protocol):
    """A distribution of numbers, as scipy has them."""

    def rvs(self, size: tuple[int, int], random_state: np.random.Generator) -> Floats:
        """Draw numbers."""
        ...

    def logpdf(self, x: Floats) -> Floats:
        """Return the logarithm of the density."""
        ...

    def ppf(self, q: Floats) -> Floats:
        """Return quantiles."""
        ...


Draw = Callable[[np.random.Generator, int, bool], Floats]
"""Draws (r, ...) rows or counts of windows, after the change or before it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Args:
        name: What a person calls it.
        known: Whether the bets hold the family; else they only see ranks.
        rows: Rows of a window.
        draw: Draws windows.
        ratio: Log likelihood ratio of windows, (r,), as CUSUM knows it.
        gain: What the bets gain by windows, (r, a).
        weights: (a,) float64 of the bets.
    """

    name: str
    known: bool
    rows: int
    draw: Draw
    ratio: Callable[[Floats], Floats]
    gain: Callable[[Floats], Floats]
    weights: Floats


def _exact(windows: int, directions: int) -> tuple[Floats, Floats]:
    """Return no distance from the baseline and no excess."""
    return np.zeros((windows, directions)), np.ones((windows, directions))


def number(
    name: str,
    rows: int,
    before: Distribution,
    after: Distribution,
    *,
    known: bool,
    share: float = 1.0,
) -> Change:
    """Return a change of a number's distribution, in a share of the rows."""
    groups = RANKS.size + 1
    shares = np.diff(np.concatenate(([0.0], RANKS, [1.0])))
    edges = before.ppf(RANKS)

    def draw(rng: np.random.Generator, windows: int, changed: bool) -> Floats:
        values: Floats = before.rvs((windows, rows), random_state=rng)
        if not changed:
            return values
        moved: Floats = after.rvs((windows, rows), random_state=rng)
        return np.where(rng.random((windows, rows)) < share, moved, values)

    def ratio(values: Floats) -> Floats:
        log_ratio = after.logpdf(values) - before.logpdf(values)
        total: Floats = np.log1p(share * np.expm1(log_ratio)).sum(axis=1) if share < 1 else log_ratio.sum(axis=1)
        return total

    def gain(values: Floats) -> Floats:
        windows = len(values)
        places = np.searchsorted(edges, values) + groups * np.arange(windows)[:, None]
        observed = np.bincount(places.ravel(), minlength=groups * windows).reshape(windows, groups).astype(np.float64)
        every = np.broadcast_to(shares, observed.shape)
        return NUMBERS.log_e(observed, every, *_exact(windows, len(NUMBERS.directions)))

    return Change(name, known, rows, draw, ratio, gain, NUMBERS.weights)


def flag(name: str, rows: int, before: float, after: float) -> Change:
    """Return a change of a flag's share."""

    def draw(rng: np.random.Generator, windows: int, changed: bool) -> Floats:
        return rng.binomial(rows, after if changed else before, windows).astype(np.float64)

    def ratio(raised: Floats) -> Floats:
        total: Floats = raised * np.log(after / before) + (rows - raised) * np.log((1 - after) / (1 - before))
        return total

    def gain(raised: Floats) -> Floats:
        windows = raised.size
        share = np.full((windows, 1), before)
        return FLAGS.log_e(raised[:, None], np.full(windows, float(rows)), share, *_exact(windows, 1))

    return Change(name, True, rows, draw, ratio, gain, FLAGS.weights(np.ones((1, 1), bool))[0])


def category(name: str, rows: int, before: tuple[float, ...], after: tuple[float, ...]) -> Change:
    """Return a change of the shares of categories."""
    usual, changed_shares = np.array(before), np.array(after)

    def draw(rng: np.random.Generator, windows: int, changed: bool) -> Floats:
        return rng.multinomial(rows, changed_shares if changed else usual, windows).astype(np.float64)

    def ratio(counts: Floats) -> Floats:
        total: Floats = counts @ np.log(changed_shares / usual)
        return total

    def gain(counts: Floats) -> Floats:
        windows = len(counts)
        padded, share = np.zeros((windows, WATCHED + 1)), np.full((windows, WATCHED + 1), 1e-5)
        padded[:, : usual.size], share[:, : usual.size] = counts, usual
        return CATEGORIES.log_e(padded, np.full(windows, float(rows)), share, *_exact(windows, WATCHED + 1))

    present = np.arange(WATCHED + 1) < usual.size
    present[-1] = True  # all others
    return Change(name, True, rows, draw, ratio, gain, CATEGORIES.weights(present[None, :])[0])


def rate(name: str, expected: float, factor: float) -> Change:
    """Return a change of a Poisson rate; a window counts as one row for each expected one."""

    def draw(rng: np.random.Generator, windows: int, changed: bool) -> Floats:
        return rng.poisson(expected * (factor if changed else 1.0), windows).astype(np.float64)

    def ratio(counted: Floats) -> Floats:
        total: Floats = counted * np.log(factor) - expected * (factor - 1.0)
        return total

    def gain(counted: Floats) -> Floats:
        windows = counted.size
        return RATES.log_e(counted, np.full(windows, expected), np.zeros(windows), np.ones(windows))

    return Change(name, True, round(expected), draw, ratio, gain, RATES.weights)


_FAMILIES: Final = cast("Any", stats)  # scipy ships no types


def _normal(mean: float, deviation: float = 1.0) -> Distribution:
    return cast("Distribution", _FAMILIES.norm(mean, deviation))


def _latency(factor: float) -> Distribution:
    return cast("Distribution", _FAMILIES.lognorm(0.5, scale=0.06 * factor))


CHANGES: Final = (
    number("Gaussian, +0.25 sd", 20, _normal(0), _normal(0.25), known=True),
    number("Gaussian, -0.5 sd", 10, _normal(0), _normal(-0.5), known=True),
    number("Gaussian, +1 sd", 3, _normal(0), _normal(1), known=True),
    number("Gaussian, spread x1.5", 10, _normal(0), _normal(0, 1.5), known=True),
    number("log-normal, x1.1", 40, _latency(1), _latency(1.1), known=True),
    number("log-normal, x1.5", 5, _latency(1), _latency(1.5), known=True),
    flag("Bernoulli, 1 to 2 %", 100, 0.01, 0.02),
    flag("Bernoulli, 1 to 5 %", 25, 0.01, 0.05),
    category("categorical, 4 % of all moved", 50, (0.4, 0.3, 0.2, 0.1), (0.36, 0.34, 0.2, 0.1)),
    category("categorical, 2 % to a rare one", 50, (0.5, 0.3, 0.19, 0.01), (0.49, 0.29, 0.19, 0.03)),
    rate("Poisson, x1.3", 20.0, 1.3),
    rate("Poisson, x0.6", 10.0, 0.6),
    number("exponential, x1.3", 10, _FAMILIES.expon(), _FAMILIES.expon(scale=1.3), known=False),
    number("Student t with 3, +0.5", 10, _FAMILIES.t(3), _FAMILIES.t(3, 0.5), known=False),
    number("uniform to Beta(1.5, 1)", 10, _FAMILIES.uniform(), _FAMILIES.beta(1.5, 1), known=False),
    number("log-normal, 2 % of the rows x5", 50, _latency(1), _latency(5), known=False, share=0.02),
)
"""Directions and sizes are none of the bets' own; three of the sizes lie between two of them."""
