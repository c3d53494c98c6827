"""Each row's latency as a sum of parts, every one of which belongs to a layer.

What the process measured is taken as it is: wait + garbage collection + model load + computing + waiting elsewhere = latency. What
data cost is priced as before (`prices.py`); what a price leaves over is a residual.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from spanward_processor.explain.machine import Machine, Resource
from spanward_processor.explain.measured import CPU, DATA, GC, LOAD, WAIT, Measured
from spanward_processor.explain.prices import Prices, fitted, learn
from spanward_processor.kernels.jit import Floats, Ints


class Layer(StrEnum):
    """Where a cause lies."""

    DATA = "data"
    APPLICATION = "application"
    INFRASTRUCTURE = "infrastructure"
    VERSION = "version"
    UNEXPLAINED = "unexplained"


class Part(StrEnum):
    """What a call spends its time on."""

    DATA = "data"
    GC = "garbage collection"
    WAIT = "wait for a worker"
    LOAD = "model load"
    QUEUE = "waiting"  # off the processor, for none of the reasons above
    MACHINE = "infrastructure"
    VERSION = "version or route"
    UNEXPLAINED = "unexplained"


PARTS: Final = tuple(Part)

LAYERS: Final = {
    Part.DATA: Layer.DATA,
    Part.GC: Layer.APPLICATION,
    Part.WAIT: Layer.APPLICATION,
    Part.LOAD: Layer.APPLICATION,
    Part.QUEUE: Layer.APPLICATION,
    Part.MACHINE: Layer.INFRASTRUCTURE,
    Part.VERSION: Layer.VERSION,
    Part.UNEXPLAINED: Layer.UNEXPLAINED,
}

MEASURED: Final = ((Part.GC, GC), (Part.WAIT, WAIT), (Part.LOAD, LOAD))
"""Parts that the process measured, and their places in `RUNTIME`."""

_CPU_KNOWN: Final = 0.8  # share of rows that must tell their CPU time, in both times
_NEW_ROWS: Final = 20  # of a version or route that before would have had, had it been as frequent as now
_NEW_TIMES: Final = 3  # as many as it had
_CLEAR: Final = 2.0  # standard errors of what a slope makes, which must be less than what it is to explain


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of time that a row spent: computing, or waiting elsewhere.

    Args:
        data: (5, n) float64 seconds by `DATA`, at the prices of before.
        level: (n,) float64 seconds of the row's version and route, likewise.
        rest: (n,) float64 what is left.
        dearer: (n,) float64 how much of the rest, by the prices of now, goes with such data: a part of it for rows of now.
        scatter: (n,) float64 how far rows with this data usually lie from their price.
    """

    data: Floats
    level: Floats
    rest: Floats
    dearer: Floats
    scatter: Floats


@dataclass(frozen=True, slots=True)
class Summands:
    """Rows of one time as sums: what was measured, both kinds of other time, and what a strained machine added to them.

    Args:
        measured: (3, n) float64 seconds by `MEASURED`.
        computing: Time on a processor; all other time where that is not told.
        waiting: Time off it, for none of the measured reasons.
        stretched: (n,) float64 seconds of waiting that go with computing, as on a busy processor.
        shares: (n,) float64 weights that sum to one.
    """

    measured: Floats
    computing: Kind
    waiting: Kind
    stretched: Floats
    shares: Floats


@dataclass(frozen=True, slots=True)
class Split:
    """Both times as sums of the same parts.

    Args:
        before: Rows of before.
        now: Rows of now.
        computing: The part to which the rest of computing belongs.
        waiting: The part to which the rest of waiting belongs.
        apart: Whether computing and waiting could be told apart.
        unpriced: Places in `DATA` of what moved though nobody can tell its price.
    """

    before: Summands
    now: Summands
    computing: Part
    waiting: Part
    apart: bool
    unpriced: Ints


def split(before: Measured, now: Measured, machine: Machine) -> Split:
    """Split every row of both times.

    Args:
        before: Rows of before.
        now: Rows of now.
        machine: What is known of where they ran.
    """
    apart = all(told(rows, CPU) >= _CPU_KNOWN for rows in (before, now))
    ran = [_run(rows, apart=apart) for rows in (before, now)]
    computing, unpriced = _priced(before, now, ran[0][0], ran[1][0])
    waiting, _ = _priced(before, now, ran[0][1], ran[1][1])
    strained = {gauge.resource for gauge in machine.strained}
    slope, rest_is = _stretch(ran[1][0], waiting[1].rest, now.shares, strained if apart else set())
    stretched = slope * ran[1][0]
    was_waiting = replace(waiting[0], dearer=waiting[0].dearer - slope * ran[0][0])
    is_waiting = replace(waiting[1], rest=waiting[1].rest - stretched, dearer=waiting[1].dearer - stretched)
    return Split(
        before=Summands(_measured(before), computing[0], was_waiting, np.zeros(len(before)), before.shares),
        now=Summands(_measured(now), computing[1], is_waiting, stretched, now.shares),
        computing=Part.MACHINE if strained else Part.UNEXPLAINED,
        waiting=rest_is,
        apart=apart,
        unpriced=unpriced,
    )


