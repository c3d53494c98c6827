"""OTLP's rules for statuses: what may be tried again, and how a sender is told when.

Source: OpenTelemetry Protocol specification 1.x, "OTLP/gRPC Response", "Failures" and "OTLP/gRPC Throttling".
"""

from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

DETAILS: Final = "grpc-status-details-bin"

RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


def throttled(message: str, delay_s: float) -> tuple[tuple[str, bytes], ...]:
    """Return trailing metadata that tells a sender to come back after a while.

    Args:
        message: What is wrong, in a sentence.
        delay_s: When to come back, seconds.
    """
    detail = AnyMessage()
    seconds = int(delay_s)
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=int((delay_s - seconds) * 1e9))))
    code = int(grpc.StatusCode.UNAVAILABLE.value[0])
    return ((DETAILS, Status(code=code, message=message, details=[detail]).SerializeToString()),)


def retry_delay_s(error: grpc.aio.AioRpcError) -> float | None:
    """Return the delay a backend asked for, seconds; None when it did not."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS and isinstance(value, bytes):
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Unpack(info):
                    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None


def may_retry(error: grpc.aio.AioRpcError) -> bool:
    """Return whether the specification allows sending the same request again."""
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return retry_delay_s(error) is not None
    return error.code() in RETRYABLE
