"""What an operator sees."""

from dataclasses import replace

import numpy as np
import pytest

from findings import FINDING
from spanward_processor.configuration.settings import Detection, Learning
from spanward_processor.detectors import Baseline
from spanward_processor.findings import Finding, State
from spanward_processor.panorama import Panorama
from spanward_processor.testing.traffic import CHANNELS, DECISIONS, QUIET, START_NS, Traffic

SEED = 20_261_128
LEARNING = Learning(windows=4, rows=300)


class View:
    """A panorama over real traffic and a real baseline."""

    def __init__(self, models: int = 1) -> None:
        print(f"seed {SEED}")
        self.traffic = Traffic(SEED, models=models)
        self.baseline = Baseline(LEARNING, 0.999)
        self.panorama = Panorama(
            self.traffic.directory, self.baseline, self.traffic.text, Detection(learning=LEARNING), lambda: START_NS
        )

    def watch(
        self, windows: int, *changes: Finding, open_findings: tuple[Finding, ...] = (), model: int | None = None
    ) -> None:
        """Let quiet windows pass, of one of the models or of all; the changes come with each."""
        for window in self.traffic.windows(QUIET, windows, model):
            self.baseline.test(window, self.traffic.directory)
            self.baseline.learn(window, (window.cells.streams < 0)[:0])
            self.panorama.see(window)
            self.panorama.hear(changes, open_findings)


def finding(view: View, identity: str = "a", state: State = State.OPENED) -> Finding:
    """Return a finding about the only series."""
    return replace(FINDING, id=identity, state=state, series=view.traffic.directory[1], aspect="score", updated_ns=2)


def test_learning_and_ready_are_stated() -> None:
    """A series says how far it has learned, and when it is judged."""
    view = View()
    view.watch(2)
    learning = view.panorama.standings()[0]
    view.watch(3)
    ready = view.panorama.standings()[0]

    assert (learning.ready, ready.ready) == (False, True)
    assert 0 < learning.progress <= 0.5
    assert learning.reason.startswith("2 of 4 windows, ")
    assert ready.progress == 1.0


def test_each_series_and_slice_is_shown_with_its_history() -> None:
    """Every key has its newest windows: rate, latency, errors, input size and decisions."""
    view = View()
    view.watch(3)
    standings = view.panorama.standings()
    point = standings[0].history[-1]

    assert {standing.series.slice for standing in standings} == {None, *(("spanward.channel", c) for c in CHANNELS)}
    assert len(standings[0].history) == 3
    assert point.rate_per_s == pytest.approx(50, rel=0.4)
    assert point.latency_p50_s is not None
    assert point.latency_p99_s is not None
    assert 0.005 < point.latency_p50_s < point.latency_p99_s < 0.2
    assert {decision for decision, _ in standings[0].decisions} <= set(DECISIONS)
    assert sum(share for _, share in standings[0].decisions) == pytest.approx(1.0)


def test_history_is_bounded() -> None:
    """Only the newest windows are kept."""
    view = View()
    view.watch(200)

    assert len(view.panorama.standings()[0].history) == 180


def keys_of(view: View, model: int) -> set[int]:
    """Return the keys of one of the models."""
    return set(np.flatnonzero(view.traffic.keys_of(model)).tolist())


def test_who_comes_late_takes_the_place_of_who_is_silent() -> None:
    """All places are taken: those of which no row has come for as long as history is kept make room, and nobody else."""
    view = View(models=60)  # three hundred series and slices, two hundred places
    for model in range(40):
        view.watch(1, model=model)
    before = {standing.key for standing in view.panorama.standings()}
    view.watch(140, model=50)
    still = {standing.key for standing in view.panorama.standings()}
    view.watch(60, model=50)
    after = {standing.key for standing in view.panorama.standings()}

    assert len(before) == 200
    assert still == before
    assert after == before - keys_of(view, 0) | keys_of(view, 50)


def test_transitions_are_numbered() -> None:
    """A reader that remembers a number gets what came after it, oldest first."""
    view = View()
    view.watch(1, finding(view, "a"), finding(view, "b"))
    view.watch(1, finding(view, "a", State.RESOLVED))

    assert [(number, change.id) for number, change in view.panorama.transitions(0)] == [(1, "a"), (2, "b"), (3, "a")]
    assert [number for number, _ in view.panorama.transitions(2)] == [3]


def test_findings_are_listed_open_ones_first() -> None:
    """What is open comes first, the newest first; what was resolved follows."""
    view = View()
    one, two = finding(view, "one"), finding(view, "two")
    view.watch(1, replace(one, id="gone", state=State.RESOLVED), open_findings=(one, two))

    assert [each.id for each in view.panorama.findings()] == ["two", "one", "gone"]
    assert view.panorama.open_count(1) == 2
    assert view.panorama.open_count(0) == 0


def test_opened_findings_are_counted_once() -> None:
    """Updates and resolutions of a finding do not count as further findings."""
    view = View()
    view.watch(1, finding(view), finding(view, state=State.UPDATED), finding(view, state=State.RESOLVED))

    assert view.panorama.opened() == {("quality", "warning", "baseline"): 1}
