"""The keyed hash against its twin and the published reference values."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import naive
from arrays import bytes_of
from spanward_processor.kernels.siphash import mix64, siphash13

WORDS = st.integers(0, 2**64 - 1)


@given(st.binary(max_size=300), WORDS, WORDS)
@example(b"", 0, 0)
@example(bytes(7), 0, 2**64 - 1)
@example(bytes(8), 1, 1)
def test_hash_equals_its_twin(data: bytes, k0: int, k1: int) -> None:
    """Any bytes under any key have the twin's hash; 0 is kept for "absent"."""
    code = siphash13(bytes_of(data), 0, len(data), np.uint64(k0), np.uint64(k1))

    assert int(code) == (naive.siphash13(data, k0, k1) or 1)


@given(st.binary(min_size=4, max_size=40))
def test_hash_of_a_part(data: bytes) -> None:
    """The hash of a range is the hash of that range alone."""
    whole, key = bytes_of(data), np.uint64(5)

    assert siphash13(whole, 1, len(data) - 2, key, key) == siphash13(bytes_of(data[1:-2]), 0, len(data) - 3, key, key)


def test_hash_outside_raises() -> None:
    """A range past the array raises."""
    for end in (9, 64):
        with pytest.raises(IndexError):
            siphash13(np.zeros(8, np.uint8), 0, end, np.uint64(0), np.uint64(0))


@given(WORDS)
@example(0)
@example(2**64 - 1)
def test_mixing_equals_its_twin(word: int) -> None:
    """The finaliser is SplitMix64's."""
    assert int(mix64(np.uint64(word))) == naive.mix64(word)
