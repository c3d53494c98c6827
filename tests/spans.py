"""Spans as bytes, for tests that send what no SDK would."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv

Value = str | int | float | bool | bytes | AnyValue


def any_value(value: Value) -> AnyValue:
    """Return a value as OTLP carries it."""
    if isinstance(value, AnyValue):
        return value
    kinds: dict[type, str] = {
        bool: "bool_value",
        str: "string_value",
        int: "int_value",
        float: "double_value",
        bytes: "bytes_value",
    }
    carried: Any = {kinds[type(value)]: value}
    return AnyValue(**carried)


def span(attributes: Mapping[str, Value] | None = None, **fields: Any) -> Span:
    """Return a span that ended now and took 10 ms, of model `m` unless told otherwise."""
    now = time.time_ns()
    defaults: dict[str, Any] = {
        "start_time_unix_nano": now - 10_000_000,
        "end_time_unix_nano": now,
        "trace_id": bytes(range(1, 17)),
        "span_id": bytes(range(1, 9)),
    }
    made = Span(**(defaults | fields))
    for key, value in ({semconv.MODEL_NAME: "m"} | dict(attributes or {})).items():
        made.attributes.add(key=key).value.CopyFrom(any_value(value))
    return made


def request(spans: Iterable[Span], service: str = "test") -> ExportTraceServiceRequest:
    """Return an export request of one resource and one scope."""
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    resource.resource.attributes.add(key=semconv.SERVICE_NAME).value.string_value = service
    resource.scope_spans.add().spans.extend(spans)
    return made


def encoded(*spans: Span) -> bytes:
    """Return the bytes of an export request."""
    return request(spans).SerializeToString()


def spans_of(sent: ExportTraceServiceRequest) -> list[Span]:
    """Return every span of a request."""
    return [each for resource in sent.resource_spans for scope in resource.scope_spans for each in scope.spans]


def nested(depth: int) -> AnyValue:
    """Return a value inside so many lists, built from the inside out."""
    value = AnyValue(string_value="inside")
    for _ in range(depth):
        outer = AnyValue()
        outer.array_value.values.add().CopyFrom(value)
        value = outer
    return value


def eventually(happened: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Return whether a condition came true before the deadline."""
    deadline = time.monotonic() + within_s
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
