"""What is normal for each series and slice, learned from its own windows."""

from collections.abc import Callable
from typing import ClassVar, Final

import numpy as np

from spanward_processor.cells import Cells
from spanward_processor.detectors.base import Account, Readiness, Surprise
from spanward_processor.detectors.wording import account_of
from spanward_processor.evidence import Dispersion, grown
from spanward_processor.features import FEATURES, Aspect, Rows, Shape
from spanward_processor.kernels.deviance import CATEGORY, FLAG, GROUPS, NUMBER, deviances
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.rowmodel import RowModel
from spanward_processor.settings import Learning
from spanward_processor.windows import Window

_FEWEST_ROWS: Final = 20  # a stream with fewer rows waits for the next window
_NEGLIGIBLE: Final = 1e-3  # decayed rows below which a cell is forgotten
_RECENT: Final = (0.85, 0.5)  # factors per window in the recent rates: some six windows, and two
_MARGIN: Final = 1.25  # a rate less than a quarter away from what it was wakes nobody
_KERNEL_SHAPES: Final = {Shape.COUNT: 0, Shape.NUMBER: NUMBER, Shape.FLAG: FLAG, Shape.CATEGORY: CATEGORY}
_SHAPES: Final = np.array(
    [0 if feature.aspect is Aspect.CLIENT else _KERNEL_SHAPES[feature.shape] for feature in FEATURES], np.int64
)
_TESTED: Final = _SHAPES > 0


