"""A small request of every signal, what is answered to it, and a backend that has something to say of each."""

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

import running
from spans import encoded, span

BOTH = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"}
FEW = {"attributes_per_span": 20}
EXCESSIVE = span({f"a{number}": number for number in range(30)})
SIGNALS = ("trace", "metrics", "logs")
REPLIES: dict[str, Any] = {
    "trace": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
REJECTED = {"trace": "rejected_spans", "metrics": "rejected_data_points", "logs": "rejected_log_records"}


def sent_of(signal: str) -> bytes:
    """Return a small request of a signal."""
    if signal == "trace":
        return encoded(span())
    if signal == "metrics":
        metrics = ExportMetricsServiceRequest()
        metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="queue.size")
        metric.gauge.data_points.add(as_int=3)
        return metrics.SerializeToString()
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "hello"
    return logs.SerializeToString()


class Critical(running.Backend):
    """Says something of everything it takes.

    Args:
        rejected: How much of it is rejected.
        message: Why.
    """

    def __init__(self, rejected: int, message: str) -> None:
        super().__init__()
        self._partial = rejected, message

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the stubs' name
        """Take a request."""
        reply = super().Export(request, context)
        answer = type(reply)()
        signal = next(name for name, kind in REPLIES.items() if isinstance(reply, kind))
        setattr(answer.partial_success, REJECTED[signal], self._partial[0])
        answer.partial_success.error_message = self._partial[1]
        return answer
