"""A finding on its way out: as a log record, as metrics, on the rows that carry it, to every backend that listens."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import numpy as np
import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import running
from spans import Value, encoded, eventually, request, span, spans_of
from spanward import semconv
from spanward_processor.server import Processor

SECOND_NS = 1_000_000_000
PER_SECOND = 60
DETECTION = {
    "window_s": 1,
    "lateness_s": 20,  # how long this test may wait for something without its next spans being late
    "learning": {"windows": 15, "rows": 100},
    "flagged_rows_ratio": 0,  # only rows that carry a finding are annotated
}


class Story:
    """One model whose traffic is sent second by second of event time, in the past, as fast as it is taken.

    Args:
        processor: Who is told.
        seed: Seed of the latencies.
    """

    def __init__(self, processor: Processor, seed: int = 5) -> None:
        print("seed", seed)
        self._processor = processor
        self._rng = np.random.default_rng(seed)
        self._second = int(time.time()) - 900
        self._number = 0
        self.slow_traces: set[bytes] = set()

    def second(self, *, slow: bool = False) -> None:
        """Send the next second; a slow one takes ten times as long per span."""
        spans = [self._span(slow=slow) for _ in range(PER_SECOND)]
        running.export(self._processor.receiver_address, request(spans, "support").SerializeToString())
        self._second += 1

    def _span(self, *, slow: bool) -> Span:
        self._number += 1
        end = self._second * SECOND_NS + int(self._rng.integers(SECOND_NS))
        took = int(0.02 * SECOND_NS * self._rng.lognormal(0, 0.2) * (10 if slow else 1))
        trace = self._number.to_bytes(16, "big")
        if slow:
            self.slow_traces.add(trace)
        attributes: dict[str, Value] = {
            semconv.MODEL_NAME: "router",
            semconv.MODEL_VERSION: "2.1",
            semconv.DECISION: str(self._rng.choice(["billing", "delivery"])),
        }
        return span(attributes, trace_id=trace, start_time_unix_nano=end - took, end_time_unix_nano=end)

    def until(self, backend: running.Backend, state: str, *, slow: bool, most: int = 150) -> LogRecord:
        """Send until a latency finding of this state arrives; return its record."""
        for _ in range(most):
            self.second(slow=slow)
            if found := _latency_findings(backend, state):
                return found[0]
        assert eventually(lambda: bool(_latency_findings(backend, state)), 10), f"no finding was {state}"
        return _latency_findings(backend, state)[0]


def records(backend: running.Backend) -> Iterator[tuple[dict[str, AnyValue], LogRecord]]:
    """Yield resource attributes and record of every log that arrived."""
    for sent in backend.logs:
        for resource in sent.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    yield {item.key: item.value for item in resource.resource.attributes}, record


def attributes_of(record: Any) -> dict[str, Any]:
    """Return attributes as plain values."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in record.attributes}


def _latency_findings(backend: running.Backend, state: str) -> list[LogRecord]:
    wanted = {semconv.FINDING_ASPECT: "latency", semconv.FINDING_STATE: state}
    return [record for _, record in records(backend) if wanted.items() <= attributes_of(record).items()]


def metrics(backend: running.Backend) -> dict[str, list[tuple[dict[str, Any], float]]]:
    """Return name to labels and value of every point of the newest export."""
    found: dict[str, list[tuple[dict[str, Any], float]]] = {}
    for resource in backend.metrics[-1].resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points: Any = metric.sum.data_points or metric.gauge.data_points
                found[metric.name] = [(attributes_of(point), point.as_int or point.as_double) for point in points]
    return found


def test_an_incident_opens_is_updated_marks_its_rows_and_is_resolved() -> None:
    """One claim, one id: in the log records of its three states and on the very rows that carry it."""
    with running.backend() as (backend, port), running.processor(port, detection=DETECTION) as processor:
        story = Story(processor)
        for _ in range(60):
            story.second()
        opened = story.until(backend, "opened", slow=True)
        identity = attributes_of(opened)[semconv.FINDING_ID]
        marked_before = len(backend.traces)
        updated = story.until(backend, "updated", slow=True)
        slow_requests = backend.traces[marked_before:]
        resolved = story.until(backend, "resolved", slow=False)

    assert {attributes_of(record)[semconv.FINDING_ID] for record in (opened, updated, resolved)} == {identity}
    _check_record(opened, story)
    assert resolved.severity_number == SeverityNumber.SEVERITY_NUMBER_INFO
    times = [record.time_unix_nano for record in (opened, updated, resolved)]
    assert times == sorted(set(times))
    carrying = [each for sent in slow_requests for each in spans_of(sent) if _carries(each, identity)]
    assert carrying
    assert {each.trace_id for each in carrying} <= story.slow_traces
    assert "baseline" in [
        value.string_value
        for item in carrying[0].attributes
        if item.key == semconv.ANOMALY_DETECTORS
        for value in item.value.array_value.values
    ]


