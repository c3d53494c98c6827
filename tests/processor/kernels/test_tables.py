"""Open-addressing tables against dictionaries, roomy, crowded and full."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import content, ints
from spanward_processor.kernels.jit import Codes, signed
from spanward_processor.kernels.tables import (
    FEATURE_BITS,
    KEYS,
    MISSING,
    OTHER,
    OVERFLOWED,
    Counted,
    KeySpace,
    add_cell,
    add_rows,
    assign_keys,
    empty_table,
    find_unknown,
    keep_examples,
    look_up,
    rehash,
)

CODES = st.sampled_from([0, 1, 2, 3, 16, 17, 32, 2**64 - 1])
ROW = st.tuples(CODES, CODES, CODES, CODES, CODES)
CELLS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([-(1 << 61), -1, 0, 1, 2**62]), st.integers(1, 9)), max_size=30
)


def codes_of(rows: list[tuple[int, ...]], columns: int) -> Codes:
    """Return rows of codes as columns."""
    return np.ascontiguousarray(np.array(rows, np.uint64).reshape(-1, columns).T)


def key_space(most_keys: int) -> KeySpace:
    """Return a space with room for the overflow key and so many others."""
    places = 1 << (2 * (most_keys + 1)).bit_length()
    return KeySpace(
        np.zeros(places, np.uint64),
        np.zeros(places, np.int64),
        np.zeros((most_keys + 1, 3), np.uint64),
        np.full(most_keys + 1, -1, np.int64),
        np.zeros(most_keys + 1, np.int64),
        np.array([1, 0], np.int64),
    )


@given(st.integers(0, 2**64 - 1))
def test_words_become_signed(word: int) -> None:
    """A word keeps its bits and gets a sign."""
    assert int(signed(np.uint64(word))) == naive.signed(word)


@given(st.lists(ROW, max_size=12), st.lists(ROW, max_size=12))
def test_unknown_texts_equal_their_twin(first: list[tuple[int, ...]], second: list[tuple[int, ...]]) -> None:
    """A code is found once, at its first place, over any number of requests."""
    known, remembered = np.zeros(64, np.uint64), set[int]()
    for rows in (first, second):
        codes, found = codes_of(rows, 5), np.zeros((64, 2), np.int64)
        count = find_unknown(codes, ints([3, 0]), known, found)
        expected = naive.unknown({column: codes[column].tolist() for column in (3, 0)}, remembered)

        assert [tuple(pair) for pair in found[:count].tolist()] == expected


def test_texts_beyond_the_room_wait() -> None:
    """What found no room is found when it comes again."""
    codes, known = codes_of([(5,), (6,), (7,)], 1), np.zeros(16, np.uint64)
    seen: list[int] = []
    for _ in range(3):
        found = np.zeros((2, 2), np.int64)
        count = find_unknown(codes, ints([0]), known, found)
        seen += codes[0, found[:count, 1]].tolist()

    assert seen == [5, 6, 7]


def test_an_unknown_column_raises() -> None:
    """A column that does not exist raises."""
    with pytest.raises(IndexError):
        find_unknown(codes_of([(5,)], 1), ints([1]), np.zeros(16, np.uint64), np.zeros((2, 2), np.int64))


@given(st.lists(ROW, max_size=30), st.integers(1, 9), st.integers(0, 3))
def test_keys_equal_their_twin(rows: list[tuple[int, ...]], most_keys: int, most_slices: int) -> None:
    """Rows get the twin's keys, in a space that is roomy or far too small, and what finds no room is counted."""
    space, twin = key_space(most_keys), naive.Keys(most_keys, most_slices)
    keys = np.empty((3, len(rows)), np.int64)

    assign_keys(codes_of(rows, 5), ints([0, 1, 2]), ints([3, 4]), most_slices, space, keys)

    expected = [twin.of((row[0], row[1], row[2]), {3: row[3], 4: row[4]}) for row in rows]
    assert keys.T.tolist() == expected
    assert [len(twin.ids) + 1, twin.overflowed] == [space.counts[KEYS], space.counts[OVERFLOWED]]


