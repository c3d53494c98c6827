"""Runs of bytes against Python's own slices, wherever in the array they lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrays import bytes_of
from spanward_processor.kernels.runs import after_ascii, same_run, short_word


@given(st.binary(max_size=20), st.binary(max_size=7), st.binary(max_size=20))
def test_short_words_are_zero_filled(before: bytes, run: bytes, behind: bytes) -> None:
    """Up to seven bytes are a little-endian number, whatever lies around them."""
    start = len(before)

    word = short_word(bytes_of(before + run + behind), start, start + len(run))

    assert int(word) == int.from_bytes(run, "little")


@pytest.mark.parametrize(("start", "end"), [(0, 3), (6, 9), (9, 12)])
def test_short_words_outside_raise(start: int, end: int) -> None:
    """A word that ends past the array raises."""
    with pytest.raises(IndexError):
        short_word(np.zeros(min(start + 2, 8), np.uint8), start, end)


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 40), st.data())
def test_runs_are_compared(left: bytes, right: bytes, size: int, data: st.DataObject) -> None:
    """Runs are equal exactly when Python's slices are; a single changed byte anywhere is seen."""
    size = min(size, len(left))
    other = bytearray(left[:size])
    if size and data.draw(st.booleans()):
        other[data.draw(st.integers(0, size - 1))] ^= data.draw(st.integers(0, 255))
    whole = bytes_of(left + bytes(other) + right)

    assert same_run(whole, 0, len(left), size) == (left[:size] == bytes(other))


@pytest.mark.parametrize("size", [1, 8, 9])
def test_comparing_outside_raises(size: int) -> None:
    """A run that ends past the array raises, whatever its length."""
    with pytest.raises(IndexError):
        same_run(np.zeros(8, np.uint8), 0, 8, size)


@given(
    st.binary(max_size=40).map(lambda raw: bytes(byte & 127 for byte in raw)), st.integers(0, 40), st.integers(0, 40)
)
def test_ascii_is_passed_over_and_anything_else_is_found(text: bytes, start: int, place: int) -> None:
    """The end of ASCII is returned, else a place not behind the first byte that is none."""
    start = min(start, len(text))
    assert after_ascii(bytes_of(text), start, len(text)) == len(text)
    if start < len(text):
        place = start + place % (len(text) - start)
        other = bytearray(text)
        other[place] |= 128

        found = after_ascii(bytes_of(bytes(other)), start, len(text))

        assert bytes(other[start:found]).isascii()
        assert start <= found <= place
