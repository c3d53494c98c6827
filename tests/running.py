"""Real servers for tests: a backend made of official stubs only, and a processor in a thread of its own."""

import threading
from collections.abc import Generator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, cast

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from beside import beside
from spanward_processor.configuration.config import Config
from spanward_processor.server import Processor


class Backend(
    trace_service_pb2_grpc.TraceServiceServicer,
    metrics_service_pb2_grpc.MetricsServiceServicer,
    logs_service_pb2_grpc.LogsServiceServicer,
):
    """Keeps what it is sent; answers with `refusal` while one is set, and not at all while `answering` is not."""

    def __init__(self) -> None:
        self.traces: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = []
        self.logs: list[logs_service_pb2.ExportLogsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.refused = 0
        self.reply = trace_service_pb2.ExportTraceServiceResponse()
        self.asked = 0
        self.answering = threading.Event()
        self.answering.set()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the stubs' name
        """Take a request of any of the three kinds."""
        if self.refusal:
            self.refused += 1
            context.abort(*self.refusal)
        self.asked += 1
        self.answering.wait()
        self.headers.append({item.key: item.value for item in context.invocation_metadata()})
        if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
            self.traces.append(request)
            return self.reply
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            self.metrics.append(request)
            return metrics_service_pb2.ExportMetricsServiceResponse()
        self.logs.append(request)
        return logs_service_pb2.ExportLogsServiceResponse()


@contextmanager
def backend(port: int = 0, kept: Backend | None = None) -> Generator[tuple[Backend, int]]:
    """Run a backend on loopback, an ordinary one unless given; yield it and its port."""
    kept = kept or Backend()
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    for module, name in (
        (trace_service_pb2_grpc, "TraceService"),
        (metrics_service_pb2_grpc, "MetricsService"),
        (logs_service_pb2_grpc, "LogsService"),
    ):
        register: Any = getattr(module, f"add_{name}Servicer_to_server")
        register(kept, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield kept, bound
    finally:
        kept.answering.set()
        server.stop(0).wait()


@contextmanager
def processor(*backend_ports: int, **sections: Any) -> Generator[Processor]:
    """Run a processor on port 0 in a thread; yield it while it serves.

    Args:
        backend_ports: Where to forward to, on loopback.
        sections: Sections of the configuration, as in YAML.
    """
    config = Config.model_validate(
        {
            "receiver": {"listen": "127.0.0.1:0", "http_listen": None},
            "journal": None,
            "live": None,
            "backends": [
                {"name": f"backend-{number}", "endpoint": f"http://127.0.0.1:{port}"}
                for number, port in enumerate(backend_ports)
            ],
            "telemetry": {"interval_s": 3600},
        }
        | sections
    )
    with beside(lambda: Processor(config)) as running:
        yield running


def export(address: str, request: bytes, signal: str = "trace", timeout: float = 20.0) -> bytes:
    """Send encoded bytes to an OTLP receiver; return its reply."""
    service = f"opentelemetry.proto.collector.{signal}.v1.{signal.capitalize()}Service"
    with grpc.insecure_channel(address) as channel:
        call = cast("Any", channel).unary_unary(f"/{service}/Export")
        reply: bytes = call(request, timeout=timeout)
    return reply
