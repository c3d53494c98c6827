"""Deviations in words that a tired person understands."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from spanward_processor.detectors.base import Account, aspect_name
from spanward_processor.features import Feature, Shape
from spanward_processor.findings import Series
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.tables import OTHER
from spanward_processor.windows.cells import Cells

_MOST_CARRIERS: Final = 64
_CARRIER_LIFT: Final = 2.0  # a bin carries a finding where it is at least twice as frequent as usual
_CARRIER_GAIN: Final = 0.01  # ... and by at least this share of the rows


def quantile(cells: Cells, feature: Feature, share: float) -> float:
    """Return a quantile of one stream's values, exact to the width of a bin; NaN where there are none.

    Rows counted as "other" found no bin of their own: their values are unknown, and they are left out.
    """
    cells = cells.where(cells.bins != OTHER)
    if not len(cells):
        return float("nan")
    running = np.cumsum(cells.counts)
    place = int(np.searchsorted(running, share * float(running[-1])))
    return feature.value(int(cells.bins[min(place, len(cells) - 1)]))


def account_of(
    feature: Feature,
    series: Series,
    stream: int,
    now: Cells,
    usual: Cells,
    rates: tuple[float, float],
    text: Callable[[int], str],
) -> Account:
    """Put a feature's deviation into words.

    Args:
        feature: What is compared.
        series: Whose.
        stream: Its stream.
        now: The window's cells of the stream.
        usual: The baseline's cells of the stream.
        rates: For the rate: rows per second now and usually.
        text: Code to text.
    """
    observed, baseline, sentence = _SPEAKERS[feature.shape](feature, now, usual, rates, text)
    rows = round(now.total())
    return Account(
        kind=feature.kind,
        aspect=aspect_name(feature.aspect),
        observed=observed,
        baseline=baseline,
        reason=f"{_upper(feature.noun)} of {series} {sentence}",
        n=rows,
        carriers=() if feature.shape is Shape.COUNT else _carriers(stream, now, usual),
    )


def _upper(noun: str) -> str:
    return noun[0].upper() + noun[1:]


_Words = tuple[str, str, str]
_Speaker = Callable[[Feature, Cells, Cells, tuple[float, float], Callable[[int], str]], _Words]


def _say_rate(
    feature: Feature, now: Cells, usual: Cells, rates: tuple[float, float], text: Callable[[int], str]
) -> _Words:
    del now, usual, text
    observed, baseline = (f"{feature.show(rate)}/s" for rate in rates)
    verb = "rose to" if rates[0] > rates[1] else "fell to"
    return observed, baseline, f"{verb} {observed}, usually {baseline}."


def _say_number(
    feature: Feature, now: Cells, usual: Cells, rates: tuple[float, float], text: Callable[[int], str]
) -> _Words:
    del rates, text
    middle, top = (quantile(now, feature, share) for share in (0.5, 0.99))
    usual_middle, usual_top = (quantile(usual, feature, share) for share in (0.5, 0.99))

    def show(value: float) -> str:
        return "unknown" if math.isnan(value) else feature.show(value)

    moved, moved_top = _ratio(middle, usual_middle), _ratio(top, usual_top)
    if abs(moved) >= abs(moved_top) > 0 or moved_top == 0 != moved:
        verb = "rose" if moved > 0 else "fell"
    elif moved_top:
        verb = "has a longer tail" if moved_top > 0 else "has a shorter tail"
    else:
        verb = "is spread differently"
    return (
        f"median {show(middle)}, p99 {show(top)}",
        f"median {show(usual_middle)}, p99 {show(usual_top)}",
        (
            f"{verb}: median {show(middle)}, usually {show(usual_middle)}; "
            f"99th percentile {show(top)}, usually {show(usual_top)}."
        ),
    )


def _ratio(now: float, usual: float) -> float:
    """Return the logarithm of a change, 0 for none or an unknown one; by difference where a value is not positive."""
    if math.isnan(now) or math.isnan(usual):
        return 0.0
    return math.log(now / usual) if now > 0 and usual > 0 else now - usual


def _say_flag(
    feature: Feature, now: Cells, usual: Cells, rates: tuple[float, float], text: Callable[[int], str]
) -> _Words:
    del rates, text
    observed, baseline = (feature.show(_share_of_ones(cells)) for cells in (now, usual))
    return observed, baseline, f"rose to {observed}, usually {baseline}."


def _share_of_ones(cells: Cells) -> float:
    total = cells.total()
    return float(cells.counts[cells.bins == 1].sum()) / total if total else 0.0


def _say_category(
    feature: Feature, now: Cells, usual: Cells, rates: tuple[float, float], text: Callable[[int], str]
) -> _Words:
    del rates
    bins, shares, usual_shares = _shares(now, usual)
    gain = shares - usual_shares
    chosen = [int(np.argmax(gain)), int(np.argmin(gain))]
    names = [_name(int(bins[place]), text) for place in chosen]
    observed = ", ".join(f"{name} {feature.show(shares[at])}" for name, at in zip(names, chosen, strict=True))
    baseline = ", ".join(f"{name} {feature.show(usual_shares[at])}" for name, at in zip(names, chosen, strict=True))
    parts = [
        f"{name} {feature.show(shares[at])} of rows, usually {feature.show(usual_shares[at])}"
        for name, at in zip(names, chosen, strict=True)
    ]
    return observed, baseline, f"shifted: {'; '.join(parts)}."


def _name(cell_bin: int, text: Callable[[int], str]) -> str:
    return "the rest" if cell_bin == OTHER else f"'{text(cell_bin)}'"


def _shares(now: Cells, usual: Cells) -> tuple[Ints, Floats, Floats]:
    """Return the bins of both bags and each one's share in either."""
    bins = np.union1d(now.bins, usual.bins).astype(np.int64)
    shares: list[Floats] = []
    for cells in (now, usual):
        share = np.zeros(bins.size)
        share[np.searchsorted(bins, cells.bins)] = cells.counts / max(cells.total(), 1.0)
        shares.append(share)
    return bins, shares[0], shares[1]


def _carriers(stream: int, now: Cells, usual: Cells) -> tuple[tuple[int, int], ...]:
    bins, shares, usual_shares = _shares(now, usual)
    gain = shares - usual_shares
    carrying = (shares >= _CARRIER_LIFT * usual_shares) & (gain >= _CARRIER_GAIN)
    strongest = np.flatnonzero(carrying)[np.argsort(-gain[carrying])][:_MOST_CARRIERS]
    return tuple((stream, int(cell_bin)) for cell_bin in bins[strongest])


_SPEAKERS: Final[dict[Shape, _Speaker]] = {
    Shape.COUNT: _say_rate,
    Shape.NUMBER: _say_number,
    Shape.FLAG: _say_flag,
    Shape.CATEGORY: _say_category,
}
