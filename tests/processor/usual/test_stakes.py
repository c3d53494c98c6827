"""What stakes on items may gain, and how items are looked up."""

import numpy as np
import pytest

from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Ints
from spanward_processor.usual.stakes import BETS, Beside, candidates, counts_of, settled, tolerated

SEED = 20_261_126


def cells(*streams: dict[int, float]) -> tuple[Packed, Ints]:
    """Return the cells of streams, given as bin to count, and where each begins and ends, (s, 2)."""
    ends = np.cumsum([len(stream) for stream in streams])
    bins = [cell_bin for stream in streams for cell_bin in sorted(stream)]
    counts = [stream[cell_bin] for stream in streams for cell_bin in sorted(stream)]
    owners = np.repeat(np.arange(len(streams)), [len(stream) for stream in streams])
    packed = Packed(owners.astype(np.int32), np.array(bins, np.int64), np.array(counts, np.float32))
    return packed, np.stack((ends - [len(stream) for stream in streams], ends), axis=1).astype(np.int64)


def test_items_are_looked_up_in_their_own_stream() -> None:
    """Random stretches of cells, some of them empty, against a dictionary."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    for _ in range(50):
        streams: list[dict[int, float]] = []
        for _ in range(4):
            size = int(rng.integers(0, 12))
            bins: list[int] = rng.integers(0, 30, size).tolist()
            streams.append(dict.fromkeys(bins, float(size)))
        packed, ranges = cells(*streams)
        owner, wanted = rng.integers(0, 4, 40), rng.integers(0, 30, 40)

        found = counts_of(wanted, ranges[owner], packed)

        expected = [streams[int(at)].get(int(one), 0.0) for at, one in zip(owner, wanted, strict=True)]
        assert found.tolist() == expected


def test_rows_of_streams_are_counted() -> None:
    """Also of a stream without any, and of the last one."""
    seen, in_seen = cells({1: 2.0, 2: 3.0}, {}, {5: 7.0})
    usual, in_usual = cells({}, {1: 4.0}, {2: 5.0, 3: 1.0})

    beside = Beside.of(np.concatenate((in_seen, in_usual), axis=1), seen, usual)

    assert beside.rows.tolist() == [5.0, 0.0, 7.0]
    assert beside.known.tolist() == [0.0, 4.0, 6.0]


def test_only_rare_items_with_too_many_rows_are_candidates() -> None:
    """Not one that is usual, not one that is frequent, not one with as few rows as any may have; the oddest first."""
    seen, in_seen = cells({1: 500.0, 2: 60.0, 3: 30.0, 4: 9.0, 5: 401.0})
    usual, in_usual = cells({1: 50_000.0, 2: 100.0, 3: 3_000.0, 5: 46_900.0})

    found = candidates(Beside.of(np.concatenate((in_seen, in_usual), axis=1), seen, usual))

    assert found.bins.tolist() == [2]
    assert found.share.tolist() == [0.06]
    assert found.usual.tolist() == pytest.approx([0.001])


def test_a_stake_gains_nothing_on_average_from_what_is_tolerated() -> None:
    """The mean of what becomes of a stake is at most what it was, for an item that has all that it may, and for one with less."""
    print(f"seed {SEED}")
    rng, rows = np.random.default_rng(SEED), 300.0
    most = float(tolerated(np.array([200.0]), np.array([20_000.0]))[0])
    for share in (most, most / 2, most / 20):
        seen = rng.binomial(int(rows), share, 200_000).astype(float)
        before = np.full((seen.size, BETS), 1.0 / BETS)

        _, grew = settled(before, seen, np.full(seen.size, rows), np.full(seen.size, most))

        assert np.minimum(grew, 1e4).mean() <= 1.05


def test_one_window_multiplies_a_stake_by_ten_at_most() -> None:
    """However many rows come at once; what it says by itself is told without that bound."""
    now, grew = settled(np.full((1, BETS), 0.01), np.array([200.0]), np.array([200.0]), np.array([0.01]))

    assert now.sum() == pytest.approx(0.5)
    assert grew[0] > 1e100
