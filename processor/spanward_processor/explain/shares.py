"""How much of the rise of the mean and of the 99th percentile each part makes."""

from functools import cache
from itertools import product
from math import factorial
from typing import Final

import numpy as np

from spanward_processor.explain.parts import MEASURED, PARTS, Part, Split, Summands
from spanward_processor.explain.quantiles import partners, quantiles
from spanward_processor.kernels.jit import Floats, Ints

TAIL: Final = 0.99

_SAME: Final = 1e-12  # seconds


def mean_changes(split: Split) -> Floats:
    """Return (8,) float64 seconds by `PARTS` by which the mean rose; they sum to the whole rise.

    What was measured is an identity. The rest is the decomposition of Oaxaca and Blinder: other data at the prices of before are the
    data's part, other prices belong to whoever `split` says.

    Source:
        Blinder, "Wage discrimination: reduced form and structural estimates", Journal of Human Resources 8 (1973); Oaxaca,
        "Male-female wage differentials in urban labor markets", International Economic Review 14 (1973).
    """
    return _means(split.now, split) - _means(split.before, split)


def data_changes(split: Split) -> Floats:
    """Return (5,) float64 seconds by `DATA` by which each driver let the mean rise."""

    def means(rows: Summands) -> Floats:
        return np.asarray((rows.computing.data + rows.waiting.data) @ rows.shares)

    return means(split.now) - means(split.before)


def _means(rows: Summands, split: Split) -> Floats:
    seconds = dict.fromkeys(PARTS, 0.0)
    for place, (part, _) in enumerate(MEASURED):
        seconds[part] += float(rows.shares @ rows.measured[place])
    for kind, owner in ((rows.computing, split.computing), (rows.waiting, split.waiting)):
        seconds[Part.DATA] += float(rows.shares @ kind.data.sum(axis=0))
        seconds[Part.VERSION] += float(rows.shares @ kind.level)
        seconds[owner] += float(rows.shares @ kind.rest)
    seconds[Part.MACHINE] += float(rows.shares @ rows.stretched)
    return np.array([seconds[part] for part in PARTS])


def tail_changes(split: Split, rng: np.random.Generator) -> Floats:
    """Return (8,) float64 seconds by `PARTS` by which the 99th percentile rose; they sum to the whole rise.

    A part is put back to before by giving each row of now what stood at its rank in that part before; the percentile of the
    latencies so made tells what the part matters. In which order parts are put back makes a difference, so it is averaged over
    all orders: Shapley's value. What is left when all are put back, since parts go together otherwise than before, is unexplained.

    Source:
        Shorrocks, "Decomposition procedures for distributional analysis: a unified framework based on the Shapley value",
        Journal of Economic Inequality 11 (2013); for ranks see `partners`.
    """
    worlds = _Worlds(split, rng)
    changed = worlds.changed
    coalitions = list(product((False, True), repeat=len(changed)))
    latency_s = np.stack(
        [worlds.latency_s({part for part, on in zip(changed, one, strict=True) if on}) for one in coalitions]
    )
    reached = quantiles(latency_s, split.now.shares, TAIL)
    seconds = dict.fromkeys(PARTS, 0.0)
    seconds |= dict(zip(changed, (_shapley(len(changed)) @ reached).tolist(), strict=True))
    seconds[Part.UNEXPLAINED] += float(
        reached[0] - quantiles(total_s(split.before)[None], split.before.shares, TAIL)[0]
    )
    return np.array([seconds[part] for part in PARTS])


def total_s(rows: Summands) -> Floats:
    """Return (n,) float64 the latencies that the summands make."""
    kinds = (rows.computing, rows.waiting)
    rest = sum((kind.data.sum(axis=0) + kind.level + kind.rest for kind in kinds), start=rows.stretched)
    return np.asarray(rows.measured.sum(axis=0) + rest)


class _Worlds:
    """Rows of now in which some parts are as now and all others as before.

    Residuals are put back by how far they lie from their price in units of the usual scatter there: calls that take long scatter more,
    and that is the data's doing.

    Args:
        split: Both times.
        rng: Source of randomness: the order of rows with equal values.
    """

    def __init__(self, split: Split, rng: np.random.Generator) -> None:
        before, now = split.before, split.now
        ties = rng.random(now.shares.size)

        def back(mine: Floats, theirs: Floats) -> Ints:
            return partners(mine, now.shares, theirs, before.shares, ties)

        pieces: list[tuple[Part, tuple[Floats, Floats]]] = []  # as before, as now
        for place, (part, _) in enumerate(MEASURED):
            mine, theirs = now.measured[place], before.measured[place]
            pieces.append((part, (theirs[back(mine, theirs)], mine)))
        mine, theirs = _levels(now), _levels(before)
        pieces.append((Part.VERSION, (theirs[back(mine, theirs)], mine)))
        mine, theirs = _data(now), _data(before)
        alike = back(mine, theirs)
        pieces.append((Part.DATA, (theirs[alike], mine)))
        pieces.append((Part.MACHINE, (np.zeros_like(now.stretched), now.stretched)))
        self._pieces = pieces
        self._rests: list[
            tuple[Part, dict[tuple[bool, bool], Floats]]
        ] = []  # by whether the rest, and data, are as now
        for owner, was, kind in (
            (split.computing, before.computing, now.computing),
            (split.waiting, before.waiting, now.waiting),
        ):
            far, far_before = (kind.rest - kind.dearer) / kind.scatter, was.rest / was.scatter
            put_back = far_before[back(far, far_before)]
            rests: dict[tuple[bool, bool], Floats] = {}
            for data, wide, dearer in (
                (True, kind.scatter, kind.dearer),
                (False, was.scatter[alike], was.dearer[alike]),
            ):
                rests[True, data], rests[False, data] = dearer + far * wide, put_back * wide
            self._rests.append((owner, rests))
        self.changed = tuple(part for part in PARTS if self._differs(part))

    def _differs(self, part: Part) -> bool:
        """Return whether it matters if a part is as before or as now."""
        pairs = [pair for owner, pair in self._pieces if owner is part]
        for owner, rests in self._rests:
            if owner is part:
                pairs.append((rests[False, True], rests[True, True]))
        return any(bool((np.abs(was - now) > _SAME).any()) for was, now in pairs)

    def latency_s(self, as_now: set[Part]) -> Floats:
        """Return (n,) float64 latencies of the rows in which only some parts are as now."""
        total = np.asarray(sum(pair[part in as_now] for part, pair in self._pieces))
        for owner, rests in self._rests:
            total = total + rests[owner in as_now, Part.DATA in as_now]
        return total


def _levels(rows: Summands) -> Floats:
    return rows.computing.level + rows.waiting.level


def _data(rows: Summands) -> Floats:
    return np.asarray(rows.computing.data.sum(axis=0) + rows.waiting.data.sum(axis=0))


@cache
def _shapley(parts: int) -> Floats:
    """Return (p, 2^p) float64 how each set of parts counts for each part; sets in the order of `product((False, True))`."""
    sets = np.array(list(product((0, 1), repeat=parts))).reshape(-1, parts)
    sizes = sets.sum(axis=1)
    orders = [factorial(size) * factorial(parts - size - 1) / factorial(parts) for size in range(parts)]
    weights = np.zeros((parts, sets.shape[0]))
    for part in range(parts):
        inside = sets[:, part] == 1
        weights[part, inside] = [orders[size - 1] for size in sizes[inside].tolist()]
        weights[part, ~inside] = [-orders[size] for size in sizes[~inside].tolist()]
    return weights
