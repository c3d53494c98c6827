"""Merging of sorted cells against adding in a dictionary."""

import bisect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import cells_of, ints, packed_of, rows_of_cells, rows_of_packed
from spanward_processor.kernels.cells import (
    find_features,
    find_known,
    find_quantiles,
    learn_cells,
    merge_cells,
    sift_cells,
)
from spanward_processor.windows.cells import room_for, starts_of

EXTREME = st.sampled_from([-(1 << 62), 0, (1 << 62) + 1, 2**63 - 1])
BAGS = st.dictionaries(
    st.tuples(st.integers(0, 4), st.one_of(st.integers(-3, 3), EXTREME)), st.floats(0, 1e12), max_size=12
)


@given(BAGS, BAGS)
def test_sum_equals_its_twin(left: dict[tuple[int, int], float], right: dict[tuple[int, int], float]) -> None:
    """Each cell once, in order, with the counts of both."""
    bags = [[(*cell, count) for cell, count in bag.items()] for bag in (left, right)]

    assert rows_of_cells(cells_of(bags[0]) + cells_of(bags[1])) == naive.merged(*bags)


WHOLE = st.dictionaries(
    st.tuples(st.integers(0, 40), st.one_of(st.integers(-3, 3), EXTREME)), st.integers(1, 30), max_size=20
)
Whole = dict[tuple[int, int], int]


def bag_of(bag: Whole) -> list[tuple[int, int, float]]:
    """Return a dictionary of counts as cells."""
    return [(*cell, float(count)) for cell, count in bag.items()]


@given(WHOLE, WHOLE, st.lists(st.booleans(), min_size=16, max_size=16))
def test_streams_are_sifted_as_by_the_twin(window: Whole, waiting: Whole, tested: list[bool]) -> None:
    """What waits is added to the window; streams with enough rows and the others are parted, each in order."""
    waiting = {cell: count for cell, count in waiting.items() if tested[cell[0] & 15]}
    cells, kept, sizes = cells_of(bag_of(window)), packed_of(bag_of(waiting)), np.empty(3, np.int64)
    room = len(window) + len(waiting)
    enough, too_few = room_for(room), room_for(room)

    sift_cells(cells.streams, cells.bins, cells.counts, np.array(tested), 20.0, kept, enough, too_few, sizes)

    expected = naive.sifted(bag_of(window), bag_of(waiting), tested, 20.0)
    assert (rows_of_packed(enough, int(sizes[0])), rows_of_packed(too_few, int(sizes[1]))) == expected
    assert sizes[2] == len({stream for stream, _, _ in expected[0]})


@given(WHOLE, WHOLE, st.sets(st.integers(0, 40)))
def test_a_baseline_is_learned_as_by_the_twin(usual: Whole, seen: Whole, free: set[int]) -> None:
    """Only streams that were seen and are free fade and grow; what has faded away is forgotten."""
    old, new, to = packed_of(bag_of(usual)), packed_of(bag_of(seen)), room_for(len(usual) + len(seen))
    streams = sorted({stream for stream, _ in seen})
    starts, rows = starts_of(new, len(streams)), np.empty(len(streams))

    fades = {stream: 0.5 if stream % 2 else 0.25 for stream in streams}
    chosen, factors = np.array([stream in free for stream in streams], bool), np.array(list(fades.values()))

    size = learn_cells(old, new, starts, chosen, factors, 2.0, to, rows)

    expected = naive.learned(bag_of(usual), bag_of(seen), free, fades, 2.0)
    assert rows_of_packed(to, size) == expected
    total = {stream: sum(count for owner, _, count in expected if owner == stream) for stream in streams}
    assert rows.tolist() == [total[stream] if stream in free else -1.0 for stream in streams]


@given(WHOLE, st.lists(st.booleans(), min_size=16, max_size=16))
def test_cells_of_features_are_found(bag: Whole, wanted: list[bool]) -> None:
    """The cells of features are those whose stream says so, in their order."""
    cells = cells_of(bag_of(bag))
    places = np.empty(len(cells), np.int64)

    found = find_features(cells.streams, np.array(wanted), places)

    expected = [cell for cell in naive.merged(bag_of(bag)) if wanted[cell[0] & 15]]
    assert [rows_of_cells(cells)[place] for place in places[:found].tolist()] == expected


@given(WHOLE, WHOLE)
def test_known_cells_are_found(bag: Whole, before: Whole) -> None:
    """Each cell stands where it would be inserted among the known ones, and is known where it is there already."""
    cells, known = cells_of(bag_of(bag)), sorted(before)
    streams, bins = np.array([one for one, _ in known], np.int32), np.array([one for _, one in known], np.int64)
    places, found = np.empty(len(cells), np.int64), np.empty(len(cells), bool)

    find_known(cells.streams, cells.bins, streams, bins, places, found)

    wanted = sorted(bag)
    assert places.tolist() == [bisect.bisect_left(known, cell) for cell in wanted]
    assert found.tolist() == [cell in before for cell in wanted]


@given(WHOLE, st.sampled_from([0.0, 0.3, 0.5, 0.99, 1.0]))
def test_quantiles_equal_their_twin(bag: Whole, share: float) -> None:
    """Each stream's quantile lies in the twin's bin; one whose rows are all "other" has none."""
    cells, other = cells_of(bag_of(bag)), (1 << 62) + 1
    ranges = np.array([[*np.searchsorted(cells.streams, [stream, stream + 1])] for stream in range(41)], np.int64)
    found, known = np.empty(41, np.int64), np.empty(41, bool)

    find_quantiles(cells.bins, cells.counts, ranges, np.full(41, share), other, found, known)

    for stream in range(41):
        bins = {cell_bin: count for (owner, cell_bin), count in bag.items() if owner == stream}
        expected = naive.quantile(bins, share, other)
        assert (int(found[stream]) if known[stream] else None) == expected


def test_too_little_room_raises() -> None:
    """Arrays too short for the sum raise; nothing is written past them."""
    one, count = ints([1]), np.ones(1)

    with pytest.raises(IndexError):
        merge_cells(one, one, count, ints([2]), one, count, np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1))
