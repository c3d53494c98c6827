"""Clocks are set by an hour, forward and back: the processor's alone, or everybody's, as by NTP or when machines wake up."""

from collections.abc import Callable

import numpy as np
import pytest

from otlp import Attributes, encoded
from spanward import semconv
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.findings import Finding
from spanward_processor.pipeline import Pipeline

SEED = 20_261_128
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
HOUR = 3600 * SECOND
WINDOWS = 60

Jump = Callable[[int], int]

JUMPS: dict[str, Jump] = {
    "back": lambda window: -HOUR if window >= 30 else 0,
    "forward": lambda window: HOUR if window >= 30 else 0,
    "forward and back": lambda window: HOUR if 30 <= window < 40 else 0,
    "back and forward": lambda window: -HOUR if 30 <= window < 40 else 0,
    "again and again": lambda window: HOUR * (window % 3 - 1) if window >= 30 else 0,
}


class World:
    """A pipeline whose wall clock is off by what a jump says; senders' clocks are right, or off as well.

    Args:
        jump: Window number to nanoseconds, for the processor.
        senders: The same for senders.
        seed: Of the traffic.
    """

    def __init__(self, jump: Jump, senders: Jump = lambda _: 0, seed: int = SEED) -> None:
        print(f"seed {seed}")
        self._senders = senders
        self.true_ns = START
        self.window = 0
        self._begun = 0
        self.late = 0
        self.closed = 0
        self.findings = list[Finding]()
        detection = Detection(window_s=2.0, lateness_s=0.0, learning=Learning(windows=20, rows=200))
        self.pipeline = Pipeline(
            detection,
            Limits(),
            clock_ns=lambda: self.true_ns + jump(self.window),
            monotonic_ns=lambda: self.true_ns - START,
        )
        self._rng = np.random.default_rng(seed)

    def run(self, windows: int = WINDOWS, *, rows: int = 30, longer: float = 1.0) -> None:
        """Send ordinary traffic, a request a second; look at the windows as often as a processor does.

        Args:
            windows: How long.
            rows: Rows of a request; none sends nothing.
            longer: Factor of the inputs' sizes.
        """
        for second in range(2 * windows):
            self.window = self._begun + second // 2
            self._send(rows, longer)
            for _ in range(4):
                self.true_ns += SECOND // 4
                self.findings += self.pipeline.tick()
        self._begun += windows

    def _send(self, rows: int, longer: float) -> None:
        if rows:
            end_ns = self.true_ns + self._senders(self.window)
            processed = self.pipeline.process(encoded(*self.spans(rows, longer), end_ns=end_ns))
            assert processed.spans == rows
            self.late += self.pipeline.acknowledge(processed)

    def spans(self, rows: int, longer: float) -> list[Attributes]:
        """Return the attributes of so many spans."""
        lengths = np.round(self._rng.lognormal(3.5, 0.4, rows) * longer)
        return [
            {semconv.MODEL_NAME: "router", semconv.FEATURES_COUNT: int(length), semconv.DECISION: f"d{int(length) % 3}"}
            for length in lengths
        ]


@pytest.mark.parametrize("jump", list(JUMPS.values()), ids=list(JUMPS))
def test_a_clock_that_jumps_raises_no_finding_and_loses_no_row(jump: Jump) -> None:
    """What senders say is trusted before a clock that was set: no row is late, and windows close as before."""
    world = World(jump)
    world.run()

    assert world.findings == []
    assert world.late == 0
    assert world.true_ns - 5 * SECOND < world.pipeline.panorama.watermark_ns <= world.true_ns


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
@pytest.mark.parametrize("jump", list(JUMPS.values()), ids=list(JUMPS))
def test_everybodys_clock_jumps_and_raises_no_finding(jump: Jump, seed: int) -> None:
    """What lies between the times before and after was never there: it is no silence, and nothing after it is late."""
    world = World(jump, jump, seed)
    world.run()

    assert world.findings == []
    assert world.late == 0


@pytest.mark.parametrize(("jump", "lag"), [(HOUR, -2), (HOUR, 2), (-HOUR, 2)])
def test_clocks_that_jump_one_after_the_other_raise_no_finding(jump: int, lag: int) -> None:
    """NTP reaches senders some windows after the processor, or before it where time goes forward."""
    world = World(lambda window: jump if window >= 30 else 0, lambda window: jump if window >= 30 + lag else 0)
    world.run()

    assert world.findings == []


@pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "forward"])
def test_after_a_jump_an_incident_is_found(jump: int) -> None:
    """Baselines outlive the jump: inputs twice as long are found."""
    world = World(lambda window: jump if window >= 30 else 0, lambda window: jump if window >= 30 else 0)
    world.run()
    world.run(10, longer=2.0)

    assert {finding.aspect for finding in world.findings} == {"input_size"}


def test_one_late_sender_does_not_set_everybody_back() -> None:
    """The processor's clock is right and one sender delivers what is an hour old: its rows are late, the others' are not."""
    world = World(lambda _: 0)
    world.run()
    old = world.pipeline.process(encoded(*world.spans(30, 1.0), end_ns=world.true_ns - HOUR))

    assert world.pipeline.acknowledge(old) == 30
    world.run(10)
    assert world.late == 0
    assert world.findings == []
