"""The real SDK exporter to a real processor to a backend of official stubs: nothing changes but what we add."""

import time
from typing import Any, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, StatusCode

import running
from spanward import semconv

EASILY_FLAGGED = {"window_s": 1, "lateness_s": 0, "learning": {"windows": 1, "rows": 1}, "flagged_rows_ratio": 0.5}


def diverse_spans() -> tuple[ReadableSpan, ...]:
    """Spans with every attribute type, events, links, states, several resources and scopes, and non-ASCII text."""
    spans: list[ReadableSpan] = []
    for service in ("router", "künstliche-größe"):
        kept = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource.create({"service.name": service, "replicas": 3}))
        provider.add_span_processor(SimpleSpanProcessor(kept))
        for scope in ("first", "second"):
            tracer = provider.get_tracer(scope, "1.0", schema_url="https://opentelemetry.io/schemas/1.44.0")
            with tracer.start_as_current_span("parent", kind=SpanKind.SERVER) as parent:
                parent.set_status(StatusCode.ERROR, "bad 🎉")
                parent.add_event("event", {"n": 1, "list": ["a", "b"]})
                with tracer.start_as_current_span(
                    "child", links=[Link(parent.get_span_context(), {"why": "test"})]
                ) as span:
                    span.set_attributes(
                        {
                            semconv.MODEL_NAME: "m",
                            semconv.MODEL_VERSION: "1.0",
                            semconv.SCORE: 0.25,
                            semconv.DECISION: "ja",
                            "text": "héllo 🌍",
                            "flag": True,
                            "number": -7,
                            "real": 1e300,
                            "texts": ["x", ""],
                            "numbers": [1, 2],
                            "reals": [0.5],
                            "flags": [True, False],
                        }
                    )
        spans += kept.get_finished_spans()
        provider.shutdown()
    return tuple(spans)


def test_unflagged_requests_are_forwarded_byte_for_byte() -> None:
    """What the SDK's exporter sends is what the backend gets, down to the byte."""
    spans = diverse_spans()
    with running.backend() as (backend, port), running.processor(port) as processor:
        exporter = OTLPSpanExporter(f"http://{processor.receiver_address}", insecure=True)
        result = exporter.export(spans)
        cast("Any", exporter).shutdown()

        assert result is SpanExportResult.SUCCESS
        assert encode_spans(spans).SerializeToString() == backend.traces[0].SerializeToString()
        assert processor.counts.accepted == len(spans)


def test_flagged_spans_equal_the_sent_ones_annotations_aside() -> None:
    """A backend sees every field as it was sent, plus our attributes on the flagged spans."""
    sent = encode_spans(diverse_spans() * 12)
    with running.backend() as (backend, port), running.processor(port, detection=EASILY_FLAGGED) as processor:
        running.export(processor.receiver_address, sent.SerializeToString())
        processor.pipeline.flush()
        for span in _spans(sent):
            for attribute in span.attributes:
                if attribute.key == semconv.SCORE:
                    attribute.value.double_value = 0.99  # never seen while learning
        running.export(processor.receiver_address, sent.SerializeToString())

    received = backend.traces[-1]
    names = {attribute.key for span in _spans(received) for attribute in span.attributes}
    for span in _spans(received):
        kept = [item for item in span.attributes if not item.key.startswith(semconv.ANOMALY_PREFIX)]
        del span.attributes[:]
        span.attributes.extend(kept)
    assert {semconv.ANOMALY_SCORE, semconv.ANOMALY_DETECTORS} <= names
    assert sent == received


def _spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def test_inbound_attributes_of_ours_are_removed_and_counted() -> None:
    """Nobody but the processor speaks under its prefix; all else stays."""
    sent = encode_spans(diverse_spans())
    forged = ExportTraceServiceRequest()
    forged.CopyFrom(sent)
    for span in _spans(forged):
        span.attributes.insert(0, type(span.attributes[0])(key=semconv.ANOMALY_SCORE)) if span.attributes else None
    count = sum(bool(span.attributes) for span in _spans(sent))
    with running.backend() as (backend, port), running.processor(port) as processor:
        running.export(processor.receiver_address, forged.SerializeToString())

        assert sent == backend.traces[0]
        assert count == processor.counts.removed > 0


@pytest.mark.parametrize("signal", ["metrics", "logs"])
def test_metrics_and_logs_pass_untouched(signal: str) -> None:
    """The other two signals go through byte for byte."""
    if signal == "metrics":
        metrics = ExportMetricsServiceRequest()
        metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=3)
        sent = metrics.SerializeToString()
    else:
        logs = ExportLogsServiceRequest()
        logs.resource_logs.add().scope_logs.add().log_records.add(severity_text="INFO")
        sent = logs.SerializeToString()
    with running.backend() as (backend, port), running.processor(port) as processor:
        reply = running.export(processor.receiver_address, sent, signal)

        received = (backend.metrics if signal == "metrics" else backend.logs)[0]
    assert reply == b""
    assert sent == received.SerializeToString()


