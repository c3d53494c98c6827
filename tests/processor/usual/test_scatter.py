"""What is learned of how streams stray, from worlds in which it is known."""

from collections.abc import Iterator

import numpy as np
import pytest

from spanward_processor.kernels.jit import Floats
from spanward_processor.usual.scatter import Scatter

SEED = 20_261_128
STREAMS = 50
ROWS = 100.0
BEHIND = np.full(STREAMS, 1e9)  # rows behind the baseline: it is known


def learned(deviations: Iterator[Floats]) -> tuple[float, float]:
    """Return median distance and dispersion after windows of streams with these deviations, in standard deviations of a row."""
    print(f"seed {SEED}")
    scatter, slots = Scatter(1, 0.5 ** (1 / 360)), np.arange(STREAMS)
    scatter.grow(STREAMS)
    for deviation in deviations:
        scatter.learn(slots, deviation[:, None], np.ones((STREAMS, 1)), np.full(STREAMS, ROWS))
    distance, excess = scatter.believed(slots, BEHIND, 1)
    return float(np.median(distance)), float(np.median(excess))


def chance(windows: int, excess: float = 1.0) -> Iterator[Floats]:
    """Yield deviations of independent windows."""
    rng = np.random.default_rng(SEED)
    for _ in range(windows):
        yield rng.normal(0.0, np.sqrt(ROWS * excess), STREAMS)


def test_independent_rows_have_no_excess_and_keep_no_distance() -> None:
    """In the ideal world dispersion is one, and the distance a fraction of a window's standard error."""
    distance, excess = learned(chance(1500))

    assert excess < 1.3
    assert distance < 0.5 / np.sqrt(ROWS)


def test_windows_that_scatter_more_have_an_excess() -> None:
    """Nine times the variance is found as such, not as wander."""
    distance, excess = learned(chance(1500, 9.0))

    assert excess == pytest.approx(9.0, rel=0.4)
    assert distance < 1.5 / np.sqrt(ROWS)


def test_windows_that_follow_each_other_have_an_excess() -> None:
    """Correlated windows vary little one by one, and much in sums."""

    def correlated() -> Iterator[Floats]:
        state = np.zeros(STREAMS)
        for more in chance(2000):
            state = 0.8 * state + 0.6 * more
            yield state

    _, excess = learned(correlated())

    assert 3.0 < excess < 12.0  # (1 + 0.8) / (1 - 0.8) = 9 for endless sums


def test_a_slow_swing_is_wander() -> None:
    """A mean that swings over a day is a distance of about its size, not an excess."""

    def swinging() -> Iterator[Floats]:
        for number, more in enumerate(chance(4320)):
            yield more + ROWS * 0.2 * np.sin(2 * np.pi * number / 8640)

    distance, excess = learned(swinging())

    assert 0.2 < distance < 0.5
    assert excess < 3.0


def test_a_sudden_change_teaches_little() -> None:
    """Twenty windows a whole standard deviation away, after a long time without, hardly move what is believed."""

    def changed() -> Iterator[Floats]:
        yield from chance(1000)
        for _ in range(20):
            yield np.full(STREAMS, ROWS)

    distance, excess = learned(changed())

    assert excess < 2.5
    assert distance < 0.2
