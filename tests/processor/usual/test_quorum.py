"""Streams that wait until they have rows enough."""

import numpy as np

from arrays import cells_of, rows_of_packed
from spanward_processor.features import Aspect
from spanward_processor.usual.quorum import FEWEST_ROWS, Quorum
from spanward_processor.windows.cells import stream_of

BUSY, RARE = (stream_of(key, Aspect.LATENCY) for key in (1, 2))
RATE, CLIENT = (stream_of(1, aspect) for aspect in (Aspect.RATE, Aspect.CLIENT))


def test_a_stream_is_heard_once_it_has_rows_enough_with_all_it_had() -> None:
    """Who has too few rows is heard in a later window, with those of the windows before."""
    quorum = Quorum()

    first = quorum.hear(cells_of([(BUSY, 5, 12.0), (BUSY, 6, 8.0), (RARE, 5, 19.0)]))
    second = quorum.hear(cells_of([(BUSY, 5, 19.0), (RARE, 7, 1.0)]))

    assert FEWEST_ROWS == 20.0
    assert rows_of_packed(first.cells) == [(BUSY, 5, 12.0), (BUSY, 6, 8.0)]
    assert (rows_of_packed(second.cells), second.starts.tolist()) == ([(RARE, 5, 19.0), (RARE, 7, 1.0)], [0, 2])
    assert quorum.heard is second


def test_rates_and_clients_are_nobody_to_hear() -> None:
    """A rate is no distribution, and clients have detectors of their own."""
    heard = Quorum().hear(cells_of([(RATE, 0, 99.0), (BUSY, 5, 50.0), (CLIENT, 3, 99.0)]))

    assert heard.streams.tolist() == [BUSY]


def test_who_is_heard_waits_anew() -> None:
    """Rows are heard once."""
    quorum = Quorum()
    quorum.hear(cells_of([(RARE, 5, 20.0)]))

    assert not quorum.hear(cells_of([(RARE, 5, 19.0)])).streams.size


def test_what_waits_is_kept() -> None:
    """One that takes back what another kept hears the same."""
    quorum, other = Quorum(), Quorum()
    quorum.hear(cells_of([(RARE, 5, 19.0)]))

    other.restore(quorum.arrays())

    assert other.hear(cells_of([(RARE, 5, 1.0)])).streams.tolist() == [RARE]


def test_keys_that_make_room_wait_no_more() -> None:
    """An evicted key begins with no rows."""
    quorum = Quorum()
    quorum.hear(cells_of([(BUSY, 5, 19.0), (RARE, 5, 19.0)]))

    quorum.evict(np.array([False, True, False]))

    assert quorum.hear(cells_of([(BUSY, 5, 1.0), (RARE, 5, 1.0)])).streams.tolist() == [RARE]
