"""The same hour of the day before."""

import numpy as np

from spanward_processor.features import FEATURES, Aspect, Shape
from spanward_processor.kernels.cells import Packed
from spanward_processor.usual.yesterday import Yesterday, folded
from spanward_processor.windows.cells import Cells, stream_of

HOUR_NS = 3_600 * 1_000_000_000
EVERY = np.ones(len(FEATURES), bool)
LATENCY, DECISION = stream_of(1, Aspect.LATENCY), stream_of(1, Aspect.DECISION)


def rows(count: float, at: int) -> Cells:
    """Return a bag in which one stream has all its rows in a bin."""
    return Cells.of(np.array([LATENCY]), np.array([at]), np.array([count]))


def after(hours: list[float]) -> Yesterday:
    """Return what is kept after some hours with so many rows, each in the bin of its hour."""
    yesterday = Yesterday(EVERY)
    for hour, count in enumerate(hours):
        yesterday.add(rows(count, hour), hour * HOUR_NS)
    return yesterday


def test_bins_of_numbers_are_folded() -> None:
    """Four neighbours become one, negative ones too; categories stay."""
    cells = Packed(
        np.array([LATENCY] * 4 + [DECISION] * 2, np.int32),
        np.array([-5, -4, 3, 4, 4, 5], np.int64),
        np.ones(6, np.float32),
    )
    found = folded(cells)

    assert FEATURES[Aspect.LATENCY].shape is Shape.NUMBER
    assert found.streams.tolist() == [LATENCY] * 4 + [DECISION] * 2
    assert found.bins.tolist() == [-2, -1, 0, 1, 4, 5]


def test_an_hour_is_there_once_it_is_over() -> None:
    """The hour that is filled is no reference yet; the one before it is, for the same hour of another day."""
    yesterday = after([400.0, 500.0])

    assert yesterday.reference(24 * HOUR_NS)[0].counts.tolist() == [400.0]
    assert yesterday.reference(25 * HOUR_NS)[0].counts.size == 0


def test_a_day_later_the_hour_is_replaced() -> None:
    """Yesterday is the newest day, not the first."""
    assert after([400.0] * 24 + [900.0, 1.0]).reference(48 * HOUR_NS)[0].counts.tolist() == [900.0]


def test_the_whole_day_stands_in_for_an_hour_without_rows() -> None:
    """Where there were too few rows in an hour, all 24 together are there, and not before they are."""
    hours = [400.0] * 5 + [10.0] + [400.0] * 19
    hour, whole = after(hours).reference(29 * HOUR_NS)

    assert hour.counts.size == 0
    assert whole.counts.sum() == 23 * 400.0
    assert after(hours[:20]).reference(29 * HOUR_NS)[1].counts.size == 0


def test_what_was_kept_goes_on() -> None:
    """Hours, and the one that is filled, are taken back."""
    yesterday, other = after([400.0] * 25), Yesterday(EVERY)
    other.restore(yesterday.arrays())
    for each in (yesterday, other):
        each.add(rows(7.0, 0), 25 * HOUR_NS)
    for expected, found in zip(yesterday.reference(24 * HOUR_NS), other.reference(24 * HOUR_NS), strict=True):
        np.testing.assert_array_equal(expected.counts, found.counts)
