"""Requests without some of their spans, against rebuilding them message by message."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import naive_wire
from arrays import bytes_of, ints
from otlp import requests
from spans import request, span
from spanward import semconv
from spanward_processor.decode import decode
from spanward_processor.kernels.prune import EDITS, KEPT, SPANS, plan_pruning, write_pruned
from spanward_processor.roles import role_table

ROLES = role_table(key=bytes(16))
REDUNDANT = b"\x0a\x8d\x80\x00" + b"\x12\x8a\x00" + b"\x12\x82\x00\x28\x01" + b"\x12\x82\x00\x28\x02"


def pruned(data: bytes, dropped: dict[int, bool]) -> bytes:
    """Plan, make room, and write."""
    batch = decode(data, ROLES)
    rows = ints(dropped.get(row, False) for row in range(len(batch)))
    edits, done = np.empty((3 + 4 * (int(rows.sum()) + batch.outer_reserved), 3), np.int64), np.zeros(3, np.int64)
    plan_pruning(batch.data, rows, edits, done)
    assert (done[SPANS], done[KEPT]) == (len(batch), len(batch) - rows.sum())
    out = np.empty(len(data), np.uint8)
    return out[: write_pruned(batch.data, edits[: done[EDITS]], out)].tobytes()


def forged() -> bytes:
    """Return a request with attributes of ours on its resource and its scope, twice over."""
    made = request([span(), span()])
    for _ in range(2):
        resource = made.resource_spans[0]
        resource.resource.attributes.add(key=semconv.ANOMALY_SCORE).value.double_value = 1.0
        resource.scope_spans[0].scope.attributes.add(key=semconv.ANOMALY_FINDING_ID).value.string_value = "forged"
    return made.SerializeToString() * 2


@settings(max_examples=100)
@given(requests(), st.dictionaries(st.integers(0, 17), st.just(True), max_size=18))
@example(b"", {})
@example(REDUNDANT, {0: True})
@example(REDUNDANT, {0: True, 1: True})
@example(forged(), {})
@example(forged(), {1: True, 2: True, 3: True})
def test_bytes_equal_their_twin(data: bytes, dropped: dict[int, bool]) -> None:
    """Whatever goes, the bytes are those of `naive_wire.pruned`, and nothing of ours is left on resources and scopes."""
    dropped = {row: True for row in dropped if row < len(decode(data, ROLES))}

    out = pruned(data, dropped)

    assert out == naive_wire.pruned(data, dropped)
    assert decode(out, ROLES).outer_reserved == 0


@settings(max_examples=50)
@given(requests())
def test_every_span_dropped_leaves_no_empty_envelope(data: bytes) -> None:
    """Resources and scopes that had spans are gone; those that came without spans stay as they came."""
    count = len(decode(data, ROLES))
    before, after = ExportTraceServiceRequest.FromString(data), ExportTraceServiceRequest()

    after.ParseFromString(pruned(data, dict.fromkeys(range(count), True)))

    def empty(resource_spans: object) -> bool:
        return not any(scope.spans for scope in resource_spans.scope_spans)  # type: ignore[attr-defined]

    assert len(after.resource_spans) == sum(map(empty, before.resource_spans))


@settings(max_examples=50)
@given(requests(), st.binary(min_size=1, max_size=8))
def test_unknown_fields_stay(data: bytes, junk: bytes) -> None:
    """Fields that nobody knows come out as they came, beside what goes."""
    unknown = b"\xfa\x07" + bytes([len(junk)]) + junk  # field 127
    count = len(decode(data, ROLES))
    dropped = dict.fromkeys(range(0, count, 2), True)

    assert pruned(unknown + data + unknown, dropped) == unknown + pruned(data, dropped) + unknown


def test_the_last_of_several_keys_counts() -> None:
    """A KeyValue that names itself twice is what parsers take it for, as `key_is_reserved` and `naive_wire.reserved` do."""
    ours, other = b"\x0a\x13spanward.anomaly.xy", b"\x0a\x01k"
    for key, gone in ((ours + other, False), (other + ours, True)):
        attribute = b"\x0a" + bytes([len(key)]) + key
        resource = b"\x0a" + bytes([len(attribute)]) + attribute
        data = b"\x0a" + bytes([len(resource)]) + resource
        assert pruned(data, {}) == (b"\x0a\x02\x0a\x00" if gone else data)


def test_too_little_room_raises() -> None:
    """Room that was not planned for raises; nothing is written past it."""
    data = forged()
    with pytest.raises(IndexError):
        plan_pruning(bytes_of(data), ints([0] * 4), np.empty((2, 3), np.int64), np.zeros(3, np.int64))
    with pytest.raises(IndexError):
        write_pruned(bytes_of(data), np.empty((0, 3), np.int64), np.empty(4, np.uint8))
