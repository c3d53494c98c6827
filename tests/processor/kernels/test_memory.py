"""Loads and copies against the standard library, and what happens outside the array."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrays import bytes_of
from spanward_processor.kernels.memory import check_run, copy_bytes, load_f64, load_tail, load_u64, peek_u64

FAR = 2**63 - 1
OUTSIDE = [-1, 1, 8, 9, 1 << 40, FAR - 7, FAR, -FAR]


@given(st.binary(min_size=8, max_size=24), st.integers(0, 16))
def test_words_are_little_endian(data: bytes, at: int) -> None:
    """Eight bytes at any alignment are the word and the double that `struct` unpacks."""
    at = min(at, len(data) - 8)
    word, number = struct.unpack_from("<Q", data, at)[0], struct.unpack_from("<d", data, at)[0]

    assert word == int(load_u64(bytes_of(data), at)) == int(peek_u64(bytes_of(data), at))
    assert struct.pack("<d", number) == struct.pack("<d", load_f64(bytes_of(data), at))


@pytest.mark.parametrize("at", OUTSIDE)
def test_loads_outside_raise(at: int) -> None:
    """A load that is not wholly inside raises, offsets whose end overflows included."""
    data = np.zeros(8, np.uint8)

    for load in (load_u64, load_f64):
        with pytest.raises(IndexError):
            load(data, at)


@given(st.integers(0, 8), st.integers(0, 8))
def test_runs_inside_are_good(start: int, end: int) -> None:
    """A run that Python would slice in full is good, an empty one at the very end too."""
    check_run(np.zeros(8, np.uint8), min(start, end), max(start, end))


@pytest.mark.parametrize(("start", "end"), [(-1, 4), (5, 4), (0, 9), (9, 9), (0, FAR), (FAR, FAR), (-FAR, FAR)])
def test_runs_outside_raise(start: int, end: int) -> None:
    """A run that is not wholly inside raises, and so does one that ends before it begins."""
    with pytest.raises(IndexError):
        check_run(np.zeros(8, np.uint8), start, end)


def test_loads_from_nothing_raise() -> None:
    """An empty array has no word."""
    with pytest.raises(IndexError):
        load_u64(np.zeros(0, np.uint8), 0)


@given(st.binary(max_size=7))
def test_tails_are_zero_filled(data: bytes) -> None:
    """Up to seven bytes are a little-endian number."""
    assert int(load_tail(bytes_of(data), 0, len(data))) == int.from_bytes(data, "little")


def test_tails_outside_raise() -> None:
    """A tail past the array raises."""
    with pytest.raises(IndexError):
        load_tail(np.zeros(2, np.uint8), 0, 3)


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 9))
def test_runs_are_copied(data: bytes, start: int, end: int, at: int) -> None:
    """A copied run is Python's slice, and nothing beside it is written."""
    start, end = sorted((min(start, len(data)), min(end, len(data))))
    out = np.full(50, 7, np.uint8)

    assert copy_bytes(out, at, bytes_of(data), start, end) == at + end - start
    assert out.tobytes() == b"\7" * at + data[start:end] + b"\7" * (50 - at - (end - start))


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [(0, 0, 9), (0, -1, 2), (0, 5, 4), (5, 0, 4), (-1, 0, 1), (FAR, 0, 8), (0, FAR, FAR), (FAR - 3, 0, 8)],
)
def test_copies_outside_raise(at: int, start: int, end: int) -> None:
    """A copy from or to outside raises and writes nothing, offsets whose end overflows included."""
    out = np.zeros(8, np.uint8)

    with pytest.raises(IndexError):
        copy_bytes(out, at, np.full(8, 1, np.uint8), start, end)

    assert not out.any()
