"""Evidence that may be looked at as often as one likes: e-processes from running sums.

Inside one stratum of time it is only chance which of its requests the canary got, as long as both versions are alike. So load,
time of day and the share of traffic drop out: everything is conditional on them.

- Numbers: the canary's sum less its share of the whole is a martingale; the mixture over sizes of an effect is its e-process.
  Source: Robbins, "Statistical methods related to the law of the iterated logarithm", 1970; Waudby-Smith, Arbour, Sinha, Kennedy
  and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", 2021.
- Events: which arm each fell on is a coin with a known bias, and a likelihood ratio over odds is its e-process.
  Source: Lindon, Sanden and Shirikian, "Rapid regression detection in software deployments through sequential testing", KDD 2022,
  whose sequential multinomial test it is with two arms; Hoeffding, 1963, theorem 4, on why drawing without replacement is covered.
- A regression may begin at any time: the evidence is a mixture over its beginnings, the weights of which sum to one, as in
  Shin, Ramdas and Rinaldo, "E-detectors", 2022, section 4; unlike theirs, it is bounded for the whole trial.
"""

import math
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Floats

ODDS: Final = np.exp(np.linspace(-math.log(64), math.log(64), 97))
"""Ratios of odds that are weighed against each other."""

_LOG_ODDS: Final = np.log(ODDS)
_LARGEST: Final = math.log(16)  # of the ratios that are looked for; it finds larger ones nearly as fast
_SIZES: Final = (10.0, 100.0, 1000.0)  # rows, at which the mixture over effects of numbers is sharpest
_EARLY: Final = 0.7  # weight of a regression that was there from the beginning


def log_sum(values: Floats) -> Floats:
    """Return (...) float64 log of the sum of the exponentials over the last axis; at least one must be finite."""
    largest = values.max(-1, keepdims=True)
    total: Floats = largest[..., 0] + np.log(np.exp(values - largest).sum(-1))
    return total


def weights_of_starts(numbers: Floats) -> Floats:
    """Return (s,) float64 log weight of each beginning; number 0 is that of the trial.

    Args:
        numbers: (s,) float64 blocks of time before it, each once.
    """
    later = np.maximum(numbers, 1.0)
    return np.where(numbers == 0, math.log(_EARLY), math.log1p(-_EARLY) - np.log(later * (later + 1)))


def evidence_of_numbers(excess: Floats, variance: Floats, weight: Floats) -> Floats:
    """Return the log e-value of each, that the canary's numbers are larger than they may be.

    Args:
        excess: The canary's sum, less its share of the whole and less what it may have.
        variance: Of that, if both versions are alike.
        weight: What an effect of one adds to the sum.
    """
    scatter = variance / np.maximum(weight, 1e-12)
    each: list[Floats] = []
    for size in _SIZES:
        prior = np.maximum(size * scatter, 1e-12)
        total = variance + prior
        reach = excess / np.sqrt(total)
        each.append(0.5 * np.log(prior / total) + _log_one_sided(reach))
    found: Floats = np.where(variance > 0, log_sum(np.stack(each, -1)) - math.log(len(_SIZES)), 0.0)
    return found


def _log_one_sided(reach: Floats) -> Floats:
    """Return, never too large, the log of `2 exp(x^2 / 2) Phi(x)`, which a mixture over positive effects has.

    Source: Phi(x) >= 1 - exp(-x^2 / 2) / 2; Birnbaum, "An inequality for Mill's ratio", 1942, for negative x.
    """
    far = np.abs(reach)
    below = np.log((np.sqrt(4 + far * far) - far) / math.sqrt(2 * math.pi))
    above = 0.5 * far * far + np.log(2 - np.exp(-0.5 * far * far))
    found: Floats = np.where(reach < 0, below, above)
    return found


def radius_of_numbers(variance: Floats, weight: Floats, log_level: float) -> Floats:
    """Return how far below or above the effect seen the true one may be, at all times but with a chance of `exp(log_level)`.

    It is where `evidence_of_numbers` would just reach the level: what is beyond a margin by evidence is so by the interval too.
    """
    scatter = variance / np.maximum(weight, 1e-12)
    each: list[Floats] = []
    for size in _SIZES:
        prior = np.maximum(size * scatter, 1e-12)
        total = variance + prior
        nats = 0.5 * np.log(total / prior) - log_level + math.log(len(_SIZES) / 2)
        each.append(np.sqrt(2 * np.maximum(nats, 0.0) * total))
    narrowest: Floats = np.min(np.stack(each), axis=0)
    found: Floats = np.where(weight > 0, narrowest / np.maximum(weight, 1e-12), np.inf)
    return found


def likelihood_of_odds(events: Floats, of_canary: Floats, share: Floats) -> Floats:
    """Return (e, o) float64 log likelihood of each ratio of odds, less that of equal odds.

    Args:
        events: (e,) float64 in both arms.
        of_canary: (e,) float64 in the canary.
        share: (e,) float64 the canary's share of the rows.
    """
    share = share[:, None]
    return of_canary[:, None] * np.log(ODDS) - events[:, None] * np.log1p(share * (ODDS - 1.0))


def evidence_of_events(likelihood: Floats, allowed: Floats) -> Floats:
    """Return (...) log e-value that events are more frequent in the canary than they may be.

    Args:
        likelihood: (..., o) float64 log likelihood of each ratio of odds.
        allowed: (...) float64 largest ratio that is still no worse.
    """
    log_allowed = np.log(allowed)[..., None]
    beyond = (log_allowed < _LOG_ODDS) & (np.maximum(_LARGEST, log_allowed + 1.0) >= _LOG_ODDS)
    at_bound = _interpolated(likelihood, log_allowed)
    beyond |= np.arange(ODDS.size) == ODDS.size - 1  # at least one
    mixed = log_sum(np.where(beyond, likelihood, -np.inf)) - np.log(beyond.sum(-1))
    found: Floats = mixed - at_bound
    return found


def _interpolated(likelihood: Floats, log_odds: Floats) -> Floats:
    """Return the log likelihood between the ratios of the grid; it is smooth there."""
    step = math.log(ODDS[1] / ODDS[0])
    place = np.clip((log_odds[..., 0] - math.log(ODDS[0])) / step, 0, ODDS.size - 1.000001)
    low = place.astype(np.int64)[..., None]
    left = np.take_along_axis(likelihood, low, -1)[..., 0]
    right = np.take_along_axis(likelihood, low + 1, -1)[..., 0]
    part = place - low[..., 0]
    return left * (1 - part) + right * part


def interval_of_odds(likelihood: Floats, log_level: float) -> tuple[float, float]:
    """Return the ratios of odds that no evidence speaks against, smallest and largest; one event's all of the grid.

    Args:
        likelihood: (o,) float64 log likelihood of each ratio.
        log_level: Log of the chance of not covering the true one, at any time.
    """
    mixed = float(log_sum(likelihood)) - math.log(ODDS.size)
    (kept,) = np.nonzero(likelihood >= mixed + log_level)
    low, high = (float(ODDS[kept[0]]), float(ODDS[kept[-1]])) if kept.size else (1.0, 1.0)
    return (0.0 if kept.size and kept[0] == 0 else low), (math.inf if kept.size and kept[-1] == ODDS.size - 1 else high)
