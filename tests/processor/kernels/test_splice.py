"""Splicing against rebuilding the request message by message."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import naive_wire
from arrays import bytes_of
from otlp import requests
from spanward import semconv
from spanward_processor.decode import decode
from spanward_processor.kernels.splice import Notes, plan_growth, splice, varint_size, write_varint
from spanward_processor.roles import role_table

ROLES = role_table(key=bytes(16))
TEMPLATES = (b"12345678", b"\x7a\x00" * 100 + b"12345678tail")  # the second makes lengths a byte longer


def notes_of(rows: Mapping[int, int], count: int) -> tuple[Notes, dict[int, bytes]]:
    """Return notes for a kernel, and the same as bytes by span."""
    scores, chosen = np.arange(0.5, count, dtype=np.float64), np.full(count, -1)
    for row, template in rows.items():
        chosen[row] = template
    at = [template.index(b"12345678") for template in TEMPLATES]
    starts = np.cumsum([0, *map(len, TEMPLATES)])
    expected = {row: TEMPLATES[t].replace(b"12345678", scores[row].tobytes()) for row, t in rows.items()}
    return Notes(bytes_of(b"".join(TEMPLATES)), starts, np.array(at), chosen, scores), expected


def spliced(request: bytes, notes: Notes) -> bytes:
    """Plan, make room and write."""
    batch = decode(request, ROLES)
    growth = np.zeros((sum(rows.shape[0] for rows in batch.frames), 2), np.int64)
    grown = plan_growth(batch.frames, batch.reserved, notes, growth)
    out = np.empty(batch.data.size + grown, np.uint8)
    written = splice(batch.data, batch.frames, batch.reserved, notes, notes.scores.view(np.uint8), growth, out)
    assert written == out.size
    return out.tobytes()


def reserved_request() -> bytes:
    """A request of one span with nothing but attributes of ours."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    for _ in range(20):
        span.attributes.add(key=semconv.ANOMALY_SCORE).value.double_value = 1.0
    return request.SerializeToString()


@settings(max_examples=50)
@given(requests(), st.dictionaries(st.integers(0, 17), st.integers(0, 1), max_size=8))
@example(b"", {})
@example(reserved_request(), {})
@example(reserved_request(), {0: 1})
@example(b"\x0a\x88\x80\x00\x12\x85\x00\x12\x82\x00\x28\x01", {0: 0})  # lengths longer than they need be
def test_bytes_equal_their_twin(request: bytes, rows: dict[int, int]) -> None:
    """Whatever is written and left out, the bytes are those of a rebuilt request, and all lengths are right."""
    count = len(decode(request, ROLES))
    notes, expected = notes_of({row: template for row, template in rows.items() if row < count}, count)

    assert spliced(request, notes) == naive_wire.spliced(request, expected)


@settings(max_examples=50)
@given(requests(), st.binary(min_size=1, max_size=8))
def test_unknown_fields_stay(request: bytes, junk: bytes) -> None:
    """Fields that nobody knows, between and behind the known ones, come out as they came."""
    unknown = b"\xfa\x07" + bytes([len(junk)]) + junk  # field 127
    whole = unknown + request + unknown
    count = len(decode(whole, ROLES))
    notes, expected = notes_of(dict.fromkeys(range(count), 0), count)

    assert spliced(whole, notes) == naive_wire.spliced(whole, expected)


@given(st.integers(0, 2**63 - 1))
def test_varints_equal_their_twin(value: int) -> None:
    """The shortest form of any length, as `naive_wire.encoded_varint` has it."""
    out = np.zeros(10, np.uint8)

    assert write_varint(out, 0, value) == varint_size(value)
    assert out[: varint_size(value)].tobytes() == naive_wire.encoded_varint(value)


def test_too_little_room_raises() -> None:
    """Room that was not planned for raises; nothing is written past it."""
    request = reserved_request()
    batch = decode(request, ROLES)
    notes, _ = notes_of({0: 0}, 1)
    growth = np.zeros((3, 2), np.int64)
    plan_growth(batch.frames, batch.reserved, notes, growth)

    with pytest.raises(IndexError):
        splice(
            batch.data,
            batch.frames,
            batch.reserved,
            notes,
            notes.scores.view(np.uint8),
            growth,
            np.empty(4, np.uint8),
        )
