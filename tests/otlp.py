"""Encoded trace requests of every shape, and damage to them, for hypothesis."""

import random
from collections.abc import Mapping
from typing import Any, cast

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv
from spanward_processor.roles import NUMBER_ROLES, TEXT_ROLES

TEXTS = {**TEXT_ROLES, semconv.CHANNEL: (semconv.CHANNEL,)}
NAMES = sorted({name for names in (*TEXTS.values(), *NUMBER_ROLES.values()) for name in names})


def _array(values: list[AnyValue]) -> AnyValue:
    value = AnyValue()
    value.array_value.values.extend(values)
    return value


any_values = st.recursive(
    st.one_of(
        st.builds(AnyValue, string_value=st.text(max_size=20)),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=20)),
        st.just(AnyValue()),
    ),
    lambda values: st.lists(values, max_size=3).map(_array),
    max_leaves=4,
)


keys = st.one_of(st.sampled_from(NAMES), st.sampled_from([semconv.ANOMALY_SCORE, "x"]), st.text(max_size=12))
attributes = st.lists(st.tuples(keys, any_values), max_size=8)
spans = st.tuples(
    attributes,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from([b"", bytes(16), b"\x01" * 16, b"short"]),
    st.integers(0, 2),
    attributes,
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """An encoded request of a few resources, scopes and spans with all kinds of attributes."""
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 3))):
        resource = request.resource_spans.add(schema_url=draw(st.text(max_size=5)))
        for key, value in draw(attributes):
            resource.resource.attributes.add(key=key, value=value)
        for _ in range(draw(st.integers(0, 2))):
            scope = resource.scope_spans.add()
            scope.scope.name = draw(st.text(max_size=5))
            for key, value in draw(attributes):
                scope.scope.attributes.add(key=key, value=value)
            for drawn in draw(st.lists(spans, max_size=3)):
                _fill(scope.spans.add(), *drawn)
    return request.SerializeToString()


@st.composite
def alike_requests(draw: st.DrawFn) -> bytes:
    """An encoded request of spans that have the same attributes in the same order, as real senders send them."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    order = draw(st.lists(keys, min_size=1, max_size=6))
    pools = [draw(st.lists(any_values, min_size=1, max_size=3)) for _ in order]
    for _ in range(draw(st.integers(2, 6))):
        span = scope.spans.add(start_time_unix_nano=1, end_time_unix_nano=2)
        for key, pool in zip(order, pools, strict=True):
            span.attributes.add(key=key, value=draw(st.sampled_from(pool)))
    return request.SerializeToString()


def _fill(span: Span, items: Any, start: int, end: int, trace: bytes, status: int, event: Any) -> None:
    span.start_time_unix_nano, span.end_time_unix_nano, span.trace_id = start, end, trace
    span.status.code = cast("Any", status)
    span.status.message = "m"
    for key, value in items:
        span.attributes.add(key=key, value=value)
    for key, value in event:
        span.events.add(name="e").attributes.add(key=key, value=value)
        span.links.add(trace_state="s").attributes.add(key=key, value=value)


def damaged(request: bytes, rng: random.Random) -> bytes:
    """Return a request with a few bytes changed, taken out or put in."""
    data = bytearray(request or b"\x0a")
    for _ in range(rng.randint(1, 4)):
        action = rng.randrange(3)
        at = rng.randrange(len(data)) if data else 0
        if action == 0 and data:
            data[at] = rng.randrange(256)
        elif action == 1 and data:
            del data[at : at + rng.randint(1, 4)]
        else:
            data[at:at] = rng.randbytes(rng.randint(1, 4))
    return bytes(data)


Attributes = Mapping[str, str | int | float | bool | bytes]
_KINDS: dict[type, str] = {
    str: "string_value",
    bool: "bool_value",
    int: "int_value",
    float: "double_value",
    bytes: "bytes_value",
}


def encoded(*spans: Attributes, end_ns: int = 2_000_000_000, service: str = "support") -> bytes:
    """Return an encoded request of one service; each span lasts a millisecond and has the given attributes."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key=semconv.SERVICE_NAME).value.string_value = service
    scope = resource.scope_spans.add()
    for number, attributes in enumerate(spans, start=1):
        span = scope.spans.add(start_time_unix_nano=end_ns - 1_000_000, end_time_unix_nano=end_ns)
        span.trace_id = number.to_bytes(16, "big")
        for key, value in attributes.items():
            setattr(span.attributes.add(key=key).value, _KINDS[type(value)], value)
    return request.SerializeToString()