def test_empty_request_succeeds_and_is_not_forwarded() -> None:
    """An empty export is a success, as the specification says."""
    with running.backend() as (backend, port), running.processor(port) as processor:
        assert running.export(processor.receiver_address, b"") == b""
        assert backend.traces == []


def test_undecodable_bytes_are_refused_and_affect_nothing_else() -> None:
    """Rubbish gets INVALID_ARGUMENT with a reason; the next request is fine."""
    good = encode_spans(diverse_spans()).SerializeToString()
    with running.backend() as (backend, port), running.processor(port) as processor:
        with pytest.raises(grpc.RpcError) as refusal:
            running.export(processor.receiver_address, b"\x0a\xff\xff")
        running.export(processor.receiver_address, good)

        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "not an ExportTraceServiceRequest" in str(refusal.value.details())
        assert processor.counts.refused_requests == 1
        assert len(backend.traces) == 1


def test_backend_that_comes_up_in_time_gets_the_spans() -> None:
    """A backend that is down is tried again until the sender's patience ends."""
    sent = encode_spans(diverse_spans()).SerializeToString()
    with running.backend() as (_, port):
        pass
    with running.processor(port) as processor:
        channel = grpc.insecure_channel(processor.receiver_address)
        call = cast("Any", channel).unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        waiting = call.future(sent, timeout=20)
        time.sleep(0.7)
        with running.backend(port) as (backend, _):
            assert waiting.result() == b""
            assert len(backend.traces) == 1
        channel.close()


def test_backend_that_stays_down_is_an_honest_refusal() -> None:
    """When no backend takes it the sender is told UNAVAILABLE and when to come back, and nothing is counted as accepted."""
    sent = encode_spans(diverse_spans()).SerializeToString()
    with running.backend() as (_, port):
        pass
    with running.processor(port, forwarding={"max_wait_s": 0.5}) as processor:
        with pytest.raises(grpc.RpcError) as refusal:
            running.export(processor.receiver_address, sent)

        details: dict[str, bytes] = dict(cast("Any", refusal.value.trailing_metadata()))
        info = RetryInfo()
        assert Status.FromString(details["grpc-status-details-bin"]).details[0].Unpack(info)
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
        assert info.retry_delay.seconds > 0
        assert (processor.counts.accepted, processor.counts.refused) == (0, 8)


def test_a_permanent_fault_of_the_data_is_passed_upstream() -> None:
    """INVALID_ARGUMENT from a backend is the data's fault, and the sender learns which backend said so."""
    sent = encode_spans(diverse_spans()).SerializeToString()
    with running.backend() as (backend, port), running.processor(port) as processor:
        backend.refusal = (grpc.StatusCode.INVALID_ARGUMENT, "too old")
        with pytest.raises(grpc.RpcError) as refusal:
            running.export(processor.receiver_address, sent)

    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "backend-0 refused the data: INVALID_ARGUMENT too old" in str(refusal.value.details())


def test_a_fault_of_the_operator_loses_nothing() -> None:
    """A backend that rejects our credentials makes senders come back; it is not their fault."""
    sent = encode_spans(diverse_spans()).SerializeToString()
    with running.backend() as (backend, port), running.processor(port) as processor:
        backend.refusal = (grpc.StatusCode.UNAUTHENTICATED, "no token")
        with pytest.raises(grpc.RpcError) as refusal:
            running.export(processor.receiver_address, sent)

        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
        assert backend.refused == 1


def test_every_backend_gets_every_request() -> None:
    """Two backends both receive what one sender sent once."""
    sent = encode_spans(diverse_spans())
    with running.backend() as (one, first), running.backend() as (two, second):
        with running.processor(first, second) as processor:
            running.export(processor.receiver_address, sent.SerializeToString())

        assert [sent] == one.traces == two.traces


def test_partial_success_of_a_backend_reaches_the_sender() -> None:
    """When a backend rejects some spans the sender is told how many and why."""
    sent = encode_spans(diverse_spans()).SerializeToString()
    with running.backend() as (backend, port), running.processor(port) as processor:
        backend.reply.partial_success.rejected_spans = 2
        backend.reply.partial_success.error_message = "two were too old"
        reply = running.export(processor.receiver_address, sent)

    assert backend.reply == ExportTraceServiceResponse.FromString(reply)


def test_headers_reach_the_backend() -> None:
    """Configured headers are sent as metadata."""
    sent = encode_spans(diverse_spans()).SerializeToString()
    with running.backend() as (backend, port):
        config = [{"name": "b", "endpoint": f"http://127.0.0.1:{port}", "headers": {"X-Tenant": "seven"}}]
        with running.processor(backends=config) as processor:
            running.export(processor.receiver_address, sent)

    assert backend.headers[0]["x-tenant"] == "seven"
