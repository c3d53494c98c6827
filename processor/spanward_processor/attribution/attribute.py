"""Attribution of a shift: of a rate, of a mean, or of the mix of decisions.

Each leaf is held against its own past, so slices that merely send more or less than before do not count as moved. Then
the fewest elements that explain what is left are searched, and what they leave is tested once more: if it moved as well,
or if they make up most of the traffic, nobody in particular is to blame. Where no leaf moved but the whole did, it is the
mix of traffic (Simpson's paradox).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from spanward_processor.attribution.answer import Answer, Attribution, Cause, Traffic
from spanward_processor.attribution.gain import Gain, unmoved_scatter
from spanward_processor.attribution.mix import MovedMix, as_rate, moved_mix
from spanward_processor.attribution.search import Element, search
from spanward_processor.attribution.shift import LeafShift, mean_shift, rate_shift
from spanward_processor.attribution.table import LeafTable
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import OTHER

ALPHA: Final = 0.01  # chance of naming a cause while nothing moved
_MOST_OF_TRAFFIC: Final = 0.5
_LIKE_THE_REST: Final = 0.5  # of the causes' effect: what the rest shows beyond it is the same thing
_MOST_TRAFFIC_SLICES: Final = 3
_PRICE_OF_EFFECT: Final = 3.0  # nats that not knowing the effect costs an e-value; as the grid of factors in `evalue`
_LN10: Final = math.log(10)


def attribute_rate(table: LeafTable, alpha: float = ALPHA, dispersion: float = 1.0) -> Attribution:
    """Explain the shift of a rate.

    Args:
        table: Sums are rows, events and, where events may lie in "other", how many at most.
        alpha: Chance of naming a cause while nothing moved.
        dispersion: How much more than chance alone this stream scatters, as learned from its windows.
    """
    return _explain(table, *_rate_shifts(table), alpha, dispersion)


def attribute_mean(table: LeafTable, alpha: float = ALPHA, dispersion: float = 1.0) -> Attribution:
    """Explain the shift of the mean of a number, such as a confidence.

    Args:
        table: Sums are rows, the numbers' sum and the sum of their squares.
        alpha: Chance of naming a cause while nothing moved.
        dispersion: How much more than chance alone this stream scatters, as learned from its windows.
    """
    shift = _mean_shift(table.codes, table.now, table.usual)
    whole = np.zeros((1, 1), np.int64)
    overall = _mean_shift(whole, table.now.sum(axis=0, keepdims=True), table.usual.sum(axis=0, keepdims=True))
    return _explain(table, shift, overall, alpha, dispersion)


def attribute_mix(table: LeafTable, alpha: float = ALPHA, dispersion: float = 1.0) -> Attribution:
    """Explain the shift of a mix of decisions: find those that moved anywhere, then explain their rate.

    Args:
        table: Its last attribute is the decision; sums are rows.
        alpha: Chance of naming a cause while nothing moved.
        dispersion: How much more than chance alone this stream scatters, as learned from its windows.
    """
    moved = moved_mix(table, alpha, dispersion)
    if not moved.categories.size:
        return Attribution(Answer.NOTHING, log10_e=moved.log10_e)
    rates = as_rate(table, moved.categories)
    found = _explain(rates, *_rate_shifts(rates), alpha, dispersion, _moved_slices(rates, moved, alpha))
    return Attribution(
        found.answer,
        found.causes,
        max(found.log10_e, moved.log10_e),
        found.rest_log10_e,
        found.mix_share,
        found.traffic,
        tuple(moved.categories.tolist()),
    )


def _moved_slices(rates: LeafTable, moved: MovedMix, alpha: float) -> list[Element]:
    """Return the slices of one attribute whose own mix moved; none where that of the whole speaks louder.

    Two classes that traded places are evidence together where the rate of one alone is too little.

    Args:
        rates: The table without the category.
        moved: What its slices say.
        alpha: Chance of naming any while nothing has changed.
    """
    strongest = moved.slices[0]
    price = math.log(len(moved.slices))
    needed = price + math.log(1 / alpha)
    return [
        Element(
            ((one.attribute, one.value),),
            rates.codes[:, one.attribute] == one.value,
            one.log10_e * _LN10 - needed,
            price / _LN10 - one.log10_e,
        )
        for one in moved.slices
        if one.attribute == strongest.attribute >= 0 and one.log10_e * _LN10 >= needed
    ]


def _rate_shifts(table: LeafTable) -> tuple[LeafShift, LeafShift]:
    """Return the shift of each leaf's rate, and that of the whole's."""
    whole = np.zeros((1, 1), np.int64)
    now, usual = table.now.sum(axis=0, keepdims=True), table.usual.sum(axis=0, keepdims=True)
    return _rate_shift(table.codes, table.now, table.usual), _rate_shift(whole, now, usual)


def _rate_shift(codes: Ints, now: Floats, usual: Floats) -> LeafShift:
    hidden = (now[:, 2], usual[:, 2]) if now.shape[1] > 2 else None
    return rate_shift(codes, now[:, 1], now[:, 0], usual[:, 1], usual[:, 0], hidden)


def _mean_shift(codes: Ints, now: Floats, usual: Floats) -> LeafShift:
    return mean_shift(codes, now[:, 1], now[:, 2], now[:, 0], (usual[:, 1], usual[:, 2], usual[:, 0]))


def _explain(
    table: LeafTable,
    shift: LeafShift,
    overall: LeafShift,
    alpha: float,
    dispersion: float,
    otherwise: Sequence[Element] = (),
) -> Attribution:
    """Search for the causes of a shift, or take what else is known to have moved where none is worth its price."""
    shift, overall = (replace(one, variance=dispersion * one.variance) for one in (shift, overall))
    elements = search(shift, alpha) or otherwise
    explained = np.zeros(len(shift), bool)
    for element in elements:
        explained |= element.leaves
    rest = _log_e(shift, ~explained, max(unmoved_scatter(shift, ~explained), 0.0) if elements else 0.0) / _LN10
    within, whole = (_log_e(one, np.ones(len(one), bool), 0.0) for one in (shift, overall))
    evidence = max(within, whole, *(element.worth + math.log(1 / alpha) for element in elements), 0.0) / _LN10
    inside, all_in_all = float(shift.shift.sum()), float(overall.shift.sum())
    mix_share = 1 - inside / all_in_all if all_in_all else 0.0
    needed = math.log(1 / alpha)
    if elements and not _is_everywhere(shift, elements, explained, rest, needed):
        answer = Answer.CAUSES
    elif elements or within >= needed:
        answer = Answer.NO_SINGLE_CAUSE
    else:
        answer = Answer.MIX_CHANGED if whole >= needed else Answer.NOTHING
    causes = _causes(table, shift, elements, alpha) if answer is Answer.CAUSES else ()
    traffic = _traffic(table) if answer is Answer.MIX_CHANGED else ()
    return Attribution(answer, causes, evidence, rest, mix_share, traffic)


def _is_everywhere(
    shift: LeafShift, elements: Sequence[Element], explained: Flags, rest_log10_e: float, needed: float
) -> bool:
    """Return whether most of the traffic moved, or what the causes leave moved the same way."""
    if any(not element.conditions for element in elements):
        return True
    if len(elements) > 1 and float(shift.weight[explained].sum()) > _MOST_OF_TRAFFIC:
        return True
    moved, rest = (float(shift.shift[chosen].sum()) for chosen in (explained, ~explained))
    if rest * moved <= 0:
        return False
    per_row, per_size = (
        (rest / float(of[~explained].sum())) / (moved / float(of[explained].sum())) for of in (shift.weight, shift.size)
    )
    return rest_log10_e * _LN10 >= needed or max(per_row, per_size) > _LIKE_THE_REST


def _log_e(shift: LeafShift, chosen: Flags, scatter: float) -> float:
    """Return the natural logarithm of the evidence that the chosen leaves moved together."""
    if not chosen.any():
        return 0.0
    together = Gain(shift, scatter).of_sets(np.zeros(len(shift), np.int64), chosen, 1)
    return float(together[0]) - _PRICE_OF_EFFECT


def _causes(table: LeafTable, shift: LeafShift, elements: Sequence[Element], alpha: float) -> tuple[Cause, ...]:
    total = float(shift.shift.sum())
    causes: list[Cause] = []
    for element in elements:
        rows, events = (float(table.now[element.leaves, column].sum()) for column in (0, 1))
        moved = float(shift.shift[element.leaves].sum())
        causes.append(
            Cause(
                conditions=tuple((table.attributes[column], code) for column, code in element.conditions),
                share=moved / total if total else 0.0,
                log10_e=(element.worth + math.log(1 / alpha)) / _LN10,
                log10_p=element.log10_p,
                n=round(rows),
                observed=events / max(rows, 1.0),
                expected=(events - moved) / max(rows, 1.0),
            )
        )
    return tuple(causes)


def _traffic(table: LeafTable) -> tuple[Traffic, ...]:
    """Return the slices whose part of the traffic changed most."""
    rows, usual_rows = (max(float(side[:, 0].sum()), 1.0) for side in (table.now, table.usual))
    slices: list[Traffic] = []
    for column, name in enumerate(table.attributes):
        values, places = np.unique(table.codes[:, column], return_inverse=True)
        shares = np.bincount(places, table.now[:, 0], values.size) / rows
        usual_shares = np.bincount(places, table.usual[:, 0], values.size) / usual_rows
        slices += [
            Traffic(name, int(value), float(share), float(usual))
            for value, share, usual in zip(values, shares, usual_shares, strict=True)
            if value != OTHER
        ]
    slices.sort(key=lambda one: -abs(one.share - one.usual_share))
    return tuple(slices[:_MOST_TRAFFIC_SLICES])
