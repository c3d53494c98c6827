"""A bag of counts: sorted, sliced and added."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import cells_of, rows_of_cells
from spanward_processor.windows.cells import Cells, stream_of

BAG = st.dictionaries(st.tuples(st.integers(0, 60), st.integers(-4, 4)), st.integers(1, 9), max_size=15).map(
    lambda bag: [(stream, cell_bin, float(count)) for (stream, cell_bin), count in bag.items()]
)


@given(BAG, BAG, BAG)
def test_adding_is_the_same_in_any_order_and_grouping(
    a: list[naive.Cell], b: list[naive.Cell], c: list[naive.Cell]
) -> None:
    """Sums do not depend on which shard came first."""
    one, two, three = cells_of(a), cells_of(b), cells_of(c)

    expected = naive.merged(a, b, c)
    assert rows_of_cells((one + two) + three) == expected
    assert rows_of_cells(three + (two + one)) == expected


@given(BAG)
def test_a_stream_is_found_by_its_number(bag: list[naive.Cell]) -> None:
    """A stream holds exactly its own cells, in order of bins; an unknown one holds none."""
    cells = cells_of(bag)

    for stream in (*{cell[0] for cell in bag}, 61):
        assert rows_of_cells(cells.stream(stream)) == sorted(cell for cell in bag if cell[0] == stream)


@given(BAG)
def test_starts_cut_cells_into_streams(bag: list[naive.Cell]) -> None:
    """Between two starts lies one stream, and nothing is left out."""
    cells = cells_of(bag)
    starts = cells.starts()

    pieces = [set(cells.streams[a:b].tolist()) for a, b in pairwise(starts.tolist())]
    assert pieces == [{stream} for stream in sorted({cell[0] for cell in bag})]
    assert starts[-1] == len(cells)


def test_a_stream_number_holds_key_and_feature() -> None:
    """Key and feature come back out of a stream's number."""
    cells = cells_of([(stream_of(7, 3), 0, 1.0), (stream_of(9, 10), 0, 1.0)])

    assert cells.keys.tolist() == [7, 9]
    assert cells.features.tolist() == [3, 10]


def test_no_cells() -> None:
    """An empty bag has no streams and no rows, and adds nothing."""
    some = cells_of([(1, 1, 2.0)])

    assert Cells.empty().starts().tolist() == [0]
    assert Cells.empty().total() == 0.0
    assert rows_of_cells(Cells.empty() + some) == rows_of_cells(some)


def test_chosen_cells_stay_in_order() -> None:
    """Choosing keeps the order and leaves the bag unchanged."""
    cells = cells_of([(1, 1, 2.0), (1, 2, 3.0), (2, 1, 4.0)])

    assert rows_of_cells(cells.where(np.array([True, False, True]))) == [(1, 1, 2.0), (2, 1, 4.0)]
    assert len(cells) == 3