def _carries(row: Span, identity: str) -> bool:
    return attributes_of(row).get(semconv.ANOMALY_FINDING_ID) == identity


def _check_record(opened: LogRecord, story: Story) -> None:
    told = attributes_of(opened)
    assert opened.event_name == "spanward.finding"
    assert opened.severity_number in {SeverityNumber.SEVERITY_NUMBER_WARN, SeverityNumber.SEVERITY_NUMBER_ERROR}
    assert opened.severity_text in {"WARN", "ERROR"}
    assert opened.body.string_value.startswith("Latency of support / router 2.1 ")
    assert opened.trace_id in story.slow_traces
    assert {
        semconv.FINDING_KIND: "performance",
        semconv.FINDING_DETECTOR: "baseline",
        semconv.MODEL_NAME: "router",
        semconv.MODEL_VERSION: "2.1",
        semconv.FINDING_BUDGET_PER_DAY: 1.0,
    }.items() <= told.items()
    assert told[semconv.FINDING_WINDOW_END] - told[semconv.FINDING_WINDOW_START] == SECOND_NS
    assert told[semconv.FINDING_WINDOW_END] == opened.time_unix_nano
    assert told[semconv.FINDING_EVIDENCE_LOG10_E] > 3
    assert 0 <= told[semconv.FINDING_EVIDENCE_P] < 0.01
    assert told[semconv.FINDING_EVIDENCE_COUNT] == PER_SECOND
    assert told[semconv.FINDING_OBSERVED] != told[semconv.FINDING_BASELINE]


def test_findings_and_series_leave_as_metrics() -> None:
    """Counts of findings by kind, and how the series stands, with its labels; the resource of a record is its service."""
    with running.backend() as (backend, port), running.processor(port, detection=DETECTION) as processor:
        story = Story(processor)
        for _ in range(60):
            story.second()
        story.until(backend, "opened", slow=True)

    found = metrics(backend)
    labels = {semconv.SERVICE_NAME: "support", semconv.MODEL_NAME: "router", semconv.MODEL_VERSION: "2.1"}
    counted = {(kind["kind"], kind["detector"]): value for kind, value in found[semconv.METRIC_FINDING_COUNT]}
    assert counted["performance", "baseline"] == 1
    assert [(labels, 1.0)] == found[semconv.METRIC_SERIES_READY]
    ((rated, rate),) = found[semconv.METRIC_SERIES_RATE]
    assert (rated, rate) == (labels, PER_SECOND)
    ((_, p99),) = found[semconv.METRIC_SERIES_LATENCY]
    assert 0.1 < p99 < 1.0
    ((_, open_count),) = found[semconv.METRIC_FINDING_OPEN]
    assert open_count >= 1
    assert {resource[semconv.SERVICE_NAME].string_value for resource, _ in records(backend)} == {"support"}


