"""Rows from a change to its detection, beside CUSUM, which knows the change and is optimal, at equal average run length.

Windows are fed to the bets of the change detector, with the baseline known, as CUSUM knows it; direction and size of the change are
not told. The average run length without a change is measured, and CUSUM's threshold set to the same one. Both have run for long
when the change comes.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_most
from spanward_processor.evaluate.brook_evans import Cusum
from spanward_processor.evaluate.changes import CHANGES, Change
from spanward_processor.evaluate.intervals import over_seeds
from spanward_processor.kernels.jit import Floats
from spanward_processor.usual.alternatives import settle

RUN_LENGTH: Final = 10_000  # windows
SHORT_RUN_LENGTH: Final = 2_000
STREAMS: Final = 60
DRAWS: Final = 400_000  # windows behind CUSUM's Markov chain
TO_REACH: Final = {True: 1.5, False: 2.5}
_CHANGED: Final = 4  # times as many streams change
_BURN_IN: Final = 300  # windows before a change
_LATEST: Final = 4000  # windows after it


def run_lengths(change: Change, windows: int, rng: np.random.Generator) -> Floats:
    """Return (STREAMS, windows) float64 the largest evidence until each window, log10, without a change."""
    worth, most = np.zeros((STREAMS, change.weights.size)), np.empty((STREAMS, windows))
    for window in range(windows):
        worth, most[:, window], _ = settle(worth, change.gain(change.draw(rng, STREAMS, False)), change.weights)
    return np.maximum.accumulate(most, axis=1)


def bar_for(largest: Floats, run_length: float) -> tuple[float, float]:
    """Return the evidence at which the mean run length is so long, log10, and the mean run length there, windows."""
    low, high = 0.0, float(largest.max())
    for _ in range(40):
        bar = (low + high) / 2
        if _mean_run(largest, bar) < run_length:
            low = bar
        else:
            high = bar
    return low, _mean_run(largest, low)


def _mean_run(largest: Floats, bar: float) -> float:
    """Return windows run per alarm; runs that end without one count with what they ran."""
    crossed = largest >= bar
    windows = int(np.count_nonzero(~crossed)) + int(
        np.count_nonzero(crossed[:, -1])
    )  # an alarm's own window is run too
    return windows / max(int(np.count_nonzero(crossed[:, -1])), 1)


def delay(change: Change, bar: float, rng: np.random.Generator) -> float:
    """Return the mean windows from a change to an alarm; streams that alarm before the change are left out."""
    streams = _CHANGED * STREAMS
    worth, alive = np.zeros((streams, change.weights.size)), np.ones(streams, bool)
    for _ in range(_BURN_IN):
        worth, log10_e, _ = settle(worth, change.gain(change.draw(rng, streams, False)), change.weights)
        alive &= log10_e < bar
    worth, waited = worth[alive], np.zeros(int(alive.sum()))
    running = np.arange(waited.size)
    for window in range(1, _LATEST + 1):
        worth, log10_e, _ = settle(worth, change.gain(change.draw(rng, running.size, True)), change.weights)
        waited[running] = window
        worth, running = worth[log10_e < bar], running[log10_e < bar]
        if not running.size:
            break
    return float(waited.mean())


def measured(change: Change, seed: int, run_length: int) -> tuple[float, float, float, float]:
    """Return our delay and CUSUM's, in windows; the average run length of both, windows; and our bar, log10."""
    rng = np.random.default_rng([seed, CHANGES.index(change)])
    bar, run = bar_for(run_lengths(change, run_length, rng), run_length)
    ours = delay(change, bar, rng)
    before, after = (change.ratio(change.draw(rng, DRAWS, changed)) for changed in (False, True))
    return ours, Cusum(before, after).delay(run), run, bar


def measure(effort: Effort) -> Iterator[Line]:
    """Let every change come; see `Evaluation`."""
    run_length = SHORT_RUN_LENGTH if effort.short else RUN_LENGTH
    for change in CHANGES:
        each = [measured(change, seed, run_length) for seed in effort.seeds]
        ours, cusum = (change.rows * float(np.mean([one[place] for one in each])) for place in (0, 1))
        slack = float(np.mean([10 ** one[3] / one[2] for one in each]))
        what = (
            f"{change.name}: delay over CUSUM's, {ours:,.0f} over {cusum:,.0f} rows, "
            f"{change.rows} a window; our bar over run length {slack:.2f}"
        )
        yield at_most(what, over_seeds([one[0] / one[1] for one in each]), TO_REACH[change.known], "{:.2f}".format)


EVALUATION: Final = Evaluation(
    name="change_delay",
    shows="How long a change is not found, over what CUSUM takes that knows it: a known family at most 1.5, an unknown one 2.5.",
    measure=measure,
    first_seed=500,
)
