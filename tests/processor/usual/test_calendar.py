"""What streams looked like after they turned, by the hour in which they did."""

import numpy as np
import pytest

from spanward_processor.kernels.cells import Packed
from spanward_processor.usual import calendar
from spanward_processor.usual.calendar import DAY_S, WEEK_S, Calendar, Cycle, are_on, twice, use

STREAM, OTHER = 35, 51
HOUR = 3_600
START_S = 1_000 * WEEK_S
MINUTE = 60.0


def cells(stream: int, *counts: float) -> Packed:
    """Return cells of one stream, in bins from 0 on."""
    size = len(counts)
    return Packed(np.full(size, stream, np.int32), np.arange(size), np.array(counts, np.float32))


def write(pages: Calendar, time_s: float, seen: Packed) -> None:
    """Let a minute pass in which a stream looks so."""
    pages.write(seen, seen.streams.astype(np.int64), time_s, MINUTE)


def turned(pages: Calendar, time_s: float, *shape: float, stream: int = STREAM, minutes: int = 30) -> None:
    """Let a stream turn, and look so for some minutes."""
    pages.turn(np.array([stream]), time_s)
    for minute in range(minutes):
        write(pages, time_s + MINUTE * minute, cells(stream, *shape))


def shares(cycle: Cycle, stream: int = STREAM) -> list[float]:
    """Return the share of each bin on the only page of a cycle."""
    (page,) = cycle
    shape = page.shape(np.array([stream]))
    return [round(share, 2) for share in shape.shares().tolist()]


@pytest.mark.parametrize("hours", [-1, 0, 5])
def test_what_a_stream_turned_to_is_found_a_week_later_at_about_that_time(hours: int) -> None:
    """A weekend may begin an hour earlier, and a baseline takes some hours to follow."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 3.0)

    (cycle,) = pages.turns(START_S + WEEK_S + hours * HOUR, WEEK_S)

    assert shares(cycle) == [0.25, 0.75]


@pytest.mark.parametrize("later_s", [HOUR, DAY_S, WEEK_S - 4 * HOUR, WEEK_S + 8 * HOUR])
def test_at_other_times_of_the_week_nothing_is_found(later_s: int) -> None:
    """A turn belongs to its time."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 3.0)

    assert pages.turns(START_S + later_s, WEEK_S) == []


def test_each_week_is_a_cycle_and_each_day_too() -> None:
    """Two turns at the same time of two days are two cycles of days; a week after both they are one cycle each of weeks."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 3.0)
    turned(pages, START_S + DAY_S, 3.0, 1.0)

    assert [shares(cycle) for cycle in pages.turns(START_S + 2 * DAY_S, DAY_S)] == [[0.75, 0.25], [0.25, 0.75]]
    assert [shares(cycle) for cycle in pages.turns(START_S + WEEK_S, WEEK_S)] == [[0.25, 0.75]]


def test_turns_of_days_are_forgotten_sooner_than_those_of_weeks() -> None:
    """What came at this time nine days ago says nothing about the day."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 3.0)

    assert pages.turns(START_S + 9 * DAY_S, DAY_S) == []
    assert len(pages.turns(START_S + 2 * WEEK_S, WEEK_S)) == 1


def test_the_newest_counts_most() -> None:
    """A turn may take an hour; what is kept is where it led."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 0.0, minutes=20)
    for minute in range(20, 120):
        write(pages, START_S + minute * MINUTE, cells(STREAM, 0.0, 1.0))

    (cycle,) = pages.turns(START_S + WEEK_S, WEEK_S)

    assert shares(cycle)[1] >= 0.95


def test_two_hours_after_its_hour_a_page_is_closed() -> None:
    """What a stream looks like later is no matter of its turn."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 3.0)
    for minute in range(181, 300):
        write(pages, START_S + minute * MINUTE, cells(STREAM, 3.0, 1.0))

    (cycle,) = pages.turns(START_S + WEEK_S, WEEK_S)

    assert not pages.is_open
    assert shares(cycle) == [0.25, 0.75]


