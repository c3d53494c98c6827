"""Single values, and attributes under the processor's own prefix; all else about attributes is tested through `decode`."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

import naive_wire
from arrays import bytes_of, ints, stack
from otlp import any_values, requests
from spanward_processor.decode import decode
from spanward_processor.kernels.attributes import NOTHING, read_any_value, reserved_ranges
from spanward_processor.roles import role_table

ROLES = role_table(key=bytes(16))
KINDS = [
    None,
    "string_value",
    "bool_value",
    "int_value",
    "double_value",
    "array_value",
    "kvlist_value",
    "bytes_value",
]


@given(st.one_of(any_values.map(AnyValue.SerializeToString), st.binary(max_size=12)))
def test_values_equal_the_official_parser(data: bytes) -> None:
    """A value is of the kind, and holds the integer or text, that the official parser reads."""
    at, value = read_any_value(bytes_of(data), 0, len(data), stack())

    if at < 0:
        return
    expected = AnyValue.FromString(data)
    kind = expected.WhichOneof("value")
    if kind == "kvlist_value":
        kind = "array_value"  # both are opaque
    assert kind == KINDS[int(value.kind)]
    payload = data[value.start : value.end]
    if kind in ("string_value", "bytes_value"):
        read = getattr(expected, kind)
        assert payload == (read if isinstance(read, bytes) else read.encode())
    if kind == "int_value":
        assert expected.int_value % 2**64 == int(value.integer)


@given(any_values.map(AnyValue.SerializeToString), st.integers(1, 5))
def test_cut_values_are_refused_like_the_official_parser(data: bytes, cut: int) -> None:
    """What the official parser refuses of a cut value is refused here."""
    shorter = data[: max(len(data) - cut, 0)]

    at, _ = read_any_value(bytes_of(shorter), 0, len(shorter), stack())

    try:
        AnyValue.FromString(shorter)
    except DecodeError:
        assert at < 0


def test_no_bytes_are_no_value() -> None:
    """An empty message holds nothing."""
    at, value = read_any_value(bytes_of(b""), 0, 0, stack())

    assert (int(at), int(value.kind)) == (0, NOTHING)


@settings(max_examples=50)
@given(requests())
def test_reserved_ranges_equal_their_twin(request: bytes) -> None:
    """Exactly the attributes under the processor's own prefix are found, tag to end."""
    batch = decode(request, ROLES)

    assert [tuple(row) for row in batch.reserved.tolist()] == naive_wire.reserved(request)


def test_spans_outside_the_request_raise() -> None:
    """A frame past the request raises."""
    with pytest.raises(IndexError):
        reserved_ranges(bytes_of(b"\x4a"), ints([0, 0, 0, 40, 0]).reshape(1, 5), ints([1]), np.zeros((1, 3), np.int64))
