"""Single values against the official parser; what becomes of them in columns is tested through `decode`."""

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from arrays import bytes_of, stack
from otlp import any_values
from spanward_processor.kernels.values import NOTHING, read_any_value

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
    if kind in {"kvlist_value", "string_value_strindex"}:
        kind = "array_value"  # all are opaque
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
