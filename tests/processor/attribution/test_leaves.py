"""Bounded counts by leaf: exact totals, one result in any order while they fit, and a bound that holds when they do not."""

from functools import reduce
from operator import add

import numpy as np
import pytest

from spanward_processor.attribution.leaves import LeafCounts
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.tables import OTHER

SEED = 20_261_126


def events(rows: int, seed: int = SEED) -> Ints:
    """Return (rows, 3) channel, region and item of events, items by Zipf."""
    rng = np.random.default_rng(seed)
    return np.stack((rng.integers(0, 4, rows), rng.integers(0, 3, rows), rng.zipf(1.3, rows) % 5_000), axis=1)


def counts_of(codes: Ints) -> LeafCounts:
    """Return the counts of events, each with one row and a second sum."""
    sums: Floats = np.stack((np.ones(len(codes)), codes[:, 2] % 2.0), axis=1, dtype=np.float64)
    return LeafCounts.of(codes, sums)


@pytest.mark.parametrize("shards", [1, 4, 64])
def test_shards_merge_into_the_whole(shards: int) -> None:
    """Shuffled over any number of shards, the sum is bit for bit the counts of all."""
    codes = events(20_000)
    whole = counts_of(codes)
    order = np.random.default_rng(SEED + shards).permutation(len(codes))

    merged = reduce(add, [counts_of(part) for part in np.array_split(codes[order], shards)])

    np.testing.assert_array_equal(merged.codes, whole.codes)
    np.testing.assert_array_equal(merged.sums, whole.sums)


def test_folding_keeps_totals_and_bound() -> None:
    """However much is folded, nothing is lost from the totals and no more leaves than allowed are kept."""
    whole = counts_of(events(20_000))

    for most in (1, 2, 20, 300, 2_000):
        small = whole.bounded(most)
        assert len(small) <= most
        np.testing.assert_allclose(small.sums.sum(axis=0), whole.sums.sum(axis=0))


def test_rare_decisions_are_folded_before_whole_leaves() -> None:
    """With room for every channel and region, each keeps its rows; only rare items become "other"."""
    whole = counts_of(events(20_000))

    small = whole.bounded(200)

    def rows_by_leaf(counts: LeafCounts) -> dict[tuple[int, ...], float]:
        leaves = LeafCounts.of(counts.codes[:, :2], counts.sums)
        return {tuple(code): float(sums[0]) for code, sums in zip(leaves.codes.tolist(), leaves.sums, strict=True)}

    assert rows_by_leaf(small) == rows_by_leaf(whole)
    assert (small.codes[:, 2] == OTHER).any()


@pytest.mark.parametrize("seed", range(5))
def test_no_leaf_loses_more_than_the_floor(seed: int) -> None:
    """Bounded after every merge, in any order, each leaf's rows lie within `floor` of the truth, missing ones too."""
    codes = events(20_000, seed)
    true = {tuple(code): rows for code, rows in zip(*_rows(counts_of(codes)), strict=True)}
    kept = LeafCounts.of(codes[:0], np.zeros((0, 2)))
    for part in np.array_split(np.random.default_rng(seed).permutation(codes), 20):
        kept = (kept + counts_of(part).bounded(400)).bounded(400)

    seen = {tuple(code): rows for code, rows in zip(*_rows(kept), strict=True)}

    lost = [rows - seen.get(code, 0.0) for code, rows in true.items()]
    assert min(lost) >= 0
    assert max(lost) <= kept.floor


def test_folding_is_the_same_for_any_order_of_rows() -> None:
    """Ties are broken by the leaves' values, never by who came first."""
    codes = events(5_000)
    shuffled = np.random.default_rng(SEED).permutation(codes)

    one, other = counts_of(codes).bounded(100), counts_of(shuffled).bounded(100)

    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.sums, other.sums)
    assert one.floor == other.floor


def _rows(counts: LeafCounts) -> tuple[list[list[int]], list[float]]:
    known = (counts.codes != OTHER).all(axis=1)
    return counts.codes[known].tolist(), counts.sums[known, 0].tolist()
