"""Which inputs nearly repeat a recent one, against a memory without bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

import naive
from arrays import bytes_of, ints
from spanward_processor.features import empty_memory
from spanward_processor.kernels.repeats import MOST_HASHES, Memory, mark_repeats

HASHES = st.lists(st.integers(1, 12), max_size=6)
ROWS = st.lists(st.tuples(st.integers(-1, 2), HASHES), max_size=12)


def mark(rows: list[tuple[int, list[int]]], memory: Memory, junk: bytes = b"") -> list[int]:
    """Encode rows of (key, fingerprint) and mark them in one request."""
    at, sizes, data = [0], list[int](), b""
    for _, hashes in rows:
        words = b"".join(value.to_bytes(8, "little") for value in hashes)
        value = AnyValue(bytes_value=words + junk).SerializeToString() if hashes else b""
        data += value
        sizes.append(len(value))
        at.append(len(data))
    repeats = np.empty(len(rows), np.int64)
    keys, codes = ints(key for key, _ in rows), np.zeros(len(rows), np.uint64)
    mark_repeats(bytes_of(data), keys, codes, ints(at[:-1]), ints(sizes), memory, repeats)
    return repeats.tolist()


@given(ROWS, st.integers(0, 12))
def test_marks_equal_their_twin(rows: list[tuple[int, list[int]]], cut: int) -> None:
    """Rows are marked as by the twin, over any number of requests; no place of so large a memory is shared."""
    memory = empty_memory(1 << 16)

    assert mark(rows[:cut], memory) + mark(rows[cut:], memory) == naive.repeats(rows)


def test_hashes_spread_over_many_inputs_are_no_repeat() -> None:
    """Common phrases, each from another earlier input, do not make an input a repeat."""
    rows = [(1, [number, 100 + number]) for number in range(4)] + [(1, [0, 1, 2, 3])]

    assert mark(rows, empty_memory(1 << 16)) == [0, 0, 0, 0, 0]


def test_a_hash_twice_in_one_row_is_no_repeat() -> None:
    """A first input whose hashes are all the same repeats nothing but itself."""
    assert mark([(1, [7, 7, 7, 7])], empty_memory(1 << 16)) == [0]


def test_repeats_are_of_one_series() -> None:
    """The same input to another model is not a repeat there."""
    assert mark([(1, [1, 2]), (2, [1, 2]), (1, [1, 2])], empty_memory(1 << 16)) == [0, 0, 1]


def test_rows_without_a_fingerprint_are_known_by_their_hash() -> None:
    """The input hash stands in for a missing fingerprint; without either nothing is known."""
    repeats = np.empty(4, np.int64)
    codes, none = np.array([5, 6, 5, 0], np.uint64), np.zeros(4, np.int64)

    mark_repeats(bytes_of(b""), np.ones(4, np.int64), codes, none, none, empty_memory(1 << 10), repeats)

    assert repeats.tolist() == [0, 0, 1, -1]


def test_only_so_many_hashes_are_looked_at() -> None:
    """A fingerprint longer than it should be costs no more, and a half word at its end is left out."""
    hashes = list(range(1, 3 * MOST_HASHES))
    memory = empty_memory(1 << 16)

    assert mark([(1, hashes), (1, hashes[:MOST_HASHES])], memory, junk=b"abc") == [0, 1]
    assert np.count_nonzero(memory.newest[:, 0]) == MOST_HASHES


def test_a_small_memory_forgets_and_never_grows() -> None:
    """With more hashes than places the newest stay: an old input is forgotten, the newest is known."""
    memory = empty_memory(8)
    rows = [(1, [number, number + 1000]) for number in range(200)]

    mark(rows, memory)

    assert mark([rows[0], rows[0]], memory) == [0, 1]


@pytest.mark.parametrize("value", [b"", b"\x3a", b"\x3a\x7f1", b"\x0a\x0212345678", b"\xff" * 12])
def test_garbage_in_place_of_a_fingerprint_says_nothing(value: bytes) -> None:
    """Bytes that are no fingerprint leave the row unknown."""
    repeats, one = np.empty(1, np.int64), np.ones(1, np.int64)

    mark_repeats(bytes_of(value), one, np.zeros(1, np.uint64), ints([0]), ints([len(value)]), empty_memory(8), repeats)

    assert repeats.tolist() == [-1]


def test_a_fingerprint_outside_the_request_raises() -> None:
    """Offsets past the request raise."""
    repeats, one = np.empty(1, np.int64), np.ones(1, np.int64)

    with pytest.raises(IndexError):
        mark_repeats(bytes_of(b"\x3a"), one, np.ones(1, np.uint64), ints([40]), ints([9]), empty_memory(8), repeats)
