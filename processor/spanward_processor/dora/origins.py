"""Which commit a process was made of, as its resource says."""

from dataclasses import dataclass
from datetime import datetime

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from spanward import semconv
from spanward_processor.columns import SpanBatch
from spanward_processor.dora.announcements import nanoseconds
from spanward_processor.kernels.frames import END, PARENT, START, TAG_AT


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from.

    Args:
        revision: The commit; empty where nobody says.
        commit_ns: When it was made, Unix nanoseconds; 0 where nobody says.
    """

    revision: str = ""
    commit_ns: int = 0


def origin_of(batch: SpanBatch, row: int) -> Origin:
    """Return what the resource of a row says; what stands behind its first span is not looked at."""
    frames = batch.frames
    scope = int(frames.spans[row, PARENT])
    resource = int(frames.scopes[scope, PARENT])
    first_scope = int(frames.scopes[frames.scopes[:, PARENT] == resource, TAG_AT].min())
    start, end = int(frames.resources[resource, START]), int(frames.resources[resource, END])
    read = ResourceSpans.FromString(batch.data[start : min(first_scope, end)].tobytes())
    values = {attribute.key: attribute.value for attribute in read.resource.attributes}
    revision = values.get(semconv.VCS_REF_HEAD_REVISION, AnyValue()).string_value
    return Origin(revision[:256], _commit_ns(values.get(semconv.COMMIT_TIME, AnyValue())))


def _commit_ns(value: AnyValue) -> int:
    """Return a time that stands as RFC 3339 text or as Unix seconds; 0 where it is neither."""
    kind = value.WhichOneof("value")
    if kind == "int_value" and 0 < value.int_value < 1 << 33:
        return value.int_value * 1_000_000_000
    if kind != "string_value":
        return 0
    try:
        moment = datetime.fromisoformat(value.string_value)
    except ValueError:
        return 0
    return max(0, nanoseconds(moment)) if moment.tzinfo else 0
