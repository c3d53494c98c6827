"""Metrics of one collection share what they read."""

import random

import pytest

from otlp import encoded
from spanward import semconv
from spanward_processor import metrics
from spanward_processor.configuration.settings import Detection, Forwarding, Limits
from spanward_processor.counts import Counts
from spanward_processor.forward.direct import Direct
from spanward_processor.panorama import Panorama, Standing
from spanward_processor.pipeline import Pipeline
from spanward_processor.readings import readings

START_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000


def test_a_collection_asks_once_how_series_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics of series look at one moment; the next collection looks again, and sees what has come since."""
    now = [START_NS]
    asked: list[int] = []
    stand = Panorama.standings

    def count(panorama: Panorama) -> tuple[Standing, ...]:
        asked.append(1)
        return stand(panorama)

    monkeypatch.setattr(Panorama, "standings", count)
    pipeline = Pipeline(
        Detection(lateness_s=0.0), Limits(), clock_ns=lambda: now[0], monotonic_ns=lambda: now[0] - START_NS
    )
    read = readings(Direct([], Forwarding(), random.Random(1)), Counts(), pipeline)

    def collect(spans: int) -> dict[str, float]:
        """Let a window pass and read every metric; return the rate of each model."""
        span = {semconv.MODEL_NAME: "router", semconv.MODEL_VERSION: "1"}
        pipeline.acknowledge(pipeline.process(encoded(*[span] * spans, end_ns=now[0])))
        now[0] += 10 * SECOND_NS
        pipeline.tick()
        told = {metric: list(values()) for metric, values in read.items()}
        return {labels[semconv.MODEL_NAME]: value for value, labels in told[metrics.SERIES_RATE]}

    assert (collect(10), len(asked)) == ({"router": 1.0}, 1)
    assert (collect(30), len(asked)) == ({"router": 3.0}, 2)