CONVENTIONS: dict[str, tuple[dict[str, Value], str, str]] = {
    "GenAI semconv": (
        {"gen_ai.request.model": "asked", "gen_ai.response.model": "answered", "gen_ai.usage.input_tokens": 70},
        "answered",
        "",
    ),
    "OpenInference": ({"llm.model_name": "open-inference", "llm.token_count.prompt": 70}, "open-inference", ""),
    "Traceloop": (
        {"gen_ai.request.model": "trace-loop", "gen_ai.usage.prompt_tokens": 70},
        "trace-loop",
        "",
    ),
    "Traceloop, older": ({"llm.response.model": "older-loop"}, "older-loop", ""),
    "Triton": ({"triton.model_name": "resnet", "triton.model_version": 3}, "resnet", "3"),
    "vLLM, older": ({"gen_ai.response.model": "llama", "gen_ai.usage.prompt_tokens": 70}, "llama", ""),
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_spans_of_other_instrumentations_get_their_series(convention: str) -> None:
    """Nobody has to rename attributes: model, version and input tokens are found under the names in use."""
    attributes, model, version = CONVENTIONS[convention]
    made = span()
    del made.attributes[:]
    named = span(attributes)
    made.attributes.extend(item for item in named.attributes if item.key in attributes)
    with running.backend() as (backend, port), running.processor(port) as processor:
        running.export(processor.receiver_address, encoded(made))
        processor.pipeline.flush()
        (standing,) = processor.pipeline.panorama.standings()

    assert (model, version) == (standing.series.model, standing.series.version)
    assert [made] == spans_of(backend.traces[0])
    if any("tokens" in name or "token_count" in name for name in attributes):
        assert standing.history[-1].input_p50 == pytest.approx(70, rel=0.05)


def test_what_a_triton_server_sends_gets_its_series() -> None:
    """Its OTLP/HTTP JSON, as it came off the wire: of the three spans of an inference the one that names the model counts."""
    document = (Path(__file__).parents[1] / "processor" / "receive" / "triton-2.51.json").read_bytes()
    both = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"}
    with running.backend() as (backend, port), running.processor(port, receiver=both) as processor:
        url = f"http://{processor.http_address}/v1/traces"
        answer = httpx.post(url, content=document, headers={"content-type": "application/json"}, timeout=20)
        processor.pipeline.flush()
        (standing,) = processor.pipeline.panorama.standings()

    assert (answer.status_code, answer.text) == (200, "{}")
    assert (standing.series.service, standing.series.model, standing.series.version) == (
        "triton-inference-server",
        "Linear",
        "1",
    )
    assert standing.history[-1].rate_per_s * 10 == pytest.approx(2)
    assert len(spans_of(backend.traces[0])) == 6


@pytest.mark.parametrize("fault", ["slow", "down", "refusing"])
def test_a_backend_in_trouble_changes_nothing_for_the_others(fault: str) -> None:
    """The healthy one gets each request once and untouched, and in time, while the sender hears of the other."""
    sent = [encoded(span({"number": number})) for number in range(3)]
    with running.backend() as (healthy, first), running.backend() as (troubled, second):
        if fault == "slow":
            troubled.answering.clear()
        if fault == "refusing":
            troubled.refusal = (grpc.StatusCode.UNAVAILABLE, "not now")
        port = 1 if fault == "down" else second
        with running.processor(first, port, forwarding={"max_wait_s": 0.5}) as processor:
            for each in sent:
                with pytest.raises(grpc.RpcError) as refusal:
                    running.export(processor.receiver_address, each)
                assert cast("Any", refusal.value).code() is grpc.StatusCode.UNAVAILABLE
                assert "backend-1" in str(cast("Any", refusal.value).details())
            received = [each.SerializeToString() for each in healthy.traces]
            troubled.answering.set()

    assert received == sent
    told = {labels["exporter"]: value for labels, value in metrics(healthy)["otelcol_exporter_sent_spans"]}
    failed = {labels["exporter"]: value for labels, value in metrics(healthy)["otelcol_exporter_send_failed_spans"]}
    assert (told["backend-0"], failed["backend-1"]) == (3, 3)


def test_a_backend_that_hangs_at_the_stop_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """The last metrics cannot be delivered; stopping goes on, without a traceback."""
    with running.backend() as (backend, port):
        with running.processor(port, backends=_impatient(port)) as processor:
            running.export(processor.receiver_address, encoded(span()))
            backend.answering.clear()
        backend.answering.set()

    assert [record.message for record in caplog.records if record.exc_info] == []


def _impatient(port: int) -> list[dict[str, Any]]:
    return [{"name": "b", "endpoint": f"http://127.0.0.1:{port}", "timeout_s": 60}]


def test_own_metrics_bear_the_names_of_the_collector() -> None:
    """What a Collector's dashboard asks for is there, with its labels and the right counts."""
    with running.backend() as (backend, port), running.processor(port) as processor:
        running.export(processor.receiver_address, encoded(*[span()] * 5))
        backend.refusal = (grpc.StatusCode.INVALID_ARGUMENT, "bad")
        with pytest.raises(grpc.RpcError):
            running.export(processor.receiver_address, encoded(span(), span()))
        backend.refusal = None

    found = metrics(backend)
    receiver = {"receiver": "otlp", "transport": "grpc"}
    assert (receiver, 5) in found["otelcol_receiver_accepted_spans"]
    assert (receiver, 2) in found["otelcol_receiver_refused_spans"]
    exporter = {"exporter": "backend-0", "server.address": "127.0.0.1", "server.port": str(port)}
    assert [(exporter, 5)] == found["otelcol_exporter_sent_spans"]
    assert [(exporter, 2)] == found["otelcol_exporter_send_failed_spans"]
    resource = backend.metrics[-1].resource_metrics[0].resource
    assert attributes_of(resource)["service.name"] == "spanward-processor"
