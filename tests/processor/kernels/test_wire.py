"""Reading of the wire format against its twin, on random, damaged and empty bytes."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import naive_wire
from arrays import bytes_of
from spanward_processor.kernels.wire import (
    BAD_GROUP,
    read_length,
    read_tag,
    read_varint,
    step_over,
    text_field,
    valid_utf8,
)

VARINTS = st.integers(0, 2**64 - 1).map(naive_wire.encoded_varint)
PAYLOADS = st.tuples(st.sampled_from([b"", b"\x0a"]) | VARINTS, st.binary(max_size=24)).map(b"".join)


@given(PAYLOADS)
@example(b"")
@example(b"\x80" * 11)
@example(b"\xff" * 9 + b"\x01")
@example(b"\xff" * 9 + b"\x02")
@example(b"\x80" * 9)
def test_varints(data: bytes) -> None:
    """A varint and its end are read as by the twin; overlong and cut ones are refused."""
    value, at = read_varint(bytes_of(data), 0, len(data))

    assert naive_wire.answers(lambda: naive_wire.varint(data, 0, len(data)), (0,)) == (int(value), at)


@given(PAYLOADS)
@example(b"\x07")
@example(b"\xff\xff\xff\xff\x0f")
@example(b"\xff\xff\xff\xff\x10")
def test_tags(data: bytes) -> None:
    """Field number and wire type are the twin's; number 0 and numbers past 2^29 are refused."""
    answer = read_tag(bytes_of(data), 0, len(data))

    assert naive_wire.answers(lambda: naive_wire.tag(data, 0, len(data)), (0, 0)) == answer


@given(PAYLOADS)
@example(naive_wire.encoded_varint(2**64 - 1) + b"x")
@example(naive_wire.encoded_varint(2**63) + b"x")
def test_lengths(data: bytes) -> None:
    """A payload's range is the twin's, and never reaches past the message."""
    answer = read_length(bytes_of(data), 0, len(data))

    assert naive_wire.answers(lambda: naive_wire.length(data, 0, len(data)), (), (0,)) == answer


@given(PAYLOADS, st.integers(0, 7))
def test_fields_are_stepped_over(data: bytes, wire: int) -> None:
    """A field of any wire type ends where the twin says."""
    answer = step_over(bytes_of(data), 0, len(data), wire)

    assert naive_wire.answer(lambda: naive_wire.step(data, 0, len(data), wire)) == answer


def test_groups_are_refused() -> None:
    """A group, which OTLP does not have, is refused by name."""
    assert step_over(bytes_of(b"\x0c"), 0, 1, 3) == BAD_GROUP


@given(st.one_of(st.binary(max_size=20), st.text(max_size=12).map(str.encode)), st.integers(0, 3))
@example(b"\xc0\x80", 0)
@example(b"\xed\xa0\x80", 0)
@example(b"\xf4\x90\x80\x80", 0)
@example(b"\xf0\x8f\xbf\xbf", 0)
@example(b"\xe2\x82", 0)
@example(b"12345678\xff", 0)
def test_utf8(data: bytes, start: int) -> None:
    """What is UTF-8 is what Python decodes: no surrogates, no overlong forms, nothing past U+10FFFF."""
    start = min(start, len(data))

    assert valid_utf8(bytes_of(data), start, len(data)) == naive_wire.is_text(data[start:])


@pytest.mark.parametrize("first", range(0x80, 0x100))
def test_every_two_byte_sequence(first: int) -> None:
    """Each pair of bytes, alone and before a third, is judged as Python judges it."""
    for second in range(0x100):
        for tail in (b"", b"\x80", b"\x80\x80"):
            data = bytes([first, second]) + tail
            assert valid_utf8(bytes_of(data), 0, len(data)) == naive_wire.is_text(data), data


@given(PAYLOADS)
def test_text_fields(data: bytes) -> None:
    """A string field ends where the twin says, or has the twin's error."""
    answer = text_field(bytes_of(data), 0, len(data))

    assert naive_wire.answer(lambda: naive_wire.text(data, 0, len(data))) == answer


@pytest.mark.parametrize("read", [read_varint, read_tag, read_length, text_field])
def test_an_end_outside_the_array_raises(read: Callable[[object, int, int], object]) -> None:
    """An end past the array raises; foreign memory is never read."""
    with pytest.raises(IndexError):
        read(np.full(4, 0x80, np.uint8), 0, 64)
