"""How many rows are outlying: since when there are more of them, in words."""

import numpy as np

from arrays import ints
from spanward_processor.usual.outlying import Outlying

SEED = 20_261_127
ROWS = 32.0


def watched(*outlying: float, learned: int = 500) -> Outlying:
    """Return a series with two outlying rows in a hundred as usual, after windows with so many of 32."""
    print(f"seed {SEED}")
    rng, one, slots = np.random.default_rng(SEED), Outlying(0.999), ints([0])
    one.grow(1)
    for _ in range(learned):
        far = np.array([float(rng.binomial(32, 0.02))])
        one.note(slots, far, np.array([ROWS]))
        one.learn(slots, far, np.array([ROWS]))
    for count in outlying:
        one.note(slots, np.array([count]), np.array([ROWS]))
    return one


def test_what_is_told_begins_with_the_change() -> None:
    """Five windows of four outlying rows each are told together, not the newest alone, nor what was before."""
    assert watched(0, 0, 0, 4, 4, 4, 4, 4).since(0, 4, ROWS) == "20 of 160 sampled rows outlying"


def test_a_window_without_any_does_not_end_it() -> None:
    """What goes on with pauses is told as a whole."""
    assert watched(0, 0, 0, 6, 0, 6, 1).since(0, 1, ROWS) == "13 of 128 sampled rows outlying"


def test_what_is_over_is_not_told_any_more() -> None:
    """After as many quiet windows as make up for it, the newest window is told by itself."""
    assert watched(0, 0, 0, 4, 4, *[0] * 20).since(0, 0, ROWS) == "0 of 32 sampled rows outlying"


def test_it_goes_on_after_a_restart() -> None:
    """Who takes back what another kept tells the same."""
    one, other = watched(0, 0, 0, 4, 4), Outlying(0.999)
    other.restore(one.arrays())
    for each in (one, other):
        each.note(ints([0]), np.array([3.0]), np.array([ROWS]))

    assert other.since(0, 3, ROWS) == one.since(0, 3, ROWS) == "11 of 96 sampled rows outlying"
