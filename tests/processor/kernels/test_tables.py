"""Open-addressing tables against dictionaries, roomy, crowded and full."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import content, ints
from spanward_processor.kernels.jit import Codes, Ints, natural, signed
from spanward_processor.kernels.tables import (
    EVICTED,
    KEYS,
    LIVE,
    OTHER,
    OVERFLOWED,
    KeySpace,
    add_at,
    add_cell,
    assign_keys,
    empty_table,
    find_cell,
    find_keys_again,
    find_unknown,
    home_of,
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


def _assigned(space: KeySpace, rows: list[tuple[int, ...]]) -> Ints:
    """Return the keys of rows in a space with room for all."""
    keys = np.empty((3, len(rows)), np.int64)
    assign_keys(codes_of(rows, 5), ints([0, 1, 2]), ints([3, 4]), 100, 100, space, keys)
    return keys


def key_space(most_keys: int) -> KeySpace:
    """Return a space with room for the overflow key and so many others."""
    return KeySpace(
        np.zeros((1 << (2 * (most_keys + 1)).bit_length(), 2), np.uint64),
        np.zeros((most_keys + 1, 3), np.uint64),
        np.full(most_keys + 1, -1, np.int32),
        np.zeros(most_keys + 1, np.int32),
        np.full(most_keys + 1, 9, np.uint8),
        np.array([1, 0, 1], np.int64),
    )


@given(st.integers(0, 2**64 - 1))
def test_words_become_signed(word: int) -> None:
    """A word keeps its bits and gets a sign."""
    assert int(signed(np.uint64(word))) == naive.signed(word)


@given(st.integers(-(2**63), 2**63 - 1))
def test_indices_become_words(index: int) -> None:
    """An index keeps its bits and loses its sign, so that a negative one is out of bounds of everything."""
    assert int(natural(index)) == index % 2**64


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

    assign_keys(codes_of(rows, 5), ints([0, 1, 2]), ints([3, 4]), most_keys, most_slices, space, keys)

    expected = [twin.of((row[0], row[1], row[2]), {3: row[3], 4: row[4]}) for row in rows]
    assert keys.T.tolist() == expected
    assert [len(twin.ids) + 1, twin.overflowed] == [space.counts[KEYS], space.counts[OVERFLOWED]]


@given(st.lists(ROW, max_size=15), st.lists(ROW, max_size=15))
def test_keys_are_found_again_in_a_larger_table(first: list[tuple[int, ...]], second: list[tuple[int, ...]]) -> None:
    """After the table has grown every row still gets the twin's keys."""
    space, twin = key_space(60), naive.Keys(60, 60)
    for rows in (first, second):
        keys = np.empty((3, len(rows)), np.int64)
        assign_keys(codes_of(rows, 5), ints([0, 1, 2]), ints([3, 4]), 60, 60, space, keys)
        assert keys.T.tolist() == [twin.of((row[0], row[1], row[2]), {3: row[3], 4: row[4]}) for row in rows]
        larger = np.zeros((2 * space.places.shape[0], 2), np.uint64)
        find_keys_again(space.places, space.idle, larger)
        space = space._replace(places=larger)


@given(st.lists(ROW, max_size=15), st.lists(ROW, max_size=15), st.data())
def test_evicted_keys_make_room(
    first: list[tuple[int, ...]], second: list[tuple[int, ...]], data: st.DataObject
) -> None:
    """What was let go of is not found any more and comes back under a new number; others keep theirs, and all that come are seen."""
    space, twin = key_space(100), naive.Keys(100, 100)
    _assigned(space, first)
    before = {key for row in first for key in twin.of((row[0], row[1], row[2]), {3: row[3], 4: row[4]}) if key > 0}
    gone = twin.forget(data.draw(st.sets(st.sampled_from(sorted(before))) if before else st.just(set[int]())))
    space.idle[sorted(gone)] = EVICTED
    space.counts[LIVE] -= len(gone)
    places = np.zeros_like(space.places)
    find_keys_again(space.places, space.idle, places)
    space = space._replace(places=places)
    keys = _assigned(space, second)

    assert keys.T.tolist() == [twin.of((row[0], row[1], row[2]), {3: row[3], 4: row[4]}) for row in second]
    assert space.counts[LIVE] == len(twin.ids) + 1
    assert not space.idle[keys[keys > 0]].any()


@given(CELLS)
def test_cells_equal_their_twin(cells: list[tuple[int, int, int]]) -> None:
    """Counts of equal cells are added; a cell that was never added counts 0."""
    table = empty_table(128)
    for number, (stream, cell_bin, count) in enumerate(cells):
        if number % 2:
            add_cell(table, stream, cell_bin, count, 128)
        else:
            add_at(table, home_of(stream, cell_bin, 128), stream, cell_bin, count, 128)

    expected = {(stream, cell_bin): count for stream, cell_bin, count in naive.merged(cells)}
    assert content(table) == expected
    assert {cell: look_up(table, *cell) for cell in expected} == expected
    assert look_up(table, 41, 0) == 0
    assert all(table.cells[find_cell(table, home_of(*cell, 128), *cell), 1] == cell[1] for cell in expected)


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