@given(CELLS)
def test_cells_equal_their_twin(cells: list[tuple[int, int, int]]) -> None:
    """Counts of equal cells are added; a cell that was never added counts 0."""
    table = empty_table(128)
    for stream, cell_bin, count in cells:
        add_cell(table, stream, cell_bin, count, 128)

    expected = {(stream, cell_bin): count for stream, cell_bin, count in naive.merged(cells)}
    assert content(table) == expected
    assert {cell: look_up(table, *cell) for cell in expected} == expected
    assert look_up(table, 41, 0) == 0


@given(CELLS)
def test_a_larger_table_holds_the_same(cells: list[tuple[int, int, int]]) -> None:
    """Moving to a larger table changes no count."""
    small, large = empty_table(64), empty_table(256)
    for stream, cell_bin, count in cells:
        add_cell(small, stream, cell_bin, count, 64)

    rehash(small, large)

    assert content(large) == content(small)


def test_past_the_most_cells_new_bins_are_other() -> None:
    """No row is lost when cells run out: new bins of a stream are counted together."""
    table = empty_table(64)
    for cell_bin in range(10):
        add_cell(table, 1, cell_bin, 1, 4)

    assert content(table) == {(1, 0): 1, (1, 1): 1, (1, 2): 1, (1, 3): 1, (1, OTHER): 6}


def test_a_full_table_takes_no_more_and_ends() -> None:
    """A table at seven eighths takes no new cell, still counts known ones, and no search runs forever."""
    table = empty_table(8)
    for stream in range(20):
        add_cell(table, stream, 0, 1, 8)
    add_cell(table, 0, 0, 5, 8)

    assert int(table.used[0]) == 7
    assert look_up(table, 0, 0) == 6
    assert look_up(table, 19, 0) == 0


@given(st.integers(0, 12), st.integers(0, 2**32))
def test_rows_are_counted_as_by_the_twin(count: int, seed: int) -> None:
    """The chosen rows are counted in each key and feature that says something."""
    random = np.random.default_rng(seed)
    keys, bins = random.integers(-1, 4, (2, count)), random.choice([MISSING, -5, 0, 1 << 61], (4, count))
    bins[1] = random.choice([MISSING, 0, 1], count)  # the feature that is tallied
    chosen, table, tallies = random.random(count) < 0.7, empty_table(256), np.zeros((4, 2), np.int64)
    counted = Counted(in_slices=random.random(4) < 0.7, tally=ints([-1, 0, -1, -1]))

    add_rows(keys, bins, chosen, counted, 256, table, tallies, np.empty((2, 4), np.int64))

    expected = naive.counts(keys[:, chosen].T.tolist(), bins[:, chosen].T.tolist(), MISSING, counted.in_slices.tolist())
    tallied = {
        (key << FEATURE_BITS | 1, cell_bin): int(tallies[key, cell_bin])
        for key in range(4)
        for cell_bin in range(2)
        if tallies[key, cell_bin]
    }
    found = content(table) | tallied
    assert found == {(key << FEATURE_BITS | f, cell_bin): n for (key, f, cell_bin), n in expected.items()}


def test_rows_of_unequal_length_raise() -> None:
    """Fewer bins than keys raises."""
    with pytest.raises(IndexError):
        add_rows(
            np.ones((1, 3), np.int64),
            np.ones((1, 2), np.int64),
            np.ones(3, bool),
            Counted(np.ones(1, bool), ints([-1])),
            8,
            empty_table(16),
            np.zeros((2, 1), np.int64),
            np.empty((1, 1), np.int64),
        )


@given(st.integers(0, 30), st.integers(0, 2**32))
def test_examples_are_the_most_surprising_rows(count: int, seed: int) -> None:
    """Every key remembers the trace of the chosen row with its smallest p-value, the first of equal ones."""
    random = np.random.default_rng(seed)
    keys, p = random.integers(-1, 4, (2, count)), random.choice([0.01, 0.5, 0.02, 1.0], count)
    traces = random.integers(1, 1 << 60, (count, 2)).astype(np.uint64)
    chosen = random.random(count) < 0.7
    best_p, best = np.full(4, 2.0), np.zeros((4, 2), np.uint64)

    keep_examples(keys, p, traces, chosen, best_p, best)

    expected = naive.examples(keys[:, chosen].T.tolist(), p[chosen].tolist(), traces[chosen].tolist())
    assert {key: (best_p[key], best[key].tolist()) for key in range(4) if best_p[key] < 2.0} == expected
