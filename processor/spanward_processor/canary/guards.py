"""From sums to how each guard stands: how strong the evidence is, how large the effect, and whether it is surely small.

Which columns a guard looks at, and which way is worse, is the table `_LOOKS`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.canary.columns import (
    ERRORS,
    EVENTS,
    FIRST_DECISION,
    FIRST_TAIL,
    INPUT_TOKENS,
    LATENCY,
    MOST_DECISIONS,
    OUTPUT_TOKENS,
    SCORE,
    SCORE_SPREAD,
    TAILS,
)
from spanward_processor.canary.sequential import (
    evidence_of_events,
    evidence_of_numbers,
    interval_of_odds,
    log_sum,
    radius_of_numbers,
    weights_of_starts,
)
from spanward_processor.canary.settings import Canary, Guarded
from spanward_processor.canary.sums import Sums
from spanward_processor.canary.verdict import Standing
from spanward_processor.features import show_count, show_score, show_seconds, show_share
from spanward_processor.kernels.jit import Floats

_LN10: Final = math.log(10)
_SELDOM: Final = 0.002  # of what is more seldom, the absence can hardly be shown: promotion does not ask for it


@dataclass(frozen=True, slots=True)
class _Look:
    """What a guard looks at.

    Args:
        columns: Its columns.
        worse: Signs of the effects that are worse.
        relative: Whether an effect is a ratio, of numbers kept as logarithms.
        show: A value in words.
        noun: What it is called.
    """

    columns: Sequence[int]
    worse: Sequence[float]
    relative: bool
    show: Callable[[float], str]
    noun: str


_BOTH: Final = (1.0, -1.0)
_LOOKS: Final = {
    "latency": _Look((LATENCY,), (1.0,), True, show_seconds, "typical latency"),
    "tail": _Look(range(FIRST_TAIL, FIRST_DECISION), (1.0,), True, show_share, "share of slow requests"),
    "errors": _Look((ERRORS,), (1.0,), True, show_share, "error share"),
    "score": _Look((SCORE, SCORE_SPREAD), _BOTH, False, show_score, "mean score"),
    "decision": _Look(
        range(FIRST_DECISION, FIRST_DECISION + MOST_DECISIONS), _BOTH, False, show_share, "share of decision"
    ),
    "input_tokens": _Look((INPUT_TOKENS,), _BOTH, True, show_count, "typical input tokens"),
    "output_tokens": _Look((OUTPUT_TOKENS,), _BOTH, True, show_count, "typical output tokens"),
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What is not held against a canary.

    Args:
        static: (c,) float64 effect that who is in which arm may have alone.
        dispersion: (c,) float64 how much more blocks of time differ than chance has it.
        names: Says what the tails, decisions and the spread of scores are, by column.
    """

    static: Floats
    dispersion: Floats
    names: Callable[[int], str]


def standings_of(sums: Sums, settings: Canary, allowed: Allowed) -> tuple[tuple[Standing, ...], float]:
    """Return how each guard with a weight stands, strongest first, and log10 of the evidence of all together.

    E-values are averaged, by weight: the average is an e-value, whatever they have to do with each other.
    """
    weights = weights_of_starts(sums.numbers())
    standings: list[Standing] = []
    for name, guarded in settings.guards.items():
        if guarded.weight:
            standings.append(_standing(name, guarded, sums, settings.alpha, allowed, weights))
    seen = [one for one in standings if not math.isnan(one.effect)]
    whole = sum(one.weight for one in seen)
    if not whole:
        return tuple(standings), 0.0
    parts = [one.log10_e * _LN10 + math.log(one.weight / whole) for one in seen]
    standings.sort(key=lambda one: one.log10_e + math.log10(one.weight), reverse=True)
    return tuple(standings), float(log_sum(np.array(parts))) / _LN10


