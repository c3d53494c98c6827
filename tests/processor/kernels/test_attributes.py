"""Attributes under the processor's own prefix; all else about attributes is tested through `decode`."""

import numpy as np
import pytest
from hypothesis import given, settings

import naive_wire
from arrays import bytes_of, ints
from otlp import requests
from spanward_processor.decode import decode
from spanward_processor.kernels.attributes import reserved_ranges
from spanward_processor.roles import role_table

ROLES = role_table(key=bytes(16))


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
