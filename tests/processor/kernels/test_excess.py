"""Which spans are over a limit, against recursion over the wire format."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

import naive_wire
from otlp import requests
from spans import any_value, encoded, nested, span
from spanward_processor.decode import decode
from spanward_processor.kernels.excess import WALK_DEPTH, find_excess, longest_value
from spanward_processor.kernels.validate import MAX_DEPTH
from spanward_processor.roles import role_table

ROLES = role_table(key=bytes(16))


def room() -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return room for the walk."""
    return np.empty((2, WALK_DEPTH), np.int64)


def excess_of(request: bytes, most_attributes: int, most_bytes: int) -> tuple[int, list[tuple[int, int]]]:
    """Return how many spans are over a limit, and what was found of each."""
    batch = decode(request, ROLES)
    found = np.empty((2, len(batch)), np.int64)
    facts = batch.facts.attributes
    over = find_excess(batch.data, batch.frames.spans, facts, most_attributes, most_bytes, room(), found)
    return over, [(kind, value) for kind, value in found.T.tolist()]


@settings(max_examples=100)
@given(requests(), st.integers(0, 9), st.integers(0, 25))
@example(encoded(span({"n": nested(20)})), 9, 3)
@example(encoded(span({"n": any_value(b"12345")}), span({"long name of an attribute": 1})), 9, 20)
def test_excess_equals_its_twin(request: bytes, most_attributes: int, most_bytes: int) -> None:
    """The same spans are over the same limits, with the same values found: `naive_wire.excess`."""
    expected = naive_wire.excess(request, most_attributes, most_bytes)

    over, found = excess_of(request, most_attributes, most_bytes)

    assert found == expected
    assert over == sum(kind > 0 for kind, _ in expected)


@settings(max_examples=50)
@given(requests())
def test_longest_value_equals_its_twin(request: bytes) -> None:
    """Wherever a text, bytes or unknown field stands in a span, the longest is found: `naive_wire.longest_value`."""
    batch = decode(request, ROLES)

    for start, end in batch.frames.spans[:, 2:4].tolist():
        assert longest_value(batch.data, start, end, room()) == naive_wire.longest_value(request, start, end)


def test_the_deepest_value_that_decodes_is_walked() -> None:
    """What is nested as deep as decoding allows needs no more room than there is."""
    value = b"\x0a\x06inside"
    for _ in range((MAX_DEPTH - 1) // 2):
        value = b"\x0a" + naive_wire.encoded_varint(len(value)) + value
        value = b"\x2a" + naive_wire.encoded_varint(len(value)) + value
    made = span()
    made.attributes.add(key="k").value.MergeFromString(value)

    assert excess_of(encoded(made), 9, 5)[0] == 1
