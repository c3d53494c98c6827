"""Requests in, requests and findings out: the processor without its network."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otlp import Attributes, encoded
from spanward import semconv
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.decode import UndecodableError
from spanward_processor.findings import Finding, State
from spanward_processor.pipeline import Pipeline
from spanward_processor.signals import Encoded

SEED = 20_261_127
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


class World:
    """A pipeline in event time, and spans of one model to feed it."""

    def __init__(self, limits: Limits | None = None, *, flagged_rows_ratio: float = 0.001) -> None:
        print(f"seed {SEED}")
        self.now = START
        detection = Detection(
            window_s=2.0,
            lateness_s=0.0,
            flagged_rows_ratio=flagged_rows_ratio,
            learning=Learning(windows=20, rows=200),
        )
        self.pipeline = Pipeline(
            detection, limits or Limits(), clock_ns=lambda: self.now, monotonic_ns=lambda: self.now - START
        )
        self.rng = np.random.default_rng(SEED)

    def spans(self, count: int = 60, *, longer: float = 1.0) -> list[Attributes]:
        """Return ordinary spans, their inputs longer by a factor."""
        lengths = np.round(self.rng.lognormal(3.5, 0.4, count) * longer)
        return [
            {semconv.MODEL_NAME: "router", semconv.FEATURES_COUNT: int(length), semconv.DECISION: f"d{int(length) % 3}"}
            for length in lengths
        ]

    def windows(self, count: int, *, longer: float = 1.0) -> Iterator[Finding]:
        """Send one request a window and yield what changed."""
        for _ in range(count):
            request = encoded(*self.spans(longer=longer), end_ns=self.now)
            assert self.pipeline.acknowledge(self.pipeline.process(request)) == 0
            self.now += 2 * SECOND
            yield from self.pipeline.tick()


def attributes(payload: Encoded) -> list[dict[str, object]]:
    """Return the attributes of every span under the processor's prefix."""
    request = ExportTraceServiceRequest.FromString(bytes(payload))
    return [
        {item.key: item.value for item in span.attributes if item.key.startswith(semconv.ANOMALY_PREFIX)}
        for span in request.resource_spans[0].scope_spans[0].spans
    ]


def test_an_unflagged_request_is_the_same_object() -> None:
    """Nothing flagged, nothing copied: the very bytes that came go on."""
    world = World()
    request = encoded(*world.spans())

    processed = world.pipeline.process(request)

    assert processed.payload is request
    assert (processed.spans, processed.annotated, processed.removed) == (60, 0, 0)


def test_inbound_attributes_of_ours_are_removed_and_counted() -> None:
    """A sender cannot claim a finding: its spanward.anomaly.* attributes go, all else stays byte for byte."""
    forged: Attributes = {
        semconv.MODEL_NAME: "router",
        semconv.ANOMALY_SCORE: 9.0,
        semconv.ANOMALY_FINDING_ID: "x",
        "kept": "y",
    }

    processed = World().pipeline.process(encoded(forged, {semconv.MODEL_NAME: "router"}))

    assert processed.payload == encoded({semconv.MODEL_NAME: "router", "kept": "y"}, {semconv.MODEL_NAME: "router"})
    assert (processed.removed, processed.annotated) == (2, 0)


def test_a_change_is_found_annotated_and_resolved() -> None:
    """Rows are learned, a shift opens a finding, its rows carry the finding's id, and the way back resolves it."""
    world = World()
    assert list(world.windows(40)) == []

    changes = list(world.windows(6, longer=8.0))
    processed = world.pipeline.process(encoded(*world.spans(longer=8.0), end_ns=world.now))

    assert [(change.state, change.aspect) for change in changes[:1]] == [(State.OPENED, "input_size")]
    found = [marks for marks in attributes(processed.payload) if marks]
    assert processed.annotated == len(found) > 30
    carried = {getattr(marks.get(semconv.ANOMALY_FINDING_ID), "string_value", "") for marks in found}
    assert changes[0].id in carried
    assert State.RESOLVED in {change.state for change in world.windows(8)}


def test_a_single_strange_row_is_flagged_by_itself() -> None:
    """Without any finding, one row unlike all that was learned is annotated with a score and no finding id."""
    world = World(flagged_rows_ratio=0.005)
    list(world.windows(40))

    processed = world.pipeline.process(encoded(*world.spans(5), *world.spans(1, longer=1e6), end_ns=world.now))

    marks = attributes(processed.payload)
    assert processed.annotated == 1
    assert set(marks[5]) == {semconv.ANOMALY_SCORE, semconv.ANOMALY_DETECTORS}
    assert processed.p[5] < 0.005 < processed.p[:5].min()


