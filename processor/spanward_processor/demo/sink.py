"""The user's backend, in small: takes whatever OTLP brings and counts what Spanward has added.

Run as `python -m spanward_processor.demo.sink`; prints `ready receiver=HOST:PORT`.
"""

import json
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Final

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv

_COLLECTOR: Final = "opentelemetry.proto.collector"
_OWN: Final = "spanward.demo.Backend"
_COUNTS: Final = "Counts"


@dataclass(slots=True)
class Counts:
    """What the backend has received.

    Args:
        spans: All spans.
        annotated: Spans that carry an anomaly attribute.
        findings: Log records that tell of a finding.
        metrics: Requests with metrics.
    """

    spans: int = 0
    annotated: int = 0
    findings: int = 0
    metrics: int = 0

    def add_traces(self, request: bytes) -> None:
        """Count the spans of an export request."""
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
            for scope in resource.scope_spans:
                self.spans += len(scope.spans)
                self.annotated += sum(map(_is_annotated, scope.spans))

    def add_logs(self, request: bytes) -> None:
        """Count the findings of an export request."""
        for resource in ExportLogsServiceRequest.FromString(request).resource_logs:
            for scope in resource.scope_logs:
                self.findings += sum(record.event_name == semconv.FINDING_EVENT for record in scope.log_records)

    def add_metrics(self, request: bytes) -> None:
        """Count an export request of metrics."""
        del request
        self.metrics += 1

    def as_json(self) -> bytes:
        """Return the counts."""
        return json.dumps(asdict(self)).encode()


def _is_annotated(span: Span) -> bool:
    return any(attribute.key.startswith(semconv.ANOMALY_PREFIX) for attribute in span.attributes)


def start(counts: Counts) -> tuple[grpc.Server, int]:
    """Start the backend on a free loopback port; return it and the port."""

    def taking(add: Callable[[bytes], None]) -> Callable[[bytes], bytes]:
        def export(request: bytes) -> bytes:
            add(request)
            return b""  # an empty response: everything was taken

        return export

    server = grpc.server(ThreadPoolExecutor(max_workers=1))  # one worker, so counting needs no lock
    server.add_generic_rpc_handlers(
        (
            _service(f"{_COLLECTOR}.trace.v1.TraceService", "Export", taking(counts.add_traces)),
            _service(f"{_COLLECTOR}.logs.v1.LogsService", "Export", taking(counts.add_logs)),
            _service(f"{_COLLECTOR}.metrics.v1.MetricsService", "Export", taking(counts.add_metrics)),
            _service(_OWN, _COUNTS, lambda _: counts.as_json()),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def _service(name: str, method: str, answer: Callable[[bytes], bytes]) -> grpc.GenericRpcHandler:
    def call(request: bytes, _: grpc.ServicerContext) -> bytes:
        return answer(request)

    return grpc.method_handlers_generic_handler(name, {method: grpc.unary_unary_rpc_method_handler(call)})


async def read_counts(address: str) -> Counts:
    """Ask a running backend what it has received."""
    async with grpc.aio.insecure_channel(address) as channel:
        ask = channel.unary_unary(f"/{_OWN}/{_COUNTS}", request_serializer=bytes, response_deserializer=bytes)
        return Counts(**json.loads(await ask(b"")))


def main() -> None:
    """Run until SIGTERM."""
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    server, port = start(Counts())
    sys.stdout.write(f"ready receiver=127.0.0.1:{port}\n")
    sys.stdout.flush()
    stopped.wait()
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
