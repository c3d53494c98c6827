"""The user's backend, in small: takes whatever OTLP brings and counts what Spanward has added.

Run as `python -m spanward_processor.demo.sink`; prints `ready receiver=HOST:PORT`.
"""

import json
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Final

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from spanward import semconv

COUNTS_METHOD: Final = "/spanward.demo.Backend/Counts"
"""Answers with the counts as JSON."""


@dataclass(slots=True)
class Counts:
    """What the backend has received.

    Args:
        spans: All spans.
        annotated: Spans that carry an anomaly attribute.
        findings: Log records that tell of a finding.
        metrics: Metrics requests.
    """

    spans: int = 0
    annotated: int = 0
    findings: int = 0
    metrics: int = 0


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    """Counts spans, and those that were annotated."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def Export(  # noqa: N802 - the name in the protocol
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Take spans."""
        del context
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self._counts.spans += len(scope.spans)
                self._counts.annotated += sum(
                    any(attribute.key.startswith(semconv.ANOMALY_PREFIX) for attribute in span.attributes)
                    for span in scope.spans
                )
        return trace_service_pb2.ExportTraceServiceResponse()


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    """Counts the log records that tell of a finding."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def Export(  # noqa: N802 - the name in the protocol
        self, request: logs_service_pb2.ExportLogsServiceRequest, context: grpc.ServicerContext
    ) -> logs_service_pb2.ExportLogsServiceResponse:
        """Take log records."""
        del context
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                self._counts.findings += sum(record.event_name == semconv.FINDING_EVENT for record in scope.log_records)
        return logs_service_pb2.ExportLogsServiceResponse()


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Counts metrics requests."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def Export(  # noqa: N802 - the name in the protocol
        self, request: metrics_service_pb2.ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        """Take metrics."""
        del request, context
        self._counts.metrics += 1
        return metrics_service_pb2.ExportMetricsServiceResponse()


def start(counts: Counts) -> tuple[grpc.Server, int]:
    """Start the backend on a free loopback port; return it and the port."""
    server = grpc.server(ThreadPoolExecutor(max_workers=1))  # one worker, so counting needs no lock
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(counts), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(counts), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(counts), server)
    service, method = COUNTS_METHOD.strip("/").split("/")
    answer = grpc.unary_unary_rpc_method_handler(lambda _request, _context: json.dumps(asdict(counts)).encode())
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: answer}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


async def read_counts(address: str) -> Counts:
    """Ask a running backend what it has received."""
    async with grpc.aio.insecure_channel(address) as channel:
        return Counts(**json.loads(await channel.unary_unary(COUNTS_METHOD)(b"")))


def main() -> None:
    """Run until SIGTERM."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    server, port = start(Counts())
    sys.stdout.write(f"ready receiver=127.0.0.1:{port}\n")
    sys.stdout.flush()
    stopped.wait()
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
