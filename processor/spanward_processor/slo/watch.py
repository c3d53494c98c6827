"""Objectives as the pipeline sees them: rows are marked, counted once delivered, and budgets watched."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.columns import SpanBatch
from spanward_processor.evidence import calibrate
from spanward_processor.features import Aspect, Rows
from spanward_processor.findings import Finding, Series, Severity, State, as_plain, from_plain
from spanward_processor.kept import Arrays, from_json, part, to_json, under
from spanward_processor.kernels.jit import Codes
from spanward_processor.kernels.objectives import ERROR, LATENCY, Asked, mark_rows
from spanward_processor.keys import KeyDirectory
from spanward_processor.roles import RoleTable
from spanward_processor.slo.burning import Counted, Standing, standing_of
from spanward_processor.slo.ledger import SECOND_NS, Ledger
from spanward_processor.slo.objective import Burn, Objective, Source
from spanward_processor.slo.objective import Severity as Urgency
from spanward_processor.slo.words import reason_of, show_bad, show_goal

DETECTOR: Final = "slo_burn"
_UPDATE_NS: Final = 300 * SECOND_NS  # an open finding is told again at most this often
_KINDS: Final = {Source.ERROR: "operational", Source.LATENCY: "performance"}
_SEVERITIES: Final = {Urgency.PAGE: Severity.CRITICAL, Urgency.TICKET: Severity.WARNING}


@dataclass(frozen=True, slots=True)
class Marks:
    """What the rows of a batch count for.

    Args:
        counted: (n,) uint64 objectives, one bit each.
        bad: (n,) uint64 those for which the row is bad.
    """

    counted: Codes
    bad: Codes


class Watch:
    """Marks and counts rows for every objective, and holds the findings about budgets that burn too fast.

    Args:
        objectives: At most `objective.MOST`, with distinct names.
        roles: Where the number columns are.
        directory: Names of the keys.
        budget_per_day: False alarms allowed, as findings tell it.
    """

    def __init__(
        self, objectives: Sequence[Objective], roles: RoleTable, directory: KeyDirectory, budget_per_day: float
    ) -> None:
        self.objectives = tuple(objectives)
        self.budget_per_day = budget_per_day
        self._directory = directory
        self._ledger = Ledger([objective.name for objective in objectives])
        self._asked = _asked(self.objectives, roles)
        self._matches: Codes = np.zeros(0, np.uint64)  # objectives of each key, one bit each
        self._open: dict[str, _Lasting] = {}  # by name of the objective
        self._since: dict[tuple[str, Burn], int] = {}  # since when a rule has held
        self._standings: tuple[Standing, ...] = ()

    # --- rows --------------------------------------------------------------------------------------------------------

    def mark(self, batch: SpanBatch, rows: Rows) -> Marks:
        """Return what rows count for; the directory must not change meanwhile."""
        self._match()
        marks = Marks(np.empty(len(rows), np.uint64), np.empty(len(rows), np.uint64))
        mark_rows(
            rows.keys,
            self._matches,
            self._asked,
            batch.facts.start_ns,
            batch.facts.end_ns,
            rows.bins[Aspect.ERROR],
            batch.numbers,
            marks.counted,
            marks.bad,
        )
        return marks

    def _match(self) -> None:
        """Find the objectives of keys that are new."""
        known = self._matches.size
        fresh = [
            sum(1 << place for place, one in enumerate(self.objectives) if one.selector.takes(self._directory[key]))
            for key in range(known, len(self._directory))
        ]
        if fresh:
            self._matches = np.concatenate((self._matches, np.array(fresh, np.uint64)))

    def count(self, rows: Rows, marks: Marks, now_ns: int) -> None:
        """Count delivered rows at their event time; one that is ahead of the clock is counted in the present."""
        self._ledger.add(np.minimum(rows.time_ns, now_ns), marks.counted, marks.bad)

    # --- budgets -----------------------------------------------------------------------------------------------------

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How each objective stood when it was last judged."""
        return self._standings

    def totals(self) -> tuple[tuple[Objective, int, int], ...]:
        """Return each objective with its rows since this process began, and the bad ones among them."""
        pairs = zip(self.objectives, self._ledger.totals.tolist(), strict=True)
        return tuple((objective, rows, bad) for objective, (rows, bad) in pairs)

    @property
    def open_findings(self) -> tuple[Finding, ...]:
        """The findings that last, oldest first."""
        return tuple(lasting.finding for lasting in self._open.values())

    def judge(self, now_ns: int) -> tuple[Finding, ...]:
        """Return what changed about the findings.

        Args:
            now_ns: Event time now, Unix nanoseconds.
        """
        self._standings = tuple(
            standing_of(objective, index, self._ledger, now_ns) for index, objective in enumerate(self.objectives)
        )
        return tuple(change for standing in self._standings for change in self._judge_one(standing, now_ns))

    def _judge_one(self, standing: Standing, now_ns: int) -> Iterator[Finding]:
        name = standing.objective.name
        lasting, holding = self._open.get(name), self._holding(standing, now_ns)
        now = self._finding(standing, *holding[0], now_ns) if holding else None
        if lasting and (now is None or _is_milder(now, lasting.finding)):
            del self._open[name]
            yield replace(lasting.finding, state=State.RESOLVED, updated_ns=now_ns)
            lasting = None
        if lasting is None and now:
            self._open[name] = _Lasting(now, now_ns)
            yield now
        elif lasting and now:
            told = lasting.finding
            lasting.finding = replace(now, id=told.id, state=State.UPDATED, opened_ns=told.opened_ns)
            if now.severity is not told.severity or now_ns - lasting.told_ns >= _UPDATE_NS:
                lasting.told_ns = now_ns
                yield lasting.finding

    def _holding(self, standing: Standing, now_ns: int) -> list[tuple[Burn, Counted, float]]:
        """Return the rules that have held for long enough, most urgent first."""
        name = standing.objective.name
        burning = {burn for burn, _, _ in standing.burning}
        for burn in standing.objective.burns:
            if burn in burning:
                self._since.setdefault((name, burn), now_ns)
            else:
                self._since.pop((name, burn), None)
        return [
            one for one in standing.burning if now_ns - self._since[name, one[0]] >= int(one[0].after_s * SECOND_NS)
        ]

    def _finding(self, standing: Standing, burn: Burn, long: Counted, p: float, now_ns: int) -> Finding:
        objective, selector = standing.objective, standing.objective.selector
        return Finding(
            id=hashlib.blake2b(
                f"{DETECTOR}|{objective.name}|{burn.severity}|{now_ns}".encode(), digest_size=16
            ).hexdigest(),
            kind=_KINDS.get(objective.source, "quality"),
            state=State.OPENED,
            severity=_SEVERITIES[burn.severity],
            series=Series(selector.service, selector.model, selector.version, selector.slice),
            detector=DETECTOR,
            aspect=objective.name,
            opened_ns=now_ns,
            updated_ns=now_ns,
            window_ns=int(long.window_s * SECOND_NS),
            observed=f"{show_bad(long)} bad, {standing.burn_rate(long):.3g} times the budget's pace",
            baseline=show_goal(objective),
            log10_e=float(calibrate(np.array([p]))[0]),
            p=p,
            n=long.rows,
            budget_per_day=self.budget_per_day,
            reason=reason_of(standing, burn, long),
        )

    # --- keep --------------------------------------------------------------------------------------------------------

    def held(self) -> Callable[[], Arrays]:
        """Return what gives the arrays of this moment; calling it may take longer."""
        ledger = self._ledger.arrays()
        lasting = [(name, one.finding, one.told_ns) for name, one in self._open.items()]
        since = [(name, self._place(name, burn), since) for (name, burn), since in self._since.items()]
        return lambda: (
            under("ledger", ledger)
            | {
                "open": from_json([(name, as_plain(finding), told_ns) for name, finding, told_ns in lasting]),
                "since": from_json(since),
            }
        )

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept of the objectives that are still there; see `Kept`."""
        self._ledger.restore(part("ledger", arrays))
        known = {objective.name: objective for objective in self.objectives}
        for name, finding, told_ns in to_json(arrays["open"]):
            if name in known:
                self._open[name] = _Lasting(from_plain(finding), told_ns)
        for name, place, since in to_json(arrays["since"]):
            if name in known and place < len(known[name].burns):
                self._since[name, known[name].burns[place]] = since

    def _place(self, name: str, burn: Burn) -> int:
        return next(list(one.burns).index(burn) for one in self.objectives if one.name == name)


def _is_milder(now: Finding, before: Finding) -> bool:
    """Return whether whoever was woken may sleep again: what is left is a matter of its own."""
    order = list(Severity)
    return order.index(now.severity) < order.index(before.severity)


@dataclass(slots=True)
class _Lasting:
    """An open finding, and when it was last told."""

    finding: Finding
    told_ns: int


def _asked(objectives: Sequence[Objective], roles: RoleTable) -> Asked:
    sources = {Source.ERROR: ERROR, Source.LATENCY: LATENCY}
    return Asked(
        sources=np.array(
            [sources[one.source] if one.source in sources else roles.number(one.source) for one in objectives], np.int64
        ),
        ops=np.array([one.op for one in objectives], np.int64),
        limits=np.array(
            [one.limit * SECOND_NS if one.source is Source.LATENCY else one.limit for one in objectives], np.float64
        ),
    )
