"""Rows counted while a window is open, and its cells in order, against a dictionary."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import ints
from spanward_processor.kernels.binning import ZERO
from spanward_processor.kernels.closing import count_cells, order_cells
from spanward_processor.kernels.counting import (
    CELLS_FULL,
    FULL,
    KEYS_FULL,
    LACK,
    LOG,
    LOG_FULL,
    LOGGED,
    STRIP,
    STRIPS,
    STRIPS_FULL,
    TRACKS,
    Counted,
    Most,
    Tracks,
    add_rows,
)
from spanward_processor.kernels.jit import Codes, Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING, CellTable, empty_table

KEYS = 5
TALLIED = 1
STRIPPED = [0, 3]
FEATURES = 4
MOST = Most(256, 512, KEYS)


def counted(in_slices: Flags) -> Counted:
    """Return how four features are counted, the second of them tallied, the first and the last in strips."""
    logged, strips, tallies = ints([0, -1, 1, 2]), ints([0, -1, -1, 1]), np.array([[1, 0], [1, 1]], np.int64)
    return Counted(in_slices, ints([-1, 0, -1, -1]), logged, strips, tallies)


def tracks(*, keys: int = 2 * KEYS, logged: int = 512, strips: int = KEYS) -> Tracks:
    """Return room for so many keys, logged rows and keys with strips."""
    return Tracks(
        np.full(KEYS, -1, np.int32),
        np.zeros((keys, 2), np.int32),
        np.zeros((keys, 2), np.int32),
        np.zeros(keys),
        np.zeros((keys, 2), np.uint64),
        np.zeros((logged, 3), np.int64),
        np.zeros(logged, np.int32),
        np.full((strips, len(STRIPPED)), MISSING),
        np.zeros((strips, len(STRIPPED) * STRIP), np.uint16),
        np.zeros(4, np.int64),
    )


class Rows:
    """Random rows of a few keys, each in a series and a slice."""

    def __init__(self, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.keys: Ints = random.integers(-1, KEYS, (2, count))
        self.keys[1] = np.where(self.keys[1] == self.keys[0], -1, self.keys[1])
        self.bins: Ints = random.choice([MISSING, -5, 0, 1 << 61], (FEATURES, count))
        self.bins[TALLIED] = random.choice([MISSING, 0, 1], count)
        self.bins[STRIPPED] = random.choice([MISSING, ZERO - 9, ZERO, -200, 0, 1, 31, 32, 90], (len(STRIPPED), count))
        self.p: Floats = random.choice([0.01, 0.5, 0.02, 1.0], count)
        self.traces: Codes = random.integers(1, 1 << 60, (count, 2)).astype(np.uint64)
        self.chosen: Flags = random.random(count) < 0.8
        self.counted = counted(random.random(FEATURES) < 0.7)

    def add(self, to: Tracks, table: CellTable, *, first: int = 0, most: Most = MOST) -> int:
        """Count the rows from one on; return where counting stopped."""
        scratch = np.empty((2, 2 * FEATURES, 4), np.int64)
        return add_rows(
            self.keys,
            self.bins,
            self.p,
            self.traces,
            self.chosen,
            self.counted,
            most,
            to,
            table,
            scratch,
            first,
        )

    def expected(self) -> dict[tuple[int, int], int]:
        """Return the twin's counts by stream and bin."""
        counts = naive.counts(
            self.keys[:, self.chosen].T.tolist(),
            self.bins[:, self.chosen].T.tolist(),
            MISSING,
            self.counted.in_slices.tolist(),
        )
        return {(key << FEATURE_BITS | feature, cell_bin): n for (key, feature, cell_bin), n in counts.items()}


def cells(of: Tracks, table: CellTable, how: Counted) -> list[tuple[int, int, float]]:
    """Return the cells of a closed window as the kernels write them."""
    ends = np.empty(int(of.used[TRACKS]), np.int64)
    room = count_cells(of, table, ends)
    streams, bins, counts = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
    size = order_cells(of, table, how, ends, streams, bins, counts)
    return list(zip(streams[:size].tolist(), bins[:size].tolist(), counts[:size].tolist(), strict=True))


@pytest.mark.parametrize(("logged", "strips"), [(0, KEYS), (3, 1), (512, 0), (512, KEYS)])
@given(st.integers(0, 80), st.integers(0, 2**32))
def test_rows_are_counted_as_by_the_twin(logged: int, strips: int, count: int, seed: int) -> None:
    """Kept as they came, counted in strips or in the table: every cell has the twin's count, and all stand in order."""
    rows, to, table = Rows(count, seed), tracks(logged=logged, strips=strips), empty_table(1024)

    assert rows.add(to, table, most=Most(256, logged, strips)) == count

    expected = naive.merged((*cell, n) for cell, n in rows.expected().items())
    assert cells(to, table, rows.counted) == expected


