"""Worlds through the real pipeline: encoded requests in, findings out, in simulated time."""

from collections.abc import Sequence
from dataclasses import dataclass

from spanward_processor.configuration.settings import Detection, Limits
from spanward_processor.findings import Finding
from spanward_processor.pipeline import Pipeline
from spanward_processor.testing.worlds import SECOND_NS, START_NS, World


class Clock:
    """Simulated time; it moves when it is told to."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        """Return the time, Unix nanoseconds."""
        return self.now_ns


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation showed.

    Args:
        accepted: Spans that were counted, late ones included.
        late: Those of them whose window had closed.
        changes: What happened to findings, in order.
        pipeline: As it is at the end.
    """

    accepted: int
    late: int
    changes: tuple[Finding, ...]
    pipeline: Pipeline


def simulate(worlds: Sequence[World], seconds: float, settings: Detection, limits: Limits) -> Simulated:
    """Let worlds pass through one pipeline: every request is encoded OTLP and takes the way of a real one.

    What is left out is the network, the journal and forwarding. Requests come at the end of each window's time.

    Args:
        worlds: The applications of one deployment; their steps must be as long as a window.
        seconds: How long.
        settings: How spans are judged.
        limits: What is kept at most.
    """
    clock = Clock()
    pipeline = Pipeline(settings, limits, clock_ns=clock, monotonic_ns=clock)
    accepted = late = 0
    changes: list[Finding] = []
    for step in range(round(seconds / settings.window_s)):
        clock.now_ns = START_NS + round((step + 1) * settings.window_s * SECOND_NS)
        for world in worlds:
            for request in world.requests(step):
                processed = pipeline.process(request)
                accepted += processed.spans
                late += pipeline.acknowledge(processed)
        changes += pipeline.tick()
    changes += pipeline.flush()
    return Simulated(accepted, late, tuple(changes), pipeline)