def _standing(name: str, guarded: Guarded, sums: Sums, alpha: float, allowed: Allowed, weights: Floats) -> Standing:
    look = _LOOKS[name]
    columns = [column for column in look.columns if sums.weight[column] > 0]
    if not columns:
        return Standing(
            name, guarded.weight, 0.0, math.nan, math.nan, math.nan, True, "", "", look.noun, "nothing seen"
        )
    cases = [(column, sign) for column in columns for sign in look.worse]
    each = np.stack([_evidence(column, sign, look, guarded, sums, allowed) for column, sign in cases]) + weights
    of_case = log_sum(each)
    best = int(np.argmax(of_case))
    column, start = cases[best][0], int(np.argmax(each[best]))
    log10_e = (float(log_sum(of_case)) - math.log(len(cases))) / _LN10
    level = math.log(alpha) + float(weights[start])
    effect, low, high = _effect(column, start, look, sums, allowed, level)
    stable, canary = (_shown(column, start, arm, look, sums) for arm in (0, 1))
    safe = all(_is_safe(one, look, guarded, sums, allowed, math.log(alpha)) for one in columns)
    return Standing(
        name, guarded.weight, log10_e, effect, low, high, safe, stable, canary,
        allowed.names(column) or look.noun, _in_words(effect, low, high, look),
    )  # fmt: skip


def _evidence(column: int, sign: float, look: _Look, guarded: Guarded, sums: Sums, allowed: Allowed) -> Floats:
    """Return (s,) float64 log e-value of one column and direction since each beginning."""
    static, dispersion = float(allowed.static[column]), float(allowed.dispersion[column])
    if column in EVENTS:
        rate = float(sums.totals[column].sum() / max(sums.rows[column].sum(), 1.0))
        ratio = np.full(len(sums.numbers()), 1 + guarded.margin + static / max(rate, 1e-9))
        return evidence_of_events(sums.since("likelihood")[:, column - EVENTS[0]] / dispersion, ratio)
    margin = (math.log1p(guarded.margin) if look.relative else guarded.margin) + static
    weight = sums.since("weight")[:, column]
    excess = sign * sums.since("excess")[:, column] - weight * margin
    return evidence_of_numbers(excess, dispersion * sums.since("variance")[:, column], weight)


def _effect(
    column: int, start: int, look: _Look, sums: Sums, allowed: Allowed, level: float
) -> tuple[float, float, float]:
    """Return the effect since a beginning, and the interval that covers it."""
    dispersion = float(allowed.dispersion[column])
    if column in EVENTS:
        likelihood = sums.since("likelihood")[start, column - EVENTS[0]] / dispersion
        rates = [_mean(column, start, arm, sums) for arm in (0, 1)]
        return rates[1] / rates[0] if rates[0] else math.inf, *interval_of_odds(likelihood, level)
    weight, variance = sums.since("weight")[start, column], sums.since("variance")[start, column] * dispersion
    effect = float(sums.since("excess")[start, column] / max(weight, 1e-12))
    half = float(radius_of_numbers(np.array(variance), np.array(weight), level)) + float(allowed.static[column])
    if look.relative:
        return math.exp(effect), math.exp(max(effect - half, -50.0)), math.exp(min(effect + half, 50.0))
    return effect, effect - half, effect + half


def _is_safe(column: int, look: _Look, guarded: Guarded, sums: Sums, allowed: Allowed, level: float) -> bool:
    """Return whether one column is surely no worse than the tolerance, in the trial as a whole."""
    weight, variance = float(sums.weight[column]), float(sums.variance[column] * allowed.dispersion[column])
    tolerance = guarded.tolerance
    if column in EVENTS:
        rate = float(sums.totals[column].sum() / sums.rows[column].sum())
        if column != ERRORS:
            if 1 - TAILS[column - FIRST_TAIL] < _SELDOM:
                return True
            tolerance *= rate
        variance += 1.0  # one event more: that none was seen does not mean there is none
    elif look.relative:
        tolerance = math.log1p(tolerance)
    effect = float(sums.excess[column]) / weight
    half = float(radius_of_numbers(np.array(variance), np.array(weight), level)) + float(allowed.static[column])
    return all(sign * effect + half <= tolerance for sign in look.worse)


def _mean(column: int, start: int, arm: int, sums: Sums) -> float:
    rows = float(sums.since("rows")[start, column, arm])
    return float(sums.since("totals")[start, column, arm]) / rows if rows else math.nan


def _shown(column: int, start: int, arm: int, look: _Look, sums: Sums) -> str:
    mean = _mean(column, start, arm, sums)
    if math.isnan(mean):
        return "nothing"
    return look.show(math.exp(mean) if look.relative and column not in EVENTS else mean)


def _in_words(effect: float, low: float, high: float, look: _Look) -> str:
    if not look.relative:
        return f"{effect:+.2f}, between {low:+.2f} and {high:+.2f}"
    if not math.isfinite(high):
        return f"at least x{low:.3g}" if low > 0 else "not known yet"
    return f"x{effect:.3g}, between x{low:.3g} and x{high:.3g}"
