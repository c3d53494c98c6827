"""Why latency rose between two times: the rise of its mean and of its 99th percentile, and each part's share of them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from spanward_processor.explain.machine import NOTHING_KNOWN, Machine
from spanward_processor.explain.measured import DATA, RUNTIME, Measured
from spanward_processor.explain.parts import LAYERS, PARTS, Layer, Part, Split, split, told
from spanward_processor.explain.quantiles import quantiles
from spanward_processor.explain.shares import TAIL, data_changes, mean_changes, tail_changes
from spanward_processor.kernels.jit import Floats

FEWEST_ROWS: Final = 30
"""Rows of each time below which nothing is said."""

FEWEST_FOR_TAIL: Final = 300
"""Rows of each time below which nothing is said of the 99th percentile: three lie beyond it."""

ROUNDS: Final = 100
"""Times that rows are drawn again for the intervals."""

_INSIDE: Final = (0.025, 0.975)
_ALIKE: Final = 0.95  # correlation from which on nobody can tell which of two drivers costs
_LEAST_RISE: Final = 0.01  # of the value before: less is nobody's reason to ask
_WORTH_NAMING: Final = 0.1  # of the rise


class Answer(StrEnum):
    """What can be said."""

    ROSE = "rose"
    NO_RISE = "did not rise"
    FELL = "fell"
    TOO_FEW = "too few rows"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rise:
    """How one number rose, and what each part adds to that.

    Args:
        before_s: The number before, seconds.
        now_s: The number now, seconds.
        rise_s: By how much it rose.
        parts_s: Seconds of each part; they sum to the rise. One that let it fall is negative.
    """

    before_s: float
    now_s: float
    rise_s: Interval
    parts_s: dict[Part, Interval]

    @property
    def answer(self) -> Answer:
        """Whether it rose, beyond chance and by more than nobody would notice."""
        if self.rise_s.low > 0 and self.rise_s.value >= _LEAST_RISE * self.before_s:
            return Answer.ROSE
        if self.rise_s.high < 0 and -self.rise_s.value >= _LEAST_RISE * self.before_s:
            return Answer.FELL
        return Answer.NO_RISE

    def share(self, part: Part) -> Interval:
        """Return a part's share of the rise; more than one where others let it fall."""
        return self._of_rise(self.parts_s[part])

    def layer_s(self, layer: Layer) -> float:
        """Return the seconds of a layer."""
        return sum(self.parts_s[part].value for part in PARTS if LAYERS[part] is layer)

    def _of_rise(self, seconds: Interval) -> Interval:
        rise = self.rise_s.value
        low, high = sorted((seconds.low / rise, seconds.high / rise))
        return Interval(seconds.value / rise, low, high)


