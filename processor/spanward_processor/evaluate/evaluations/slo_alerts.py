"""Alerts about budgets, beside a twin that keeps every request, and beside the rule without a guard for few requests.

Requests come evenly, and fail by chance. The first part begins to fail after a clean stretch as long as the rule's window; an alert is then
due when the window's failures reach the rule: window times factor times budget, divided by the share that fails. The twin looks at all
requests of a window, to the nanosecond. In the second part a service keeps exactly to its budget, so that each page is false.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_most, percent
from spanward_processor.evaluate.intervals import Estimate, over_seeds
from spanward_processor.features import show_share
from spanward_processor.kernels.jit import Flags, Ints
from spanward_processor.lengths import show_length
from spanward_processor.slo.burning import SIGNIFICANT_P, Standing, binomial_tail, standing_of
from spanward_processor.slo.ledger import SECOND_NS, Ledger
from spanward_processor.slo.objective import (
    DAY_S,
    DEFAULT_BURNS,
    HOUR_S,
    PERIOD_S,
    Burn,
    Objective,
    Op,
    Selector,
    Severity,
    Source,
)

OBJECTIVE: Final = Objective("answered", Selector(), Source.ERROR, Op.LTE, 0.0, 0.999)
STRICT: Final = replace(OBJECTIVE, target=0.9999)
"""An objective of which a single failure an hour is far too much, where requests are few."""

CUSTOM: Final = (
    Burn.of_budget(Severity.PAGE, 0.01, HOUR_S, PERIOD_S),
    Burn.of_budget(Severity.PAGE, 0.05, 3 * HOUR_S, PERIOD_S),
)
FAILING: Final = (0.02, 0.05, 0.2, 1.0)  # shares of requests
FASTEST: Final = 1.05  # times the formula, and a tick
QUIET_PER_S: Final = (0.01, 0.1, 1.0, 10.0)
FEWER: Final = 0.1  # of the plain rule's pages
_PER_S: Final = 10
_TICK_S: Final = 1
_JUDGED_EVERY_S: Final = 30
_START_S: Final = 1_700_000_000
_MOST_ROWS: Final = 5_000_000  # of a quiet stretch: 30 days of a request a second and slower, six of ten


@dataclass(frozen=True, slots=True)
class Fired:
    """When an alert opened, seconds after the failures began; None where it did not in twice its time.

    Args:
        ours: From the ledger.
        twin: From all requests.
        due: By the formula.
    """

    ours: float | None
    twin: float | None
    due: float


def fired(burn: Burn, failing: float, seed: int) -> Fired:
    """Return when a rule fires once a share of the requests fails."""
    rng = np.random.default_rng([seed, round(burn.long_s), round(1000 * failing)])
    due_s = burn.long_s * burn.factor * OBJECTIVE.budget / failing
    clean, after = round(burn.long_s), round(2 * due_s) + 60
    seconds = np.repeat(np.arange(clean + after), _PER_S)
    times = (_START_S + seconds) * SECOND_NS + np.tile(np.arange(_PER_S) * (SECOND_NS // _PER_S), clean + after)
    bad = (seconds >= clean) & (rng.random(times.size) < failing)
    objective, ledger = replace(OBJECTIVE, burns=(burn,)), Ledger([OBJECTIVE.name])
    before = np.concatenate(([0], np.cumsum(bad)))
    _add(ledger, times[: clean * _PER_S], bad[: clean * _PER_S])
    ours = twin = None
    for second in range(0, after, _TICK_S):
        first, last = (clean + second) * _PER_S, (clean + second + _TICK_S) * _PER_S
        _add(ledger, times[first:last], bad[first:last])
        now_ns = int(times[last - 1])
        if ours is None and standing_of(objective, 0, ledger, now_ns).burning:
            ours = float(second + _TICK_S)
        if twin is None and _twin_burns(burn, times[:last], before, now_ns):
            twin = float(second + _TICK_S)
        if ours is not None and twin is not None:
            break
    return Fired(ours, twin, due_s)


def _add(ledger: Ledger, times: Ints, bad: Flags) -> None:
    ledger.add(times, np.ones(times.size, np.uint64), bad.astype(np.uint64))


def _twin_burns(burn: Burn, times: Ints, before: Ints, now_ns: int) -> bool:
    """Return whether a rule holds by all requests; `before` counts the bad ones before each."""

    def counted(window_s: float) -> tuple[int, int]:
        first = int(np.searchsorted(times, now_ns - round(window_s * SECOND_NS), "right"))
        return times.size - first, int(before[times.size] - before[first])

    needed = burn.factor * OBJECTIVE.budget
    (rows, bad), (short_rows, short_bad) = counted(burn.long_s), counted(burn.short_s)
    if not bad or bad / rows < needed or short_bad / short_rows < needed:
        return False
    return binomial_tail(rows, bad, OBJECTIVE.budget * min(1.0, burn.factor / 3)) <= SIGNIFICANT_P


def false_pages(per_s: float, seed: int, seconds: float) -> tuple[int, int]:
    """Return how often a page opened about a service that keeps to its budget: ours, and by the plain rule."""
    rng = np.random.default_rng([seed, round(1000 * per_s)])
    rows = int(rng.poisson(per_s * seconds))
    times = np.sort(rng.random(rows) * seconds)
    bad = rng.random(rows) < STRICT.budget
    ledger, pages = Ledger([STRICT.name]), [burn for burn in DEFAULT_BURNS if burn.severity is Severity.PAGE]
    objective, open_before, opened = replace(STRICT, burns=pages), [False, False], [0, 0]
    steps = np.searchsorted(times, np.arange(0.0, seconds + _JUDGED_EVERY_S, _JUDGED_EVERY_S))
    times_ns = ((_START_S + times) * SECOND_NS).astype(np.int64)
    for step in range(1, steps.size):
        first, last = int(steps[step - 1]), int(steps[step])
        if last > first:
            _add(ledger, times_ns[first:last], bad[first:last])
        standing = standing_of(objective, 0, ledger, (_START_S + step * _JUDGED_EVERY_S) * SECOND_NS)
        for place, is_open in enumerate((bool(standing.burning), _plainly_burns(standing))):
            opened[place] += is_open and not open_before[place]
            open_before[place] = is_open
    return opened[0], opened[1]


def _plainly_burns(standing: Standing) -> bool:
    """Return whether a rule holds by its shares alone."""
    rates = {counted.window_s: standing.burn_rate(counted) for counted in standing.windows}
    return any(
        rates[burn.long_s] >= burn.factor and rates[burn.short_s] >= burn.factor for burn in standing.objective.burns
    )


def measure(effort: Effort) -> Iterator[Line]:
    """Compare alerts; see `Evaluation`."""
    rules = (*DEFAULT_BURNS[:1], *CUSTOM[:1]) if effort.short else (*DEFAULT_BURNS, *CUSTOM)
    for burn in rules:
        for failing in FAILING:
            yield _of_rule(burn, failing, [fired(burn, failing, seed) for seed in effort.seeds])
    for per_s in QUIET_PER_S[: 2 if effort.short else None]:
        seconds = min(30 * DAY_S, _MOST_ROWS / per_s)
        found = [false_pages(per_s, seed, seconds) for seed in effort.seeds]
        ours, plain = (sum(one[place] for one in found) for place in (0, 1))
        what = f"{per_s:g} requests/s, {seconds / DAY_S:.0f} days a seed: {ours} false pages, {plain} by the plain rule"
        if plain:
            yield at_most(what, Estimate(ours / plain, ours / plain, ours / plain, 1), FEWER, percent)
        else:
            yield Line(what, "no page of either" if not ours else f"{ours}", "0", not ours)


def _of_rule(burn: Burn, failing: float, runs: list[Fired]) -> Line:
    what = (
        f"{burn.factor:.3g}x in {show_length(burn.long_s)}, {show_share(failing)} fail: due after {runs[0].due:,.0f} s"
    )
    if any(run.ours is None or run.twin is None for run in runs):
        return Line(what, "not fired", f"<= {FASTEST:g} times, and a tick", reached=False)
    ours = [run.ours or 0.0 for run in runs]
    apart = max(abs((run.ours or 0.0) - (run.twin or 0.0)) for run in runs)
    found, most = over_seeds(ours), FASTEST * runs[0].due + _TICK_S
    told = f"{found.shown('{:,.0f} s'.format)}; the twin at most {apart:.0f} s apart"
    return Line(what, told, f"<= {most:,.1f} s", found.mean <= most)


EVALUATION: Final = Evaluation(
    name="slo_alerts",
    shows="When alerts about budgets open, beside a twin that keeps every request; and how many are false where requests are few.",
    measure=measure,
    first_seed=900,
    seeds=3,
)
