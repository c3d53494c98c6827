"""Rows sampled from windows: shards merge exactly, and rows wait until there are enough."""

import numpy as np

from spanward_processor.kernels.sampling import SAMPLED, UNKNOWN
from spanward_processor.testing.traffic import QUIET, Traffic
from spanward_processor.windows.sample import Groups, Sample, Waiting

SEED = 20_261_126


def sample_of(*keys: int) -> Sample:
    """Return a sample with one row of each key, numbered as they come."""
    numbered = np.arange(len(keys))
    sample = Sample.of(len(keys))
    sample.keys[:], sample.ranks[:], sample.routes[:] = keys, numbered, -1
    sample.values[:], sample.measured[:] = numbered[:, None], numbered[:, None]
    return sample


def test_the_sample_of_shards_is_the_sample_of_all() -> None:
    """However the rows of a window are cut, the merged sample is the same, at most so many rows of a series."""
    print(f"seed {SEED}")
    traffic = Traffic(SEED, models=3)
    rows = traffic.rows(QUIET)

    whole, cut = traffic.count(rows).sample, traffic.count(rows, [1, 17, 60]).sample

    np.testing.assert_array_equal(whole.keys, cut.keys)
    np.testing.assert_array_equal(whole.ranks, cut.ranks)
    np.testing.assert_array_equal(whole.values, cut.values)
    np.testing.assert_array_equal(whole.measured, cut.measured)
    assert 0 < np.unique(whole.keys, return_counts=True)[1].max() <= SAMPLED


def test_rows_come_up_once_for_all_who_ask() -> None:
    """A second detector is given what the first one was, and settles nothing anew."""
    waiting = Waiting(2)

    for rows in (1, 1):
        sample = sample_of(*[1] * rows)
        first, second = (waiting.gather(sample) for _ in range(2))
        assert first is second
        for _ in range(2):
            waiting.settle(np.empty(0, np.int64))

    assert [len(groups.of(1)) for groups in (first, second)] == [2, 2]


def test_a_window_that_nobody_settled_is_not_told_again() -> None:
    """After an error the next window brings its own rows."""
    waiting = Waiting(1)
    waiting.gather(sample_of(1))

    assert waiting.gather(sample_of(2)).keys.tolist() == [2]


def test_rows_wait_until_there_are_enough() -> None:
    """A series with too few rows comes up once its windows together have enough, with all of them, and only once."""
    waiting = Waiting(3)
    seen: list[dict[int, int]] = []
    for sample in (sample_of(1, 1, 2), sample_of(1), sample_of(2)):
        groups = waiting.gather(sample)
        seen.append({int(key): len(groups.of(int(key))) for key in groups.keys})
        waiting.settle(np.empty(0, np.int64))

    assert seen == [{}, {1: 3}, {}]


def test_no_row_comes_up_twice() -> None:
    """Rows of a held series come up once too: the same odd row is never held against its series again."""
    waiting = Waiting(3)
    waiting.gather(sample_of(1, 1))
    waiting.settle(np.empty(0, np.int64))

    sizes: list[int] = []
    for _ in range(4):
        sizes.append(len(waiting.gather(sample_of(1)).of(1)))
        waiting.settle(np.array([1]))

    assert sizes == [3, 0, 0, 3]


def test_rows_of_held_series_leave_no_trace() -> None:
    """What waits when a series is held no longer is forgotten."""
    waiting = Waiting(3)
    waiting.gather(sample_of(1, 1))
    waiting.settle(np.array([1]))

    waiting.gather(Sample.empty())
    waiting.settle(np.empty(0, np.int64))

    assert not waiting.gather(sample_of(1)).keys.size


def test_rows_do_not_wait_for_ever() -> None:
    """A series that is hardly ever seen never comes up, and holds no more than its newest rows."""
    waiting = Waiting(20)
    for number in range(60):
        assert not waiting.gather(sample_of(7) if number % 2 else Sample.empty()).keys.size
        waiting.settle(np.empty(0, np.int64))

    assert waiting.arrays()["keys"].size <= 8


def test_groups_give_the_rows_of_a_series() -> None:
    """`Groups.of` gives no rows for a series that has no group."""
    groups = Groups(np.array([3, 5]), np.array([0, 1, 3]), sample_of(3, 5, 5).values)

    assert [len(groups.of(key)) for key in (3, 4, 5, 6)] == [1, 0, 2, 0]
    assert groups.where(np.array([False, True])).keys.tolist() == [5]


def test_rows_with_one_number_are_not_related() -> None:
    """A row with one number says nothing about how numbers go together, and is not among those that do."""
    sample = sample_of(1, 1, 2)
    sample.values[0, 1:] = UNKNOWN

    assert sample.related().ranks.tolist() == [1, 2]
