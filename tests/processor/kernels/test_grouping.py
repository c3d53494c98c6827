"""Streams counted in groups, against dictionaries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from arrays import packed_of
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.grouping import group_by_rank, group_by_watched
from spanward_processor.kernels.jit import Ints
from spanward_processor.usual.alternatives import RANKS

BAG = st.dictionaries(st.one_of(st.integers(-3, 60), st.just((1 << 62) + 1)), st.integers(1, 10_000), max_size=20)
PAIRS = st.lists(st.tuples(BAG, BAG), max_size=3)


def laid_out(pairs: list[tuple[dict[int, int], dict[int, int]]]) -> tuple[Packed, Packed, Ints]:
    """Return the cells of windows and baselines, and where each stream lies in both."""
    seen = packed_of((16 * key, place, n) for key, (now, _) in enumerate(pairs) for place, n in now.items())
    usual = packed_of((16 * key, place, n) for key, (_, old) in enumerate(pairs) for place, n in old.items())
    streams = 16 * np.arange(len(pairs), dtype=np.int32)
    ends = [np.searchsorted(cells.streams, streams, side) for cells in (seen, usual) for side in ("left", "right")]
    return seen, usual, np.stack(ends, axis=1).astype(np.int64).reshape(len(pairs), 4)


@given(PAIRS)
def test_groups_by_rank_equal_their_twin(pairs: list[tuple[dict[int, int], dict[int, int]]]) -> None:
    """Several streams, with and without a baseline or a window, are grouped as by the twin, one by one."""
    seen, usual, ranges = laid_out(pairs)
    observed, expected = np.full((2, len(pairs), RANKS.size + 1), np.nan)

    group_by_rank(ranges, seen, usual, RANKS, observed, expected)

    for index, (now, old) in enumerate(pairs):
        twin = naive.grouped_by_rank(now, old, RANKS.tolist())
        assert observed[index].tolist() == pytest.approx(twin[0])
        assert expected[index].tolist() == pytest.approx(twin[1])


@given(PAIRS, st.lists(st.integers(-3, 60), min_size=3, max_size=3))
def test_groups_by_watched_equal_their_twin(
    pairs: list[tuple[dict[int, int], dict[int, int]]], watched: list[int]
) -> None:
    """Watched categories are counted each, all others together, and one that is named twice at its first place."""
    seen, usual, ranges = laid_out(pairs)
    observed, expected = np.full((2, len(pairs), 4), np.nan)

    group_by_watched(ranges, seen, usual, np.array([watched] * len(pairs), np.int64).reshape(-1, 3), observed, expected)

    for index, (now, old) in enumerate(pairs):
        assert observed[index].tolist() == naive.grouped_by_watched(now, watched)
        assert expected[index].tolist() == naive.grouped_by_watched(old, watched)
