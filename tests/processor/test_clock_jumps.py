"""The processor's wall clock is set by an hour, forward and back, while senders go on as before."""

from collections.abc import Callable

import numpy as np
import pytest

from otlp import Attributes, encoded
from spanward import semconv
from spanward_processor.findings import Finding
from spanward_processor.pipeline import Pipeline
from spanward_processor.settings import Detection, Learning, Limits

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
    """A pipeline whose wall clock is off by what a jump says; senders' clocks are right.

    Args:
        jump: Window number to nanoseconds.
    """

    def __init__(self, jump: Jump) -> None:
        print(f"seed {SEED}")
        self.true_ns = START
        self.window = 0
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
        self._rng = np.random.default_rng(SEED)

    def run(self) -> None:
        """Send ordinary traffic, a request a second; look at the windows as often as a processor does."""
        for second in range(2 * WINDOWS):
            self.window = second // 2
            processed = self.pipeline.process(encoded(*self._spans(), end_ns=self.true_ns))
            assert processed.spans == 30
            self.late += self.pipeline.acknowledge(processed)
            for _ in range(4):
                self.true_ns += SECOND // 4
                self.findings += self.pipeline.tick()

    def _spans(self) -> list[Attributes]:
        lengths = np.round(self._rng.lognormal(3.5, 0.4, 30))
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