@given(st.integers(0, 40), st.integers(0, 2**32))
def test_examples_are_the_most_surprising_rows(count: int, seed: int) -> None:
    """Every key remembers the trace of the chosen row with its smallest p-value, the first of equal ones."""
    rows, to = Rows(count, seed), tracks()
    rows.add(to, empty_table(1024))

    expected = naive.examples(
        rows.keys[:, rows.chosen].T.tolist(), rows.p[rows.chosen].tolist(), rows.traces[rows.chosen].tolist()
    )
    found = {key: int(to.places[key]) for key in range(KEYS) if to.places[key] >= 0}
    assert {key: (float(to.best_p[at]), to.best[at].tolist()) for key, at in found.items()} == expected


def test_a_rare_key_takes_no_cell() -> None:
    """Up to eight rows of a key are kept as they came; the ninth moves them to strips and the table."""
    rows, to, table = Rows(LOGGED + 1, 1), tracks(), empty_table(1024)
    rows.keys[0], rows.keys[1], rows.chosen[:] = 2, -1, True
    rows.bins[:] = 0
    rows.chosen[LOGGED] = False
    rows.add(to, table)
    assert (int(table.used[0]), int(to.used[LOG]), int(to.used[STRIPS])) == (0, LOGGED, 0)

    rows.chosen[:] = False
    rows.chosen[LOGGED] = True
    rows.add(to, table)

    assert (int(table.used[0]), int(to.used[STRIPS])) == (FEATURES - 1 - len(STRIPPED), 1)
    assert cells(to, table, rows.counted) == [(2 << FEATURE_BITS | feature, 0, 9.0) for feature in range(FEATURES)]


def test_a_full_place_goes_on_in_the_table() -> None:
    """A bin with more rows than a place of a strip can count has all of them in one cell."""
    rows, to, table = Rows(FULL + 3, 1), tracks(logged=0), empty_table(1024)
    rows.keys[0], rows.keys[1], rows.chosen[:] = 2, -1, True
    rows.bins[:] = MISSING
    rows.bins[0] = 7
    rows.add(to, table, most=Most(256, 0, KEYS))

    assert int(to.strips.max()) == FULL
    assert cells(to, table, rows.counted) == [(2 << FEATURE_BITS, 7, FULL + 3)]


def test_numbers_far_from_the_first_are_cells() -> None:
    """A strip has places around its first number above 0; what lies beyond it, and 0 itself, is counted in the table."""
    near, far = [-32, 0, 31], [ZERO, ZERO - 9, -33, 32, 1 << 20]
    rows, to, table = Rows(len(near) + len(far), 1), tracks(logged=0), empty_table(1024)
    rows.keys[0], rows.keys[1], rows.chosen[:] = 2, -1, True
    rows.bins[:] = MISSING
    rows.bins[0] = [0, 31, -32, *far]
    rows.add(to, table, most=Most(256, 0, KEYS))

    assert int(table.used[0]) == len(far)
    assert cells(to, table, rows.counted) == [(2 << FEATURE_BITS, one, 1.0) for one in sorted(near + far)]


@pytest.mark.parametrize(
    ("keys", "logged", "strips", "size", "lack"),
    [
        (1, 512, 5, 1024, KEYS_FULL),
        (10, 1, 5, 1024, LOG_FULL),
        (10, 512, 2, 1024, STRIPS_FULL),
        (10, 512, 5, 64, CELLS_FULL),
    ],
)
def test_counting_stops_where_room_ends(keys: int, logged: int, strips: int, size: int, lack: int) -> None:
    """What is lacking is named, the row is not counted yet, and with more room counting goes on where it stopped."""
    rows, to, table = Rows(60, 3), tracks(keys=keys, logged=logged, strips=strips), empty_table(size)
    stopped = rows.add(to, table)
    assert (int(to.used[LACK]), stopped < 60) == (lack, True)

    roomy, larger = tracks(), empty_table(1024)
    earlier = Rows(60, 3)
    earlier.chosen[stopped:] = False
    earlier.add(roomy, larger)
    assert rows.add(roomy, larger, first=stopped) == 60
    assert cells(roomy, larger, rows.counted) == naive.merged((*cell, n) for cell, n in rows.expected().items())


def test_many_bins_of_one_key_are_sorted() -> None:
    """A key with hundreds of cells, in no order, has them in order when the window closes."""
    rows, to, table = Rows(300, 5), tracks(), empty_table(4096)
    rows.keys[0], rows.keys[1], rows.chosen[:] = 1, -1, True
    rows.bins[0] = rows.bins[2] = np.random.default_rng(5).permutation(300) - 150
    rows.add(to, table, most=Most(4096, 512, KEYS))

    expected = naive.merged((*cell, n) for cell, n in rows.expected().items())
    assert cells(to, table, rows.counted) == expected


def test_rows_of_unequal_length_raise() -> None:
    """Fewer bins than keys raises."""
    rows = Rows(3, 7)
    rows.keys[:], rows.chosen[:] = 1, True
    rows.bins = np.ascontiguousarray(rows.bins[:, :2])

    with pytest.raises(IndexError):
        rows.add(tracks(), empty_table(1024))
