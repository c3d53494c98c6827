"""The anchor: learned first, moved slowly, and by no client alone."""

import numpy as np

from spanward_processor.features import Aspect
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Floats
from spanward_processor.usual.anchor import FIRST_BAGS, HALF_LIFE_S, Anchor, Influence
from spanward_processor.usual.bags import Gathered
from spanward_processor.windows.cells import Cells, stream_of

STREAM = stream_of(1, Aspect.DECISION)
BAG_S = 300.0


def learned(anchor: Anchor, first: float, second: float, *, weight: float = 1.0, free: bool = True) -> None:
    """Let an anchor learn a bag of two bins."""
    bag = Packed(
        np.array([STREAM, STREAM], np.int32), np.array([0, 1], np.int64), np.array([first, second], np.float32)
    )
    slots = anchor.admit(np.array([STREAM]))
    anchor.learn(bag, np.array([0, 2]), slots, np.array([free]), np.array([weight]), BAG_S)


def share(anchor: Anchor) -> float:
    """Return the share of the second bin."""
    cells = Gathered(anchor.cells, np.array([STREAM]))
    return float((cells.sums(cells.bins == 1) / cells.rows)[0])


def begun() -> Anchor:
    """Return an anchor that has learned its first bags, none of them with a second bin to speak of."""
    anchor = Anchor()
    for _ in range(FIRST_BAGS):
        learned(anchor, 1000, 10)
    return anchor


def clients(*counts: float) -> Cells:
    """Return a window in which each client of series 1 sends so much."""
    stream = stream_of(1, Aspect.CLIENT)
    return Cells.of(np.full(len(counts), stream), np.arange(len(counts)), np.array(counts))


def weights(influence: Influence, parents: int = 3) -> Floats:
    """Return the weights of keys, of which 2 is a slice of 1."""
    return influence.weights(np.array([0, 1, 1, 3])[: parents + 1])


def test_half_of_it_is_left_after_its_half_life() -> None:
    """An anchor goes half the way to what comes then, within its half-life."""
    anchor = begun()
    for _ in range(round(HALF_LIFE_S / BAG_S)):
        learned(anchor, 0.5, 1000)

    assert abs(share(anchor) - 0.5) < 0.02


def test_a_flood_moves_it_no_faster() -> None:
    """A bag of a hundred times the rows moves an anchor as far as any other."""
    ordinary, flooded = begun(), begun()
    learned(ordinary, 500, 500)
    learned(flooded, 50_000, 50_000)

    assert abs(share(ordinary) - share(flooded)) < 1e-6


def test_what_is_not_free_moves_nothing() -> None:
    """A bag under alarm leaves no trace."""
    anchor = begun()
    before = share(anchor)
    learned(anchor, 0.5, 1000, free=False)

    assert share(anchor) == before


def test_a_client_above_its_cap_counts_less() -> None:
    """Rows of a series, and of its slices, weigh so little that the busiest client stays at its cap."""
    influence = Influence()
    influence.see(clients(10, 10, 10, 10, 10, 10, 10, 10, 10, 10))
    influence.learn()
    influence.see(clients(10, 10, 10, 10, 10, 150))

    np.testing.assert_allclose(weights(influence), [1.0, 0.25 / 0.75, 0.25 / 0.75, 1.0])


def test_a_client_that_is_alone_counts_in_full() -> None:
    """Where one client has always sent everything, it goes on to be learned from."""
    influence = Influence()
    for _ in range(2):
        influence.see(clients(100))
        np.testing.assert_array_equal(weights(influence), 1.0)
        influence.learn()


def test_without_clients_all_counts_in_full() -> None:
    """Where nobody is known, nobody can be told apart."""
    np.testing.assert_array_equal(weights(Influence()), 1.0)
