"""Deployment after deployment, for longer than there is room: each version is still watched as the first one was."""

import numpy as np
import pytest

from otlp import encoded
from spanward import semconv
from spanward_processor.canary.settings import Canary
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.findings import Finding, Severity
from spanward_processor.kept import Arrays
from spanward_processor.pipeline import Pipeline

SEED = 20_261_127
SECOND_NS = 1_000_000_000
WINDOW_S = 10
SERVED = 40  # windows of each version
MOST_KEYS = 16  # of three versions in four channels
IDLE_S = 20.0 * WINDOW_S


class Service:
    """A model in four channels, of which one version after the other is deployed; time moves by windows."""

    def __init__(
        self,
        kept: Arrays | None = None,
        now_ns: int = 1_700_000_000 * SECOND_NS,
        *,
        canary: bool = False,
        idle_s: float = IDLE_S,
    ) -> None:
        print(f"seed {SEED}")
        self._rng = np.random.default_rng(SEED)
        self.now_ns = now_ns
        self.pipeline = Pipeline(
            Detection(window_s=WINDOW_S, lateness_s=0.0, learning=Learning(windows=6, rows=100)),
            Limits(keys=MOST_KEYS, idle_keys_s=idle_s),
            canary=Canary(enabled=canary),
            clock_ns=lambda: self.now_ns,
            monotonic_ns=lambda: self.now_ns,
            kept=kept,
        )

    def serve(self, version: str, windows: int, *, failing: bool = False) -> list[Finding]:
        """Serve a version for some windows; return what opened that is more than information."""
        changes: list[Finding] = []
        for _ in range(windows):
            spans = [self._span(version, failing=failing) for _ in range(self._rng.poisson(40))]
            self.pipeline.acknowledge(self.pipeline.process(encoded(*spans, end_ns=self.now_ns + SECOND_NS)))
            self.now_ns += WINDOW_S * SECOND_NS
            changes += self.pipeline.tick()
        return [change for change in changes if change.severity is not Severity.INFO]

    def _span(self, version: str, *, failing: bool) -> dict[str, str]:
        failed = failing and self._rng.random() < 0.5
        return {
            semconv.MODEL_NAME: "router",
            semconv.MODEL_VERSION: version,
            semconv.CHANNEL: f"channel-{self._rng.integers(4)}",
        } | ({semconv.ERROR_TYPE: "timeout"} if failed else {})


def spoken_of(service: Service) -> set[str]:
    """Return the versions that make room for nobody."""
    versions = {standing.key: standing.series.version for standing in service.pipeline.panorama.standings()}
    return {versions[key] for key in service.pipeline.spoken_of().tolist()}


def test_the_tenth_version_is_watched_like_the_first() -> None:
    """Room for three versions is enough for ten, one after the other: none is counted with others, and a fault of the last is found."""
    service = Service()
    for number in range(10):
        service.serve(f"1.{number}", SERVED)
    found = service.serve("1.9", 12, failing=True)

    assert service.pipeline.naming.directory.overflowed == 0
    assert service.pipeline.naming.directory.live <= MOST_KEYS + 1
    assert service.pipeline.naming.directory.evicted().sum() >= 10 * 5 + 1 - service.pipeline.naming.directory.live
    assert any((one.series.version, one.aspect) == ("1.9", "error") for one in found), found


def test_who_made_room_is_not_shown_any_more() -> None:
    """The live page shows the versions that are known, and calls each by its name."""
    service = Service()
    for number in range(10):
        service.serve(f"1.{number}", SERVED)
    shown = {standing.series.version for standing in service.pipeline.panorama.standings()}

    assert "1.9" in shown
    assert "1.0" not in shown
    assert all(version.startswith("1.") for version in shown)


def test_making_room_goes_on_after_a_restart() -> None:
    """A processor that goes on where another stopped has as many keys to give, and finds the same fault."""
    first = Service()
    for number in range(5):
        first.serve(f"1.{number}", SERVED)
    second = Service(first.pipeline.arrays(complete=True), first.now_ns)
    for number in range(5, 10):
        second.serve(f"1.{number}", SERVED)
    found = second.serve("1.9", 12, failing=True)

    assert second.pipeline.naming.directory.overflowed == 0
    assert any((one.series.version, one.aspect) == ("1.9", "error") for one in found), found


def test_what_open_findings_and_trials_speak_of_is_named() -> None:
    """A version under alarm, and two that are compared, are spoken of, and so keep their keys whoever needs room."""
    service = Service(canary=True)
    service.serve("1.0", SERVED)
    found = service.serve("1.0", 12, failing=True)
    under_alarm = spoken_of(service)
    service.serve("1.1", 2)
    on_trial = spoken_of(service)

    assert "error" in {one.aspect for one in found}
    assert under_alarm == {"1.0"}
    assert on_trial == {"1.0", "1.1"}


@pytest.mark.parametrize("idle_s", [IDLE_S, 1e6])
def test_time_is_that_of_the_spans(idle_s: float) -> None:
    """Keys are let go of after as much event time as is configured, and not before."""
    service = Service(idle_s=idle_s)
    for number in range(6):
        service.serve(f"1.{number}", SERVED)

    assert (service.pipeline.naming.directory.overflowed > 0) == (idle_s > IDLE_S)
    assert (service.pipeline.naming.directory.evicted().sum() > 0) == (idle_s == IDLE_S)
