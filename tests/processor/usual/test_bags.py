"""Windows merged into longer ones."""

import numpy as np

from spanward_processor.features import FEATURES, Aspect
from spanward_processor.kernels.cells import Packed
from spanward_processor.usual.bags import Bag, Gathered, shares_side_by_side
from spanward_processor.windows.cells import Cells, stream_of

SEED = 20_261_126
WANTED = np.array([feature.aspect in {Aspect.LATENCY, Aspect.DECISION} for feature in FEATURES])
LATENCY, DECISION, SCORE = (stream_of(1, aspect) for aspect in (Aspect.LATENCY, Aspect.DECISION, Aspect.SCORE))


def window(rng: np.random.Generator) -> Cells:
    """Return a window of a few streams with random counts."""
    streams = np.repeat([LATENCY, SCORE, DECISION], 4)
    bins = np.tile(np.arange(4), 3) * 3
    return Cells.of(streams, bins, rng.integers(1, 9, 12).astype(np.float64))


def packed(*cells: tuple[int, int, float]) -> Packed:
    """Return a bag of cells, given in order."""
    streams, bins, counts = zip(*cells, strict=True)
    return Packed(np.array(streams, np.int32), np.array(bins, np.int64), np.array(counts, np.float32))


def test_windows_add_up() -> None:
    """A bag holds the sum of its windows, of the wanted features alone."""
    rng = np.random.default_rng(SEED)
    windows = [window(rng) for _ in range(5)]
    bag = Bag(WANTED)
    for cells in windows:
        bag.add(cells)
    whole, starts = bag.take(1.0)
    total = sum(windows, Cells.empty())
    total = total.where(WANTED[total.features])

    print(f"seed {SEED}")
    np.testing.assert_array_equal(whole.streams, total.streams)
    np.testing.assert_array_equal(whole.bins, total.bins)
    np.testing.assert_array_equal(whole.counts, total.counts)
    np.testing.assert_array_equal(starts, [0, 4, 8])


def test_streams_with_too_few_rows_wait() -> None:
    """What is not taken out is there when more has come."""
    bag = Bag(WANTED)
    bag.add(Cells.of(np.array([LATENCY, DECISION]), np.array([1, 1]), np.array([9.0, 2.0])))
    first, _ = bag.take(5.0)
    bag.add(Cells.of(np.array([DECISION]), np.array([1]), np.array([3.0])))
    second, _ = bag.take(5.0)

    assert (first.streams.tolist(), second.streams.tolist(), second.counts.tolist()) == ([LATENCY], [DECISION], [5.0])


def test_a_restored_bag_goes_on() -> None:
    """A bag that takes back what another kept holds the same."""
    rng, bag, other = np.random.default_rng(SEED), Bag(WANTED), Bag(WANTED)
    bag.add(window(rng))
    other.restore(bag.arrays())
    more = window(rng)
    for each in (bag, other):
        each.add(more)

    assert bag.windows == other.windows == 2
    np.testing.assert_array_equal(bag.take(1.0)[0].counts, other.take(1.0)[0].counts)


def test_gathered_streams_are_summed_and_halved() -> None:
    """Rows, sums and medians are those of each stream, whatever else the bag holds."""
    bag = packed((1, 0, 7.0), (2, 4, 1.0), (2, 6, 1.0), (2, 8, 3.0), (5, 1, 2.0), (9, 3, 4.0))
    found = Gathered(bag, np.array([2, 3, 9]))

    assert found.rows.tolist() == [5.0, 0.0, 4.0]
    assert found.sums(found.bins).tolist() == [34.0, 0.0, 12.0]
    assert found.middles().tolist() == [8, 0, 3]


def test_shares_stand_side_by_side() -> None:
    """Each bin that either side has stands once, with its share on both."""
    streams = np.array([2, 5])
    left = Gathered(packed((2, 1, 3.0), (2, 2, 1.0), (5, 1, 1.0)), streams)
    right = Gathered(packed((2, 2, 1.0), (2, 9, 1.0), (5, 1, 1.0)), streams)
    owners, bins, ours, theirs = shares_side_by_side(left, right, np.array([True, False]))

    assert (owners.tolist(), bins.tolist()) == ([0, 0, 0], [1, 2, 9])
    assert (ours.tolist(), theirs.tolist()) == ([0.75, 0.25, 0.0], [0.0, 0.5, 0.5])
