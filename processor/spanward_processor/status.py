"""OTLP's rules for statuses: what may be tried again, and how a sender is told when.

Source: OpenTelemetry Protocol specification 1.x, "OTLP/gRPC Response", "Failures" and "OTLP/gRPC Throttling".
"""

from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from spanward_processor.h2.call import Status as Code

RETRYABLE: Final = frozenset(
    {
        Code.CANCELLED,
        Code.DEADLINE_EXCEEDED,
        Code.ABORTED,
        Code.OUT_OF_RANGE,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)


def encoded(code: Code, message: str, delay_s: float | None = None) -> bytes:
    """Return an encoded google.rpc.Status.

    Args:
        code: What kind of failure it is.
        message: What is wrong, in a sentence.
        delay_s: When the sender shall come back, seconds; None says nothing about it.
    """
    status = Status(code=int(code), message=message)
    if delay_s is not None:
        detail = AnyMessage()
        seconds = int(delay_s)
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=int((delay_s - seconds) * 1e9))))
        status.details.append(detail)
    encoded_status: bytes = status.SerializeToString()
    return encoded_status


def as_json(status: bytes) -> bytes:
    """Return an encoded google.rpc.Status in JSON."""
    return MessageToJson(Status.FromString(status), indent=None).encode()


def retry_delay_s(details: bytes) -> float | None:
    """Return the delay that an encoded google.rpc.Status asks for, seconds; None when it does not."""
    try:
        for detail in Status.FromString(details).details:
            info = RetryInfo()
            if detail.Unpack(info):
                return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    except DecodeError:  # a hostile or broken backend; then it has asked for nothing
        return None
    return None


def may_retry(code: int, delay_s: float | None) -> bool:
    """Return whether the specification allows sending the same request again.

    Args:
        code: gRPC status.
        delay_s: Delay that the answer asks for, if any.
    """
    return code in RETRYABLE or (code == Code.RESOURCE_EXHAUSTED and delay_s is not None)


__all__ = ["RETRYABLE", "Code", "as_json", "encoded", "may_retry", "retry_delay_s"]
