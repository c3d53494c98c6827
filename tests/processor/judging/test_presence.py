"""Versions that hand over their requests, fall silent, and are switched off: which of it is told, and when it is over."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from otlp import encoded
from spanward import semconv
from spanward_processor.configuration.settings import Detection, Limits
from spanward_processor.features import Aspect
from spanward_processor.findings import Finding, Severity, State
from spanward_processor.judging.presence import Presence
from spanward_processor.kept import Arrays
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.pipeline import Pipeline
from spanward_processor.testing.traffic import Traffic
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.window import Window

SEED = 20_261_126
LEARNED = 70  # windows
LONG = 370  # windows: longer than the half-life of what is usual
WINDOW_S = 10.0
SECOND_NS = 1_000_000_000

Rates = Mapping[str, float]  # requests a window of each version


class Model:
    """A model whose versions are asked so often, beside another model that is always asked; time moves by windows."""

    def __init__(self, *, window_s: float = WINDOW_S, kept: Arrays | None = None, now_ns: int = 0) -> None:
        print(f"seed {SEED}")
        self._rng = np.random.default_rng(SEED)
        self._window_ns = round(window_s * SECOND_NS)
        self.now_ns = now_ns or 1_700_000_000 * SECOND_NS // self._window_ns * self._window_ns
        self.pipeline = Pipeline(
            Detection(window_s=window_s),
            Limits(),
            clock_ns=lambda: self.now_ns,
            monotonic_ns=lambda: self.now_ns,
            kept=kept,
        )

    def run(self, rates: Rates, windows: int, *, failing: bool = False) -> list[Finding]:
        """Let windows pass; return the warnings about the model that opened or ended."""
        changes: list[Finding] = []
        for _ in range(windows):
            self._ask("other", "1", 5, failing=False)
            for version, rate in rates.items():
                self._ask("router", version, int(self._rng.poisson(rate)), failing=failing)
            self.now_ns += self._window_ns
            changes += self.pipeline.tick()
        return [
            change
            for change in changes
            if change.series.model == "router"
            and change.severity is not Severity.INFO
            and change.state is not State.UPDATED
        ]

    def _ask(self, model: str, version: str, times: int, *, failing: bool) -> None:
        also = {semconv.ERROR_TYPE: "timeout"} if failing else {}
        spans = [{semconv.MODEL_NAME: model, semconv.MODEL_VERSION: version, **also}] * times
        if spans:
            self.pipeline.acknowledge(self.pipeline.process(encoded(*spans, end_ns=self.now_ns)))


def told(changes: list[Finding]) -> list[tuple[str, str, str, State]]:
    """Return detector, aspect, version and state of changes."""
    return [(change.detector, change.aspect, change.series.version, change.state) for change in changes]


FELL = ("change", "rate", "1", State.OPENED)
OVER = ("change", "rate", "1", State.RESOLVED)


@pytest.mark.parametrize("rate", [20.0, 1.0])
def test_a_deployment_is_no_outage(rate: float) -> None:
    """A version that falls silent because the next one takes its requests is not told, then and while it is forgotten."""
    model = Model()
    model.run({"1": rate}, round(max(LEARNED, 330 / rate)))

    assert model.run({"2": rate}, LONG) == []


def test_a_canary_that_gets_more_and_more_is_neither_an_outage_nor_a_flood() -> None:
    """Shares that move between versions say nothing about how often the model is asked."""
    model = Model()
    model.run({"1": 20}, LEARNED)

    steps = [({"1": 18, "2": 2}, 60), ({"1": 10, "2": 10}, 60), ({"2": 20}, 150)]

    assert [change for rates, windows in steps for change in model.run(rates, windows)] == []


@pytest.mark.parametrize("learned", [35, LEARNED])
def test_versions_that_follow_each_other_within_minutes_are_no_outages(learned: int) -> None:
    """Deployed, rolled back and deployed again before what was usual of the first has faded: none of it is told as an outage."""
    model = Model()
    model.run({"1": 40}, learned)

    assert [change for version in "23245" for change in model.run({version: 40}, 40)] == []


def test_an_outage_of_all_versions_is_told() -> None:
    """After a deployment the new version is judged, and a silence of it is one."""
    model = Model()
    model.run({"1": 20}, LEARNED)
    model.run({"2": 20}, LEARNED)

    assert ("change", "rate", "2", State.OPENED) in told(model.run({}, 12))


def test_a_version_that_dies_alone_is_told() -> None:
    """Where the others go on as before, nobody has taken its requests."""
    model = Model()
    model.run({"1": 20, "2": 10}, LEARNED)

    changes = model.run({"2": 10}, 12)

    assert FELL in told(changes)


def test_an_outage_that_a_deployment_ends_is_over() -> None:
    """Once another version has the requests of the silent one, the finding about it resolves, says so, and stays so."""
    model = Model()
    model.run({"1": 20}, LEARNED)
    assert told(model.run({}, 12)) == [FELL]

    (over,) = model.run({"2": 20}, LONG)

    assert told([over]) == [OVER]
    assert over.reason.endswith("Other versions have its requests now.")


def test_what_was_handed_over_is_known_after_a_restart() -> None:
    """What another process saw of a deployment is not an outage in this one."""
    model = Model()
    model.run({"1": 20}, LEARNED)
    model.run({"2": 20}, 30)

    again = Model(kept=model.pipeline.arrays(complete=True), now_ns=model.now_ns)

    assert again.run({"2": 20}, LONG) == []


def test_a_finding_about_a_series_of_which_nothing_comes_any_more_ends() -> None:
    """What a version showed before it was switched off is over after five minutes, and not told again when it comes back well."""
    model = Model()
    model.run({"1": 20, "2": 20}, LEARNED)
    opened = model.run({"1": 20, "2": 20}, 6, failing=True)
    assert {(change.aspect, change.series.version) for change in opened} >= {("error", "1"), ("error", "2")}

    silent_ns = model.now_ns

    (ended,) = [change for change in model.run({"2": 20}, 40, failing=True) if change.aspect == "error"]

    assert (ended.series.version, ended.state) == ("1", State.RESOLVED)
    assert ended.reason.endswith("Nothing has come for five minutes, so it is not known any more.")
    assert abs(ended.updated_ns - silent_ns - 300 * SECOND_NS) <= 10 * SECOND_NS
    assert ("error", "1") not in {
        (change.aspect, change.series.version) for change in model.run({"1": 20, "2": 20}, 30)
    }


def test_who_is_seldom_asked_may_pause() -> None:
    """A series that is asked every two minutes has not ended after ten minutes, but when ten of its rows are missing."""
    directory, presence, asked = Traffic(SEED).directory, Presence(), np.array([1])

    def see(windows: int, *, every: int) -> None:
        for number in range(windows):
            rows = asked if every and number % every == 0 else asked[:0]
            cells = Cells(rows << FEATURE_BITS | Aspect.RATE, np.zeros(rows.size, np.int64), np.ones(rows.size))
            start_ns = number * 10 * SECOND_NS
            presence.see(replace(Window.empty(start_ns, start_ns + 10 * SECOND_NS), cells=cells), directory)

    see(1_200, every=12)
    see(60, every=0)
    assert not presence.has_ended(asked)
    see(90, every=0)
    assert presence.has_ended(asked)
    see(1, every=1)
    assert not presence.has_ended(asked)


def test_time_in_which_the_processor_was_away_is_no_silence() -> None:
    """What was open before a restart that took an hour is open after it."""
    model = Model()
    model.run({"1": 20}, LEARNED)
    assert ("error", State.OPENED) in {(one.aspect, one.state) for one in model.run({"1": 20}, 6, failing=True)}

    again = Model(kept=model.pipeline.arrays(complete=True), now_ns=model.now_ns + 3600 * SECOND_NS)

    assert [one for one in again.run({}, 15) if one.aspect == "error"] == []
    assert [one.state for one in again.run({}, 30) if one.aspect == "error"] == [State.RESOLVED]


def test_what_is_silent_for_a_day_is_switched_off() -> None:
    """A finding about a silence ends after a day, and is not told again."""
    model = Model(window_s=600.0)
    model.run({"1": 80}, LEARNED)
    silent_ns = model.now_ns

    changes = model.run({}, 200)

    assert told(changes) == [FELL, OVER]
    assert abs(changes[1].updated_ns - silent_ns - 86_400 * SECOND_NS) <= 600 * SECOND_NS
    assert changes[1].reason.endswith("Nothing has come for a day: it is taken for switched off.")
