"""What a backend's answer says, whichever protocol brought it."""

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanward_processor.exporters.base import Taken
from spanward_processor.signals import Signal


def taken(signal: Signal, body: bytes) -> Taken:
    """Return what an export response says; one that cannot be read says that all was taken.

    Args:
        signal: Which kind was sent.
        body: The encoded response.
    """
    if not body:
        return Taken()
    try:
        if signal is Signal.TRACES:
            traces = ExportTraceServiceResponse.FromString(body).partial_success
            return Taken(traces.rejected_spans, traces.error_message)
        if signal is Signal.METRICS:
            metrics = ExportMetricsServiceResponse.FromString(body).partial_success
            return Taken(metrics.rejected_data_points, metrics.error_message)
        logs = ExportLogsServiceResponse.FromString(body).partial_success
        return Taken(logs.rejected_log_records, logs.error_message)
    except DecodeError:
        return Taken()