def test_only_acknowledged_rows_are_counted() -> None:
    """A request that is refused downstream, and so sent again, is counted once."""
    world = World()
    request = encoded(*world.spans(), end_ns=world.now)
    attempts = [world.pipeline.process(request) for _ in range(3)]
    world.pipeline.acknowledge(attempts[-1])
    world.pipeline.flush()

    assert world.pipeline.panorama.standings()[0].history[-1].rate_per_s == 30.0


def test_late_rows_are_reported() -> None:
    """Rows whose window has closed are told to the caller, who counts them."""
    world = World()
    list(world.windows(3))

    processed = world.pipeline.process(encoded(*world.spans(), end_ns=START))

    assert world.pipeline.acknowledge(processed) == 60


def test_spans_that_are_no_inference_pass_unjudged() -> None:
    """A request without a model has no rows to count, and goes on as it came."""
    request = encoded({"http.route": "/"}, {"http.route": "/health"})
    pipeline = World().pipeline

    processed = pipeline.process(request)

    assert processed.payload is request
    assert processed.rows is None
    assert pipeline.acknowledge(processed) == 0


def test_an_empty_request_passes() -> None:
    """No bytes are a valid request of no spans."""
    processed = World().pipeline.process(b"")

    assert (processed.payload, processed.spans) == (b"", 0)


def test_garbage_is_refused_and_changes_nothing() -> None:
    """Undecodable bytes raise with a reason, and the next request is served."""
    world = World()
    with pytest.raises(UndecodableError, match="not an ExportTraceServiceRequest"):
        world.pipeline.process(b"\xff" * 40)

    assert world.pipeline.process(encoded(*world.spans())).spans == 60


def test_hostile_numbers_do_no_harm() -> None:
    """Infinite and absurd values, absent and reversed times are judged and told without an error."""
    world = World()
    for _ in range(30):
        for value in (float("inf"), -float("inf"), float("nan"), 1.7e308, -1.7e308, 5e-324, -1.0):
            span: Attributes = {semconv.MODEL_NAME: "router", semconv.SCORE: value, semconv.FEATURES_SPARSITY: value}
            for end_ns in (world.now, 1_000_000):
                world.pipeline.acknowledge(world.pipeline.process(encoded(*[span] * 20, end_ns=end_ns)))
        world.now += 2 * SECOND
        world.pipeline.tick()

    assert world.pipeline.panorama.standings()[0].series.model == "router"


def test_a_crowded_window_is_shown_without_what_found_no_room() -> None:
    """When cells run out, rows in "other" bins are counted but have no value; nothing fails."""
    world = World(Limits(cells_per_window=12))
    list(world.windows(30))
    list(world.windows(5, longer=50.0))
    point = world.pipeline.panorama.standings()[0].history[-1]

    assert point.rate_per_s == 30.0


def test_series_past_the_limit_are_counted_together() -> None:
    """With room for one series, rows of further ones are overflow, and still forwarded."""
    world = World(Limits(keys=1))
    spans = [{semconv.MODEL_NAME: f"model-{number}"} for number in range(10)]

    assert world.pipeline.process(encoded(*spans)).spans == 10
    assert world.pipeline.naming.directory.overflowed == 9


def test_a_key_keeps_its_name_among_thousands_of_new_texts() -> None:
    """A first request with more new clients than are learned at once still names its series and slices."""
    world = World()
    spans = [
        {semconv.MODEL_NAME: "router", semconv.CLIENT_ID: f"client-{number}", semconv.CHANNEL: f"channel-{number % 3}"}
        for number in range(3000)
    ]
    world.pipeline.acknowledge(world.pipeline.process(encoded(*spans, end_ns=world.now)))
    world.pipeline.flush()

    names = {standing.series.slice for standing in world.pipeline.panorama.standings()}
    assert names == {None, *((semconv.CHANNEL, f"channel-{number}") for number in range(3))}


def test_threads_may_process_at_once() -> None:
    """Requests from many threads are each answered in full, and all rows are counted."""
    world = World()
    requests = [encoded(*world.spans(), end_ns=world.now) for _ in range(40)]

    def send(request: bytes) -> bool:
        processed = world.pipeline.process(request)
        world.pipeline.acknowledge(processed)
        world.pipeline.tick()
        return processed.payload is request

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(send, requests))
    world.pipeline.flush()

    assert world.pipeline.panorama.standings()[0].history[-1].rate_per_s == 40 * 60 / 2