@dataclass(frozen=True, slots=True)
class Driver:
    """What moved in the data, or in what the process measured.

    Args:
        name: Its role.
        before: Mean before; NaN where no row told it.
        now: Mean now; likewise.
        seconds: What it adds to the mean latency; NaN where nobody can tell.
        alike: Others that go with it, so that nobody can tell which of them costs; the seconds are those of all.
    """

    name: str
    before: float
    now: float
    seconds: float
    alike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why latency rose.

    Args:
        answer: What can be said.
        rows: Rows looked at, before and now.
        mean: The mean; None where there are too few rows.
        tail: The 99th percentile; likewise.
        drivers: What moved in the data, what costs most first.
        runtime: What the process measured.
        machine: What is known of where it ran.
        missing: Evidence that nobody told, by name; causes of that kind are not seen.
        unpriced: Data that moved though nobody can tell what that costs, by name.
    """

    answer: Answer
    rows: tuple[int, int]
    mean: Rise | None = None
    tail: Rise | None = None
    drivers: tuple[Driver, ...] = ()
    runtime: tuple[Driver, ...] = ()
    machine: Machine = NOTHING_KNOWN
    missing: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[Part, ...]:
        """The parts that let latency rise beyond chance and by a tenth of the rise at least, strongest first."""
        if self.mean is None:
            return ()
        rises = [rise for rise in (self.mean, self.tail) if rise and rise.answer is Answer.ROSE]
        strength = {
            part: max(rise.share(part).value for rise in rises if rise.parts_s[part].low > 0)
            for part in PARTS
            if any(rise.parts_s[part].low > 0 and rise.share(part).value >= _WORTH_NAMING for rise in rises)
        }
        return tuple(sorted(strength, key=lambda part: -strength[part]))


def explain(
    before: Measured,
    now: Measured,
    rng: np.random.Generator,
    machine: Machine = NOTHING_KNOWN,
    rounds: int = ROUNDS,
) -> Explanation:
    """Return why latency rose from one time to another.

    Args:
        before: Rows of before.
        now: Rows of now.
        rng: Source of randomness, for intervals.
        machine: What is known of where they ran.
        rounds: Times that rows are drawn again.

    Cost:
        With 2,000 rows of each some 15 ms, and as much for each round.
    """
    before, now = before.usable(), now.usable()
    rows = len(before), len(now)
    if min(rows) < FEWEST_ROWS:
        return Explanation(Answer.TOO_FEW, rows, machine=machine)
    found = split(before, now, machine)
    with_tail = min(rows) >= FEWEST_FOR_TAIL
    means, tails = mean_changes(found), tail_changes(found, rng) if with_tail else None
    drawn_means, drawn_tails = np.empty((rounds, len(PARTS))), np.empty((rounds, len(PARTS)))
    for number in range(rounds):
        again = split(before.again(rng), now.again(rng), machine)
        drawn_means[number] = mean_changes(again)
        if with_tail:
            drawn_tails[number] = tail_changes(again, rng)
    mean = _rise(float(before.shares @ before.latency_s), means, drawn_means)
    tail = None
    if tails is not None:
        tail = _rise(float(quantiles(before.latency_s[None], before.shares, TAIL)[0]), tails, drawn_tails)
    return Explanation(
        answer=_answer(mean, tail),
        rows=rows,
        mean=mean,
        tail=tail,
        drivers=_drivers(before, now, found),
        runtime=_runtime(before, now),
        machine=machine,
        missing=_missing(before, now, found, machine),
        unpriced=tuple(name for place, name in enumerate(DATA) if place in found.unpriced),
    )


def _rise(before_s: float, changes: Floats, drawn: Floats) -> Rise:
    parts = {part: _interval(float(changes[place]), drawn[:, place]) for place, part in enumerate(PARTS)}
    rise = _interval(float(changes.sum()), drawn.sum(axis=1))
    return Rise(before_s, before_s + rise.value, rise, parts)


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, _INSIDE).tolist() if drawn.size else (value, value)
    return Interval(value, min(low, value), max(high, value))


def _answer(mean: Rise, tail: Rise | None) -> Answer:
    """Return what happened: a rise of either number is one."""
    answers = [rise.answer for rise in (mean, tail) if rise]
    return next((answer for answer in (Answer.ROSE, Answer.FELL) if answer in answers), Answer.NO_RISE)


def _mean(rows: Measured, values: Floats) -> float:
    known = np.isfinite(values)
    weight = float(rows.weights[known].sum())
    return float(rows.weights[known] @ values[known]) / weight if weight else float("nan")


def _drivers(before: Measured, now: Measured, found: Split) -> tuple[Driver, ...]:
    seconds = data_changes(found)
    seconds[found.unpriced] = np.nan
    drivers: list[Driver] = []
    for first, *others in _alike(before, now):
        was, is_now = _mean(before, before.data[first]), _mean(now, now.data[first])
        cost_s = float(seconds[[first, *others]].sum())
        drivers.append(Driver(DATA[first], was, is_now, cost_s, tuple(DATA[place] for place in others)))
    return tuple(sorted(drivers, key=lambda one: -abs(one.seconds) if np.isfinite(one.seconds) else 0.0))


def _alike(before: Measured, now: Measured) -> list[list[int]]:
    """Return the drivers that anybody told, those that went together before in one list."""
    sets: list[list[int]] = []
    for place in range(len(DATA)):
        if np.isfinite(before.data[place]).any() or np.isfinite(now.data[place]).any():
            near = next((one for one in sets if _correlation(before, one[0], place) >= _ALIKE), None)
            if near:
                near.append(place)
            else:
                sets.append([place])
    return sets


def _correlation(rows: Measured, left: int, right: int) -> float:
    known = np.isfinite(rows.data[left]) & np.isfinite(rows.data[right])
    pair = rows.data[[left, right]][:, known]
    if pair.shape[1] < FEWEST_ROWS or (pair.std(axis=1) == 0).any():
        return 0.0
    away = pair - pair.mean(axis=1, keepdims=True)
    return float(away[0] @ away[1] / np.sqrt((away[0] @ away[0]) * (away[1] @ away[1])))


def _runtime(before: Measured, now: Measured) -> tuple[Driver, ...]:
    """Return the mean of what the process measured, over all rows: who tells nothing measured nothing."""
    made: list[Driver] = []
    for place, name in enumerate(RUNTIME):
        if np.isfinite(before.runtime[place]).any() or np.isfinite(now.runtime[place]).any():
            was, is_now = (float(rows.shares @ np.nan_to_num(rows.runtime[place])) for rows in (before, now))
            made.append(Driver(name, was, is_now, is_now - was))
    return tuple(made)


def _missing(before: Measured, now: Measured, found: Split, machine: Machine) -> tuple[str, ...]:
    missing = [
        name
        for place, name in enumerate(RUNTIME)
        if (not found.apart and name == "cpu_s") or told(before, place) + told(now, place) == 0.0
    ]
    if not any(
        np.isfinite(before.data[place]).any() and np.isfinite(now.data[place]).any() for place in range(len(DATA))
    ):
        missing.append("data")
    if not machine.gauges:
        missing.append("machine")
    return tuple(missing)
