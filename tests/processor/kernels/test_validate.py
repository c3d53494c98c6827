"""Whether nested messages are well formed, against recursion and the official parser."""

import random

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

import naive_wire
from arrays import bytes_of, stack
from otlp import any_values, damaged
from spanward_processor.kernels import validate as kinds
from spanward_processor.kernels.validate import MAX_DEPTH, message_field, validate
from spanward_processor.kernels.wire import TOO_DEEP

MESSAGES: dict[int, tuple[str, type[Message]]] = {
    kinds.KEY_VALUE: ("KeyValue", common_pb2.KeyValue),
    kinds.ANY_VALUE: ("AnyValue", common_pb2.AnyValue),
    kinds.ARRAY: ("ArrayValue", common_pb2.ArrayValue),
    kinds.KEY_VALUES: ("KeyValueList", common_pb2.KeyValueList),
    kinds.EVENT: ("Event", Span.Event),
    kinds.LINK: ("Link", Span.Link),
    kinds.STATUS: ("Status", Status),
    kinds.ENTITY: ("EntityRef", common_pb2.EntityRef),
    kinds.SCOPE: ("InstrumentationScope", common_pb2.InstrumentationScope),
    kinds.RESOURCE: ("Resource", Resource),
}


@st.composite
def encoded(draw: st.DrawFn) -> bytes:
    """Encoded fields 1 to 4 that hold text, values, attributes or junk: something for each message."""
    value: bytes = draw(any_values).SerializeToString()
    attribute: bytes = common_pb2.KeyValue(key=draw(st.text(max_size=4))).SerializeToString()
    inner = draw(st.sampled_from([value, attribute, b"", b"\xff", "\u00e9".encode(), b"ab"]))
    number = draw(st.integers(1, 7))
    return bytes([number << 3 | 2, len(inner)]) + inner if len(inner) < 128 else inner


@pytest.mark.parametrize("kind", MESSAGES, ids=[name for name, _ in MESSAGES.values()])
@given(st.lists(encoded(), max_size=4).map(b"".join), st.randoms(use_true_random=False), st.booleans())
def test_answers_equal_their_twin(kind: int, data: bytes, rng: random.Random, broken: bool) -> None:
    """Well formed or not, and why not, is as recursion finds; what is taken, the official parser takes."""
    data = damaged(data, rng) if broken else data
    name, message = MESSAGES[kind]

    answer = validate(bytes_of(data), 0, len(data), kind, stack())

    assert naive_wire.answer(lambda: naive_wire.check(data, 0, len(data), naive_wire.SCHEMAS[name])) == answer
    try:
        message.FromString(data)
    except DecodeError:
        assert answer < 0


@given(st.binary(max_size=30))
def test_message_fields_equal_their_twin(data: bytes) -> None:
    """A message field ends where its length says, if what it holds is well formed."""

    def read() -> int:
        start, stop = naive_wire.length(data, 0, len(data))
        return naive_wire.check(data, start, stop, naive_wire.SCHEMAS["KeyValue"])

    assert naive_wire.answer(read) == message_field(bytes_of(data), 0, len(data), kinds.KEY_VALUE, stack())


@pytest.mark.parametrize(("levels", "taken"), [(MAX_DEPTH // 2 - 1, True), (MAX_DEPTH, False), (2000, False)])
def test_depth_is_bounded(levels: int, taken: bool) -> None:
    """Arrays in arrays are taken up to a depth, and refused beyond it without a deeper call stack."""
    body = b""
    for _ in range(levels):
        body = b"\x0a" + naive_wire.encoded_varint(len(body)) + body
        body = b"\x2a" + naive_wire.encoded_varint(len(body)) + body

    answer = validate(bytes_of(body), 0, len(body), kinds.ANY_VALUE, stack())

    assert answer == (len(body) if taken else TOO_DEEP)


def test_an_end_outside_the_array_raises() -> None:
    """An end past the array raises."""
    with pytest.raises(IndexError):
        validate(bytes_of(b"\x0a\x02ab"), 0, 9, kinds.KEY_VALUE, stack())