def told(rows: Measured, place: int) -> float:
    """Return the share of rows that tell something of `RUNTIME`."""
    return float(rows.shares[np.isfinite(rows.runtime[place])].sum())


def _measured(rows: Measured) -> Floats:
    """Return (3, n) float64 seconds by `MEASURED`; inside the span they never exceed it."""
    seconds: Floats = np.nan_to_num(np.stack([rows.runtime[place] for _, place in MEASURED]))
    inside = seconds[0] + seconds[2]
    fits = np.minimum(1.0, rows.span_s / np.maximum(inside, 1e-300))
    seconds[0] *= fits
    seconds[2] *= fits
    return seconds


def _run(rows: Measured, *, apart: bool) -> tuple[Floats, Floats]:
    """Return the seconds a row spent computing, and those it waited elsewhere.

    A collection of garbage runs in the call's own thread, and is a part of its CPU time, or in another, and is none; which, nobody
    tells. Taking it for none unless the span is too short for that errs by no more than the time off the processor.
    """
    measured = _measured(rows)
    run_s: Floats = rows.span_s - measured[0] - measured[2]
    if not apart:
        return run_s, np.zeros(len(rows))
    told_s = rows.runtime[CPU]
    waiting_s = np.where(np.isfinite(told_s), np.maximum(run_s - told_s, 0.0), 0.0)
    return run_s - waiting_s, waiting_s


def _priced(before: Measured, now: Measured, before_s: Floats, now_s: Floats) -> tuple[tuple[Kind, Kind], Ints]:
    """Return one kind of time of both, at the prices of before, and the drivers without a price."""
    prices, unpriced = learn(before, now, before_s, now_s)
    own = prices.of_group(before.groups)
    own = np.where(np.isnan(own), prices.level, own)
    was_data_s, data_s = _by_driver(prices, before), _by_driver(prices, now)
    levels = _levels(prices, before, now, now_s - data_s.sum(axis=0))
    was_rest_s, rest_s = before_s - was_data_s.sum(axis=0) - own, now_s - data_s.sum(axis=0) - levels
    later = fitted(now, rest_s, prices)
    kinds = (
        Kind(was_data_s, own, was_rest_s, later.of_all(before), prices.scatter(was_data_s.sum(axis=0))),
        Kind(data_s, levels, rest_s, later.of_all(now), prices.scatter(data_s.sum(axis=0))),
    )
    return kinds, unpriced


def _by_driver(prices: Prices, rows: Measured) -> Floats:
    seconds = np.zeros((len(DATA), len(rows)))
    seconds[prices.drivers] = prices.of_data(rows)
    return seconds


def _levels(prices: Prices, before: Measured, now: Measured, rest_s: Floats) -> Floats:
    """Return (n,) float64 the level of each row of now; a version or route that is new has that of now.

    One that had too few rows before for a level of its own, and is not much more frequent now, has that of all.
    """
    levels = prices.of_group(now.groups)
    groups, places = np.unique(now.groups, return_inverse=True)
    weights = np.bincount(places, now.weights, groups.size)
    expected = len(before) * weights / weights.sum()
    seen = np.array([np.count_nonzero(before.groups == group) for group in groups])
    new = expected >= np.maximum(_NEW_ROWS, _NEW_TIMES * seen)
    own = np.where(new, np.bincount(places, now.weights * rest_s, groups.size) / weights, prices.level)
    return np.asarray(np.where(np.isnan(levels), own[places], levels))


def _stretch(computing_s: Floats, rest_s: Floats, shares: Floats, strained: set[Resource]) -> tuple[float, Part]:
    """Return the seconds of waiting that a strained machine adds to a second of computing, and whose all other waiting is.

    On a busy processor a call waits the longer the more it computes; for a lock, or for others, it waits however much that is.
    Where rows do not show which it is, the machine is blamed for all.
    """
    if not strained:
        return 0.0, Part.QUEUE
    mean, rise = float(shares @ computing_s), float(shares @ rest_s)
    away = computing_s - mean
    variance = float(shares @ away**2)
    if Resource.MEMORY in strained or rise <= 0 or variance <= 0:
        return 0.0, Part.MACHINE
    slope = float(shares @ (away * rest_s)) / variance
    left = rest_s - rise - slope * away
    error = float(np.sqrt(((shares * away * left) ** 2).sum())) / variance
    if _CLEAR * error * mean > rise:
        return 0.0, Part.MACHINE
    return min(max(slope, 0.0), rise / mean), Part.QUEUE
