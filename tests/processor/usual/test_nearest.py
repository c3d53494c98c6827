"""What a window is compared with where something else than of late may be usual at its time."""

from collections.abc import Sequence

import numpy as np
import pytest

from spanward_processor.features import FEATURES, Aspect, Shape
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.deviance import CATEGORY, FLAG, NUMBER
from spanward_processor.usual.calendar import Cycle, Page
from spanward_processor.usual.nearest import Nearest
from spanward_processor.windows.cells import stream_of

SHAPES = np.array(
    [{Shape.NUMBER: NUMBER, Shape.FLAG: FLAG, Shape.CATEGORY: CATEGORY}.get(one.shape, 0) for one in FEATURES], np.int64
)
STREAM, NEXT = stream_of(2, Aspect.DECISION), stream_of(3, Aspect.DECISION)
WEEK, WEEKEND, INCIDENT = (700.0, 200.0, 100.0), (300.0, 200.0, 500.0), (100.0, 800.0, 100.0)
ALWAYS = np.ones(1, bool)


def cells(*counts: float, stream: int = STREAM) -> Packed:
    """Return cells of one stream."""
    return Packed(np.full(len(counts), stream, np.int32), np.arange(len(counts)), np.array(counts, np.float32))


def cycle(*shapes: Sequence[float]) -> Cycle:
    """Return a cycle with a page for each shape."""
    return tuple(Page(0, 0.0, cells(*shape)) for shape in shapes)


def together(left: Packed, right: Packed) -> Packed:
    """Return the cells of two streams, that of the smaller number first."""
    return Packed(
        np.concatenate((left.streams, right.streams)),
        np.concatenate((left.bins, right.bins)),
        np.concatenate((left.counts, right.counts)),
    )


def nearest(window: Sequence[float], cycles: Sequence[Cycle], usual: Sequence[float] = WEEK) -> Nearest:
    """Look at a window of a tenth of the rows."""
    seen = cells(*(count / 10 for count in window))
    found = Nearest(seen, cells(*usual), np.array([STREAM]), SHAPES)
    found.look(cycles, ALWAYS)
    return found


def test_what_came_twice_at_this_time_is_what_a_window_is_compared_with() -> None:
    """A weekend is compared with those before."""
    found = nearest(WEEKEND, [cycle(WEEKEND), cycle(WEEKEND)])
    beside = found.beside(cells(*WEEK))

    assert found.is_found().tolist() == [True]
    assert found.gained()[0] > 10
    assert (beside.counts / beside.counts.sum()).tolist() == pytest.approx([0.3, 0.2, 0.5])


def test_what_came_once_may_have_been_an_incident() -> None:
    """One cycle alone says nothing, and of two that differ the worse one counts."""
    assert not nearest(INCIDENT, [cycle(INCIDENT)]).is_found().any()
    assert not nearest(INCIDENT, [cycle(INCIDENT), cycle(WEEK)]).is_found().any()


def test_twice_in_one_week_is_once() -> None:
    """Several pages of one cycle count as one."""
    assert not nearest(INCIDENT, [cycle(INCIDENT, INCIDENT)]).is_found().any()
    assert nearest(INCIDENT, [cycle(WEEK, INCIDENT), cycle(WEEKEND, INCIDENT)]).is_found().all()


def test_a_turn_takes_its_time() -> None:
    """Half way between the two a window is compared with half of each."""
    half = [(one + two) / 2 for one, two in zip(WEEK, WEEKEND, strict=True)]
    beside = nearest(half, [cycle(WEEKEND), cycle(WEEKEND)]).beside(cells(*WEEK))

    assert (beside.counts / beside.counts.sum()).tolist() == pytest.approx([0.5, 0.2, 0.3])


def test_what_is_as_of_late_stays_compared_with_that() -> None:
    """At the time of a turn that does not come nothing is another."""
    found, usual = nearest(WEEK, [cycle(WEEKEND), cycle(WEEKEND)]), cells(*WEEK)

    assert found.gained().tolist() == [0.0]
    assert found.beside(usual).counts.tolist() == usual.counts.tolist()


def test_what_is_like_neither_is_as_far_from_both() -> None:
    """An incident at the time of a turn is not excused by it: the window is not what it is then."""
    found = nearest(INCIDENT, [cycle(WEEKEND), cycle(WEEKEND)])
    beside = found.beside(cells(*WEEK))

    assert np.abs(beside.counts / beside.counts.sum() - np.array([0.1, 0.8, 0.1])).max() > 0.4


def test_who_was_usual_by_few_rows_is_not_surer_for_it() -> None:
    """What is compared with has no more rows than what it is made of."""
    few = tuple(count / 20 for count in WEEKEND)
    beside = nearest(WEEKEND, [cycle(few), cycle(few)]).beside(cells(*WEEK))

    assert beside.counts.sum() == pytest.approx(50.0)


def test_others_stay_as_they_are() -> None:
    """Streams that nobody asks about, and those beside them, keep what was usual; cells stay sorted."""
    seen = together(cells(*WEEKEND), cells(*WEEKEND, stream=NEXT))
    usual = together(cells(*WEEK), cells(*WEEK, stream=NEXT))
    pages = [
        (Page(0, 0.0, cells(*WEEKEND)), Page(1, 0.0, cells(*WEEKEND, stream=NEXT))),
        (Page(2, 0.0, cells(*WEEKEND)), Page(3, 0.0, cells(*WEEKEND, stream=NEXT))),
    ]
    found = Nearest(seen, usual, np.array([STREAM, NEXT]), SHAPES)
    found.look(pages, np.array([False, True]))
    beside = found.beside(usual)

    assert found.is_found().tolist() == [False, True]
    assert beside.streams.tolist() == [STREAM] * 3 + [NEXT] * 3
    assert beside.counts[:3].tolist() == list(WEEK)
    assert beside.counts[3:].tolist() == pytest.approx(list(WEEKEND))