def test_who_turns_back_has_two_pages() -> None:
    """From its second turn on a stream is what it turned back to."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 3.0)
    turned(pages, START_S + HOUR, 3.0, 1.0)

    ((newer, older),) = pages.turns(START_S + WEEK_S, WEEK_S)

    assert (shares((older,)), shares((newer,))) == ([0.25, 0.75], [0.75, 0.25])


def test_who_turns_twice_in_an_hour_is_what_it_was_at_last() -> None:
    """A page has a stream once."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 3.0, minutes=10)
    turned(pages, START_S + 20 * MINUTE, 3.0, 1.0, minutes=10)

    (cycle,) = pages.turns(START_S + WEEK_S, WEEK_S)

    assert shares(cycle) == [0.75, 0.25]


def test_versions_of_a_model_are_counted_together() -> None:
    """Two streams of one subject add up."""
    pages = Calendar()
    pages.turn(np.array([STREAM]), START_S)
    both = Packed(np.array([STREAM, OTHER], np.int32), np.zeros(2, np.int64), np.array([1.0, 2.0], np.float32))
    pages.write(both, np.array([STREAM, STREAM]), START_S, MINUTE)

    ((page,),) = pages.turns(START_S + WEEK_S, WEEK_S)

    assert page.shape(np.array([STREAM])).rows.tolist() == [3.0]


def test_some_days_before_say_what_a_stream_has_turned_to() -> None:
    """On Sunday it is what it turned to on Saturday; on Wednesday nothing is known."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 3.0)

    assert [shares(cycle) for cycle in pages.since(START_S + WEEK_S + 36 * HOUR)] == [[0.25, 0.75]]
    assert pages.since(START_S + WEEK_S + 4 * DAY_S) == []
    assert pages.since(START_S + 36 * HOUR) == []  # this week's says nothing


def test_pages_of_no_use_are_forgotten() -> None:
    """After four weeks and a day a page goes, counted from when it was of use last."""
    unused, used = Calendar(), Calendar()
    for pages in (unused, used):
        turned(pages, START_S, 1.0, 3.0)
    later_s = START_S + 3 * WEEK_S
    use(used.turns(later_s, WEEK_S), np.array([STREAM]), later_s)
    use(unused.turns(later_s, WEEK_S), np.array([OTHER]), later_s)  # who is not on it has no use of it
    for pages in (unused, used):
        write(pages, START_S + 5 * WEEK_S, cells(OTHER, 1.0))

    assert [len(pages.turns(START_S + 5 * WEEK_S, WEEK_S)) for pages in (unused, used)] == [0, 1]


def test_the_page_that_was_of_use_longest_ago_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages together have a bound."""
    monkeypatch.setattr(calendar, "MOST_CELLS", 5)
    pages = Calendar()
    for day in range(3):
        turned(pages, START_S + day * DAY_S, 1.0, 3.0)
    write(pages, START_S + 3 * DAY_S, cells(OTHER, 1.0))

    kept = [len(pages.turns(START_S + WEEK_S + day * DAY_S, WEEK_S)) for day in range(3)]

    assert kept == [0, 1, 1]


def test_it_is_kept_over_a_restart() -> None:
    """Pages, and of whom it is still noted what they look like."""
    before, after = Calendar(), Calendar()
    turned(before, START_S - DAY_S, 3.0, 1.0)
    turned(before, START_S, 1.0, 3.0, minutes=5)
    after.restore(before.arrays())
    for pages in (before, after):
        write(pages, START_S + 6 * MINUTE, cells(STREAM, 4.0, 4.0))

    for days in (-1, 0):
        one, two = (pages.turns(START_S + WEEK_S + days * DAY_S, WEEK_S) for pages in (before, after))
        assert shares(one[0]) == shares(two[0])


def test_who_is_let_go_of_is_on_no_page() -> None:
    """Its number will never be given again."""
    pages = Calendar()
    turned(pages, START_S, 1.0, 3.0)
    pages.evict(np.ones(10, bool))

    assert not pages.is_open
    assert not are_on(pages.turns(START_S + WEEK_S, WEEK_S), np.array([STREAM])).any()


def test_what_happened_once_is_none() -> None:
    """The second least of all cycles counts."""
    assert twice([np.array([1.0, 5.0]), np.array([3.0, np.inf]), np.array([2.0, np.inf])]).tolist() == [2.0, np.inf]
