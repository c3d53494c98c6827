"""Objectives through the pipeline: counted, alerted, kept over a restart and over a reload."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from numpy.typing import NDArray

from spans import Value, request, span
from spanward import semconv
from spanward_processor.configuration.settings import Detection, Limits
from spanward_processor.findings import Finding, Severity, State
from spanward_processor.pipeline import Pipeline
from spanward_processor.slo.objective import DEFAULT_BURNS, Burn, Objective, Op, Selector, Source
from spanward_processor.slo.objective import Severity as Urgency

SECOND_NS = 1_000_000_000
BEGIN_NS = 1_800_000_000 * SECOND_NS
FAST = Objective("fast", Selector("support"), Source.LATENCY, Op.LT, 0.150, 0.99, burns=DEFAULT_BURNS[:1])
SUCCESS = Objective("success", Selector("support"), Source.ERROR, Op.LTE, 0.0, 0.999)
SURE = Objective("sure", Selector("support", "m", "2"), Source.SCORE, Op.GTE, 0.6, 0.9)


def _attributes(version: str, score: float, *, failed: bool) -> dict[str, Value]:
    error: dict[str, Value] = {"error.type": "timeout"} if failed else {}
    told: dict[str, Value] = {semconv.MODEL_VERSION: version, semconv.SCORE: score}
    return told | error


class Traffic:
    """A pipeline in a time of its own, and what it found about objectives."""

    def __init__(self, *objectives: Objective, kept: Mapping[str, NDArray[Any]] | None = None) -> None:
        self.now_ns = BEGIN_NS
        self.found: list[Finding] = []
        self.pipeline = Pipeline(
            Detection(objectives=objectives, false_alarms_per_day=1e-6, window_s=60.0),
            Limits(),
            clock_ns=lambda: self.now_ns,
            monotonic_ns=lambda: self.now_ns,
            kept=kept,
        )

    def minute(
        self, rows: int, *, slow: int = 0, failed: int = 0, late_s: int = 0, version: str = "1", channel: str = ""
    ) -> None:
        """Send a minute's rows, as many of them slow and as many failed as asked."""
        sliced: dict[str, Value] = {semconv.CHANNEL: channel} if channel else {}
        self.now_ns += 60 * SECOND_NS
        end_ns = self.now_ns - late_s * SECOND_NS
        spans = [
            span(
                _attributes(version, 0.5 if number < slow else 0.9, failed=number < failed) | sliced,
                start_time_unix_nano=end_ns - (150 if number < slow else 149) * 1_000_000,
                end_time_unix_nano=end_ns,
            )
            for number in range(rows)
        ]
        self.pipeline.acknowledge(self.pipeline.process(request(spans, "support").SerializeToString()))
        self.found += [one for one in self.pipeline.tick() if one.detector == "slo_burn"]

    def counted(self) -> dict[str, tuple[int, int]]:
        """Return rows and bad rows of each objective."""
        assert self.pipeline.objectives
        return {one.name: (rows, bad) for one, rows, bad in self.pipeline.objectives.totals()}


def test_rows_are_counted_at_the_very_limit() -> None:
    """A request of 150 ms misses "below 150 ms", one of 149 does not: no bin is in between."""
    traffic = Traffic(FAST, SUCCESS)
    traffic.minute(20, slow=3, failed=5)

    assert traffic.counted() == {"fast": (20, 3), "success": (20, 5)}


def test_only_the_rows_that_are_meant_count() -> None:
    """An objective of one version takes no others, and rows of another service count nowhere."""
    traffic = Traffic(SURE, replace(FAST, selector=Selector("elsewhere")))
    traffic.minute(7, slow=2, version="1")
    traffic.minute(5, slow=1, version="2")

    assert traffic.counted() == {"sure": (5, 1), "fast": (0, 0)}


def test_only_the_rows_of_its_slice_count() -> None:
    """An objective of what comes by the web takes nothing that comes by mail, and nothing that does not say."""
    traffic = Traffic(replace(FAST, selector=Selector("support", slice=(semconv.CHANNEL, "web"))))
    traffic.minute(9, slow=3, channel="web")
    traffic.minute(5, slow=5, channel="mail")
    traffic.minute(4, slow=4)

    assert traffic.counted() == {"fast": (9, 3)}


