"""The exact CUSUM of windows: run length and delay by a Markov chain, for a log likelihood ratio of any distribution.

Source: Brook and Evans, "An approach to the probability distribution of cusum run length", Biometrika 59 (1972).
"""

from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Floats

_STATES: Final = 400
_STEPS: Final = 40  # bisections of the threshold


class Cusum:
    """CUSUM that knows the change.

    Args:
        before: (m,) float64 draws of a window's log likelihood ratio before the change.
        after: (m,) float64 the same after it.
    """

    def __init__(self, before: Floats, after: Floats) -> None:
        self._before, self._after = before, after

    def delay(self, run_length: float) -> float:
        """Return the mean windows to detection after a change that comes late, at a mean run length without one, windows."""
        low, high = 0.01, 40.0
        for _ in range(_STEPS):
            threshold = (low + high) / 2
            if _steady(_moves(self._before, threshold), _moves(self._before, threshold)) < run_length:
                low = threshold
            else:
                high = threshold
            if high - low < 1e-3:
                break
        return _steady(_moves(self._before, high), _moves(self._after, high))


def _moves(draws: Floats, threshold: float) -> Floats:
    """Return (k, k) float64 chances to move between values of CUSUM below the threshold.

    A move between two states is shared among them so that its mean is right.
    """
    width = threshold / _STATES
    places, floors = draws / width, np.floor(draws / width).astype(np.int64)
    up = places - floors
    low, high = -_STATES, _STATES
    steps = np.zeros(2 * _STATES + 2)
    for step, weight in ((floors, 1 - up), (floors + 1, up)):
        np.add.at(steps, np.clip(step, low, high) - low, weight)
    steps /= draws.size
    moves = np.zeros((_STATES, _STATES))
    for start in range(_STATES):
        moves[start] = steps[-start - low : -start - low + _STATES]
        moves[start, 0] += steps[: -start - low].sum()
    return moves


def _steady(usual: Floats, moves: Floats) -> float:
    """Return the mean windows to an alarm from where CUSUM stands after a long time without one."""
    standing = np.full(_STATES, 1.0 / _STATES)
    for _ in range(60):
        standing = standing @ usual
        standing /= standing.sum()
    times = np.linalg.solve(np.eye(_STATES) - moves, np.ones(_STATES))
    return float(standing @ times)
