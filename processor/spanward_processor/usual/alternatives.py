"""What a change may look like: likelihood ratios of group counts, each a bet against "as usual".

A bet multiplies, row by row, by how much likelier the row is after the change than before, so over a window its logarithm is
linear in the window's counts: windows of shards merge before the bet is made. Each bet is settled against every world within
a small distance of the baseline, not only against the baseline: for a ratio r and any distribution q within chi-squared
distance d^2 of the baseline p, the mean of r under q is at most E_p[r] + d * sd_p(r) (Cauchy and Schwarz). What the baseline
does not know for want of rows, and how far the stream wanders without harm, is that distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Flags, Floats, Ints, Singles

RANKS: Final = np.array([0.002, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.998])
"""Ranks that part the groups of a number, finer towards both ends."""

_NORMAL: Final = NormalDist()
_MOST_PER_WINDOW: Final = 2.5  # powers of ten by which a single window may multiply evidence
_MOST: Final = 12.0  # powers of ten that are kept, so that evidence is gone soon after its cause
_LEAST: Final = 1e-300
_LEAST_RATE: Final = 1e-3  # share of the expected rows below which a bet on fewer has nothing to win
_LOG10_OF_E: Final = float(np.log10(np.e))
_SHIFTS: Final = (0.12, 0.3, 0.7, 1.5)  # standard deviations, up and down
_SCALES: Final = (0.75, 1.25, 1.6, 2.4)
_TAILS: Final = ((-1, 8.0), (-2, 3.0), (-3, 2.0), (2, 3.0))  # groups at an end, and factor on the odds of them
_TAIL_GROUPS: Final = 3
_SHIFT_WEIGHT: Final = 0.6  # of the bets on a number: most changes move it
_LOSSES: Final = 0.2  # of the bets on shares


def _product(rows: Floats, columns: Floats) -> Floats:
    """Return (s, a) float64 the product of (s, g) and (a, g); not by BLAS, whose threads spin for matrices as small as these."""
    product: Floats = np.einsum("sg,ag->sa", rows, columns)
    return product


@dataclass(frozen=True, slots=True)
class Groups:
    """Bets on a stream whose rows fall into groups.

    Args:
        log_ratio: (a, g) float64 logarithm of each bet's ratio by group, up to a constant that each baseline settles.
        weights: (a,) float64 share of each bet in the mixture.
        directions: (k, g) float64 scores whose scatter from window to window is learned.
        direction: (a,) int64 the direction in which a bet points.
    """

    log_ratio: Floats
    weights: Floats
    directions: Floats
    direction: Ints

    def log_e(self, observed: Floats, share: Floats, distance: Floats, excess: Floats) -> Floats:
        """Return what each bet gains in one window, natural logarithm.

        Args:
            observed: (s, g) float64 rows of the window.
            share: (s, g) float64 share of each group in the baseline.
            distance: (s, k) float64 how far the world may lie from the baseline, by direction.
            excess: (s, k) float64 dispersion, 1 for independent rows.

        Returns:
            (s, a) float64.
        """
        ratio = np.exp(self.log_ratio)
        mean, square = _product(share, ratio), _product(share, np.square(ratio))
        spread = np.sqrt(np.maximum(square / np.square(mean) - 1.0, 0.0))
        settled = np.log(mean) + np.log1p(distance[:, self.direction] * spread)
        gain: Floats = (_product(observed, self.log_ratio) - observed.sum(axis=1)[:, None] * settled) / excess[
            :, self.direction
        ]
        return gain

    def deviation(self, observed: Floats, share: Floats) -> tuple[Floats, Floats]:
        """Return how far a window lies from the baseline in each direction, (s, k), and the variance of one row, (s, k)."""
        mean = _product(share, self.directions)
        variance = _product(share, np.square(self.directions)) - np.square(mean)
        deviation: Floats = _product(observed, self.directions) - observed.sum(axis=1)[:, None] * mean
        return deviation, np.maximum(variance, 1e-9)


@dataclass(frozen=True, slots=True)
class Shares:
    """Bets on shares of rows, one of them at a time, up or down.

    Args:
        factors: Factors on the odds of a share.
        shares: How many shares a stream has.
    """

    factors: tuple[float, ...]
    shares: int

    @property
    def bets(self) -> int:
        """How many bets there are."""
        return self.shares * len(self.factors)

    def weights(self, present: Flags) -> Floats:
        """Return (s, a) float64 share of each bet in the mixture.

        What one share loses others gain, and who moves rows to one share takes them from many: bets on a loss are needed less.

        Args:
            present: (s, k) bool which shares a stream has.
        """
        loses = np.array(self.factors) < 1.0
        of_losses = _LOSSES if loses.any() else 0.0
        each = np.where(loses, of_losses / max(int(loses.sum()), 1), (1 - of_losses) / int((~loses).sum()))
        of_share = present / present.sum(axis=1, keepdims=True)
        weights: Floats = (of_share[:, :, None] * each).reshape(len(present), present.shape[1] * each.size)
        return weights

    def log_e(self, observed: Floats, rows: Floats, share: Floats, distance: Floats, excess: Floats) -> Floats:
        """Return what each bet gains in one window, natural logarithm.

        Args:
            observed: (s, k) float64 rows of each share in the window; of the first ones, where no stream has more.
            rows: (s,) float64 rows of the window.
            share: (s, k) float64 in the baseline.
            distance: (s, k) float64 how far the world may lie from the baseline.
            excess: (s, k) float64 dispersion, 1 for independent rows.

        Returns:
            (s, a) float64, the bets of one share side by side.
        """
        factor, share = np.array(self.factors), share[:, :, None]
        mean = 1.0 + share * (factor - 1.0)
        spread = np.sqrt(share * (1.0 - share)) * np.abs(factor - 1.0) / mean
        settled = np.log(mean) + np.log1p(distance[:, :, None] * spread)
        gain: Floats = (observed[:, :, None] * np.log(factor) - rows[:, None, None] * settled) / excess[:, :, None]
        return gain.reshape(observed.shape[0], observed.shape[1] * factor.size)


@dataclass(frozen=True, slots=True)
class Rates:
    """Bets on a count of rows, up or down.

    A count with more than a Poisson count's variance is taken for a negative binomial one, whose tail is heavier: what bursts
    do.

    Args:
        factors: Factors on the expected count.

    Source:
        McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, section 6.2.3 (negative binomial counts).
    """

    factors: tuple[float, ...]

    @property
    def weights(self) -> Floats:
        """(a,) float64 share of each bet in the mixture."""
        return np.full(len(self.factors), 1.0 / len(self.factors))

    def log_e(self, counted: Floats, expected: Floats, distance: Floats, excess: Floats) -> Floats:
        """Return what each bet gains in one window, natural logarithm.

        Args:
            counted: (s,) float64 rows in the window.
            expected: (s,) float64 as usual.
            distance: (s,) float64 how far the world may lie from that, as a share of it.
            excess: (s,) float64 dispersion, 1 for a Poisson count.

        Returns:
            (s, a) float64.
        """
        factor = np.array(self.factors)
        size = (expected / np.maximum(excess - 1.0, 1e-6))[:, None]
        nearest = expected[:, None] * np.maximum(1.0 + np.sign(factor - 1.0) * distance[:, None], _LEAST_RATE)
        grown_by = np.log((factor * nearest + size) / (nearest + size))
        gain: Floats = counted[:, None] * (np.log(factor) - grown_by) - size * grown_by
        return gain


def of_numbers(ranks: Floats = RANKS) -> Groups:
    """Return bets on a number in groups by rank: it moves, spreads, or grows a tail.

    A shift is that of a normal variable seen through its ranks: exact for normal and log-normal numbers, and for any other
    as good a bet as its ranks allow.

    Args:
        ranks: (g - 1,) float64 that part the groups.
    """
    edges = np.array([-np.inf, *map(_NORMAL.inv_cdf, ranks.tolist()), np.inf])
    usual = _masses(edges)
    changed = [_masses(edges - sign * shift) for shift in _SHIFTS for sign in (1, -1)]
    changed += [_masses(edges / scale) for scale in _SCALES]
    log_ratio = [np.log(mass / usual) for mass in changed]
    for groups, factor in _TAILS:
        tail = np.zeros(usual.size)
        tail[min(0, groups) : None if groups < 0 else groups] = np.log(factor)
        log_ratio.append(tail)
    shifts, bets = 2 * len(_SHIFTS), len(log_ratio)
    weights = np.full(bets, (1 - _SHIFT_WEIGHT) / (bets - shifts))
    weights[:shifts] = _SHIFT_WEIGHT / shifts
    density = np.exp(-np.square(edges) / 2) / np.sqrt(2 * np.pi)
    finite = np.where(np.isfinite(edges), edges, 0.0)
    location, scale = -np.diff(density) / usual, -np.diff(finite * density) / usual
    top, bottom = np.zeros(usual.size), np.zeros(usual.size)
    top[-_TAIL_GROUPS:], bottom[:_TAIL_GROUPS] = 1.0, 1.0
    direction = [0] * shifts + [1] * len(_SCALES) + [2 if groups < 0 else 3 for groups, _ in _TAILS]
    return Groups(np.array(log_ratio), weights, np.stack((location, scale, top, bottom)), np.array(direction))


def _masses(edges: Floats) -> Floats:
    """Return (g,) float64 the standard normal mass between (g + 1,) edges."""
    return np.diff(np.array([_NORMAL.cdf(edge) for edge in edges.tolist()]))


def settle(worth: Floats | Singles, gain: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Settle one window's bets, each started anew before the window: the Shiryaev-Roberts e-detector and its mixture.

    Evidence that is bounded is taken from all bets in proportion, so that of a change that lasts the best bet remains: it is
    the one that loses most when things go back.

    Args:
        worth: (s, a) what each bet was worth before.
        gain: (s, a) float64 natural logarithm of what it gains.
        weights: (a,) or (s, a) float64 share of each bet in the mixture.

    Returns:
        Worth of each bet now, (s, a); log10 of the mixture, (s,); log10 of what the window alone is worth, (s,).
    """
    before, most = 1.0 + worth.astype(np.float64), gain.max(axis=1, initial=0.0)
    paid = np.exp(gain - most[:, None])
    log10_most = most * _LOG10_OF_E
    alone = np.log10(np.maximum((paid * weights).sum(axis=1), _LEAST)) + log10_most
    now = before * paid
    mixed = np.log10(np.maximum((now * weights).sum(axis=1), _LEAST)) + log10_most
    bound = np.minimum(np.log10((before * weights).sum(axis=1)) + _MOST_PER_WINDOW, _MOST)
    scale = np.power(10.0, log10_most - np.maximum(mixed - bound, 0.0))
    return now * scale[:, None], np.minimum(mixed, bound), alone


FLAGS: Final = Shares((1.3, 1.8, 3.0, 8.0, 30.0), 1)
"""A flag is raised more often; that it is raised less often harms nobody."""

WATCHED: Final = 12
CATEGORIES: Final = Shares((0.2, 0.6, 0.85, 1.2, 1.6, 3.0, 10.0), WATCHED + 1)
NUMBERS: Final = of_numbers()
RATES: Final = Rates((0.05, 0.4, 0.7, 0.85, 1.2, 1.5, 2.5, 6.0))

__all__: Sequence[str] = (
    "CATEGORIES",
    "FLAGS",
    "NUMBERS",
    "RANKS",
    "RATES",
    "WATCHED",
    "Groups",
    "Rates",
    "Shares",
    "settle",
)