def test_an_incident_opens_and_resolves_one_finding() -> None:
    """A slow half hour is one finding that names the objective, opened as a page and resolved when it is over."""
    traffic = Traffic(FAST)
    for _ in range(60):
        traffic.minute(100)
    for _ in range(30):
        traffic.minute(100, slow=60)
    for _ in range(30):
        traffic.minute(100)

    states = [one.state for one in traffic.found]
    opened = traffic.found[0]
    assert (states[0], states[-1], set(states[1:-1])) == (State.OPENED, State.RESOLVED, {State.UPDATED})
    assert len({one.id for one in traffic.found}) == 1
    assert (opened.severity, opened.aspect, opened.kind) == (Severity.CRITICAL, "fast", "performance")
    assert "Objective fast of support (99 % with latency below 150 ms): in the last 1 h" in opened.reason


def test_a_page_that_is_over_leaves_a_ticket() -> None:
    """Whoever was woken is told that it is over, while the budget of days is still a matter for the next morning."""
    traffic = Traffic(replace(FAST, burns=DEFAULT_BURNS))
    for _ in range(30):
        traffic.minute(100, slow=60)
    for _ in range(60):
        traffic.minute(100)

    told = [(one.state, one.severity) for one in traffic.found if one.state is not State.UPDATED]
    assert told == [
        (State.OPENED, Severity.CRITICAL),
        (State.RESOLVED, Severity.CRITICAL),
        (State.OPENED, Severity.WARNING),
    ]


def test_one_slow_request_is_no_alert() -> None:
    """Never an alert for a single slow request, however few there are."""
    traffic = Traffic(FAST, SUCCESS)
    for minute in range(120):
        traffic.minute(1, slow=int(minute == 60), failed=int(minute == 60))

    assert traffic.found == []


def test_a_rule_may_wait() -> None:
    """With `alertAfter` both windows must burn for so long before the alert opens."""
    waiting = replace(FAST, burns=(Burn(Urgency.TICKET, 14.4, 3600.0, 300.0, 300.0),))
    traffic = Traffic(waiting)
    opened_after: list[int] = []
    for minute in range(20):
        traffic.minute(100, slow=60)
        opened_after += [minute for one in traffic.found if one.state is State.OPENED and not opened_after]

    assert opened_after == [5]


def test_counts_and_findings_outlive_the_process() -> None:
    """After a restart the same budget is left, and the open finding goes on instead of opening again."""
    before = Traffic(FAST, SUCCESS)
    for _ in range(30):
        before.minute(100, slow=60)
    after = Traffic(SUCCESS, FAST, kept=before.pipeline.arrays(complete=True))
    after.now_ns = before.now_ns
    after.minute(100, slow=60)
    for _ in range(60):
        after.minute(100)

    assert before.pipeline.objectives
    (opened,) = before.pipeline.objectives.open_findings
    assert {one.id for one in after.found} == {opened.id}
    assert after.found[-1].state is State.RESOLVED


def test_a_reload_keeps_what_was_counted() -> None:
    """Objectives can be added and changed while it runs; those that stay keep their counts."""
    traffic = Traffic(FAST)
    for _ in range(5):
        traffic.minute(100, slow=50)
    traffic.pipeline.adopt(Detection(objectives=(SUCCESS, FAST)), Limits())
    traffic.minute(100)

    assert traffic.pipeline.objectives
    rows = {one.objective.name: (one.hour.rows, one.hour.bad) for one in traffic.pipeline.objectives.standings}
    assert rows == {"fast": (600, 250), "success": (100, 0)}


def test_late_rows_count_where_they_belong() -> None:
    """Rows that come two hours late change the last three hours, not the last one."""
    traffic = Traffic(FAST)
    for _ in range(130):
        traffic.minute(10)
    traffic.minute(10, slow=10, late_s=7200)

    assert traffic.pipeline.objectives
    (standing,) = traffic.pipeline.objectives.standings
    assert standing.hour.bad == 0
    assert standing.period.bad == 10


@pytest.mark.parametrize("ahead_s", [3600, 10 * 86_400])
def test_a_sender_from_the_future_counts_now(ahead_s: int) -> None:
    """A clock that is ahead cannot keep others from being counted."""
    traffic = Traffic(FAST)
    traffic.minute(10, slow=10, late_s=-ahead_s)
    traffic.minute(10)

    assert traffic.pipeline.objectives
    (standing,) = traffic.pipeline.objectives.standings
    assert (standing.hour.rows, standing.hour.bad) == (20, 10)