class Baseline:
    """Compare each window's rate and distributions with what was usual, by quasi-likelihood.

    Per key and feature the baseline is a decayed bag of counts. A window's deviance from it is judged by the scatter of
    earlier windows' deviances (`evidence.Dispersion`), so bursts that are usual are not surprising. The rate is compared
    as a Poisson count with the same correction, with what was usual, what was so lately and what was so just now: traffic
    that swells and ebbs surprises only some of the three, a sudden change all, and the smallest deviance counts.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.

    Source:
        McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, sections 4.5 and 9.2 (quasi-likelihood);
        Agresti, "Categorical Data Analysis", 3rd ed., 2013, section 1.5.5 (G2).

    Cost:
        Per row about 0.2 us to count and 0.2 us to score; per window and key about 10 us; per key about 3 kB.
    """

    name: ClassVar[str] = "baseline"

    def __init__(self, learning: Learning, decay: float) -> None:
        self._learning = learning
        self._decay = decay
        self._dispersion = Dispersion(decay)
        self._usual = Cells.empty()
        self._pending = Cells.empty()
        self._tested = Cells.empty()
        self._windows = np.zeros(0, np.int64)  # learned, by stream
        self._rows = np.zeros(0)  # decayed rows, by stream
        self._memories = np.array([decay, *_RECENT])
        self._rates = [np.zeros(0) for _ in self._memories]  # decayed rows per window, by key, for each memory
        self._rate_weights = [np.zeros(0) for _ in self._memories]
        self._answer: tuple[Ints, Floats, Floats] = (np.empty(0, np.int64), np.empty(0), np.empty(0))
        self._model = RowModel.empty()

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window; see `Detector.test`."""
        keys = len(directory)  # once: requests on their way add keys meanwhile
        self._grow(keys)
        streams, deviance, freedom = self._test_distributions(window)
        rates, rate_deviance, rate_freedom = self._test_rates(window, keys)
        streams = np.concatenate((streams, rates))
        order = np.argsort(streams)
        streams = streams[order]
        deviance = np.concatenate((deviance, rate_deviance))[order]
        freedom = np.concatenate((freedom, rate_freedom))[order]
        self._answer = (streams, deviance, freedom)
        ready = self._ready(streams)
        p = self._dispersion.p_values(streams[ready], deviance[ready], freedom[ready])
        return Surprise(streams[ready], p)

    def _grow(self, keys: int) -> None:
        streams = keys << FEATURE_BITS
        self._dispersion.grow(streams)
        self._windows, self._rows = grown(self._windows, streams), grown(self._rows, streams)
        self._rates = [grown(rates, keys) for rates in self._rates]
        self._rate_weights = [grown(weights, keys) for weights in self._rate_weights]

    def _ready(self, streams: Ints) -> Flags:
        """Return which streams are judged: enough windows of their own, and enough rows of their key."""
        return self._enough(self._windows[streams], self._rows[streams])

    def _enough(self, windows: Ints, rows: Floats) -> Flags:
        return (windows >= self._learning.windows) & (rows >= self._learning.rows)

    def _test_distributions(self, window: Window) -> tuple[Ints, Floats, Floats]:
        cells = self._pending + window.cells.where(_TESTED[window.cells.features])
        starts = cells.starts()
        answers = np.zeros((4, starts.size - 1))
        deviances(
            _SHAPES,
            starts,
            cells.streams,
            cells.bins,
            cells.counts,
            self._usual.streams,
            self._usual.bins,
            self._usual.counts,
            np.empty((2, GROUPS)),
            answers,
        )
        enough = answers[2] >= _FEWEST_ROWS
        of_cell = np.repeat(enough, np.diff(starts))
        self._pending, self._tested = cells.where(~of_cell), cells.where(of_cell)
        streams = cells.streams[starts[:-1]][enough]
        compared = answers[3][enough] >= _FEWEST_ROWS
        return streams, np.where(compared, answers[0][enough], 0.0), np.where(compared, answers[1][enough], 0.0)

    def _test_rates(self, window: Window, keys: int) -> tuple[Ints, Floats, Floats]:
        self._counted = np.zeros(keys)
        rates = window.cells.where(window.cells.features == Aspect.RATE)
        self._counted[rates.keys] = rates.counts
        seen = self._rate_weights[0][:keys]
        known = np.flatnonzero((seen > 0) | (self._counted > 0))
        deviances_by_memory = [
            _poisson_deviance(self._counted[known], rates[known], weights[known])
            for rates, weights in zip(self._rates, self._rate_weights, strict=True)
        ]
        return known << FEATURE_BITS, np.min(deviances_by_memory, axis=0), np.where(seen[known] >= 1.0, 1.0, 0.0)

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:  # noqa: ARG002 - it was kept by `test`
        """Learn the window just tested; see `Detector.learn`."""
        streams, deviance, freedom = self._answer
        held = grown(held.astype(np.int64), self._windows.size).astype(bool)
        free = ~held[streams]
        self._dispersion.learn(streams[free], deviance[free], freedom[free])
        self._windows[streams[free]] += 1
        self._learn_distributions(held, streams[free])
        self._learn_rates(held)
        self._rows[:] = np.bincount(self._usual.streams, self._usual.counts, self._rows.size)
        self._rows[:: 1 << FEATURE_BITS] = self._rates[0][: self._rows.size >> FEATURE_BITS]
        self._model = RowModel.of(self._usual, self._enough(self._windows, self._rows))

    def _learn_distributions(self, held: Flags, learned: Ints) -> None:
        fades = np.ones(self._windows.size)
        fades[learned] = self._decay
        faded = Cells(self._usual.streams, self._usual.bins, self._usual.counts * fades[self._usual.streams])
        usual = faded + self._tested.where(~held[self._tested.streams])
        self._usual = usual.where(usual.counts >= _NEGLIGIBLE)

    def _learn_rates(self, held: Flags) -> None:
        keys = np.arange(self._counted.size)
        seen = (self._rate_weights[0][: keys.size] > 0) | (self._counted > 0)
        known = keys[seen & ~held[keys << FEATURE_BITS]]
        for memory, rates, weights in zip(self._memories, self._rates, self._rate_weights, strict=True):
            rates[known] = memory * rates[known] + self._counted[known]
            weights[known] = memory * weights[known] + 1.0

    # --- speak -------------------------------------------------------------------------------------------------------

    def score(self, rows: Rows) -> Floats:
        """Return p-values of single rows; see `Detector.score`."""
        return self._model.score(rows)

    def readiness(self, key: int) -> Readiness:
        """Return how far a key has been learned."""
        stream = key << FEATURE_BITS
        if stream >= self._windows.size:
            return Readiness(ready=False, windows=0, rows=0)
        windows, rows = int(self._windows[stream]), float(self._rows[stream])
        ready = windows >= self._learning.windows and rows >= self._learning.rows
        return Readiness(ready, windows, int(rows))

    def usual(self, stream: int) -> Cells:
        """Return what is usual for a stream."""
        return self._usual.stream(stream)

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:
        """Put a stream's deviation into words; see `Detector.explain`."""
        key, aspect = stream >> FEATURE_BITS, Aspect(stream & ((1 << FEATURE_BITS) - 1))
        if aspect is Aspect.RATE:
            usual = float(self._rates[0][key] / max(self._rate_weights[0][key], 1.0))
            rates = (float(self._counted[key]) / window.seconds, usual / window.seconds)
            now = window.cells.stream(stream)
            return account_of(FEATURES[aspect], directory[key], stream, now, Cells.empty(), rates, text)
        return account_of(
            FEATURES[aspect], directory[key], stream, self._tested.stream(stream), self.usual(stream), (0.0, 0.0), text
        )


def _poisson_deviance(counts: Floats, sums: Floats, weights: Floats) -> Floats:
    """Return (k,) float64 deviance of counts from the margin around a mean known from `weights` windows."""
    weights = np.maximum(weights, 1.0)
    mean = np.maximum(sums / weights, 1e-3)
    mean = np.clip(counts, mean / _MARGIN, mean * _MARGIN)
    deviance = 2 * (counts * np.log(np.maximum(counts, 1e-12) / mean) - (counts - mean))
    return np.maximum(deviance, 0.0) / (1 + 1 / weights)
