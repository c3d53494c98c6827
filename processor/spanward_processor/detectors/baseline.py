"""What is normal for each series and slice, learned from its own windows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.cells import Cells, room_for, starts_of, trim, unpacked
from spanward_processor.detectors.base import Account, Readiness, Surprise, held_among
from spanward_processor.detectors.wording import account_of
from spanward_processor.evidence import Dispersion, grown
from spanward_processor.features import FEATURES, Aspect, Rows, Shape
from spanward_processor.kept import Arrays, copies, gathered, part, scattered, under
from spanward_processor.kernels.cells import Packed, learn_cells, sift_cells
from spanward_processor.kernels.deviance import CATEGORY, FLAG, GROUPS, NUMBER, deviances, learn_rates, rate_deviances
from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow, Singles
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.rowmodel import RowModel
from spanward_processor.settings import Learning
from spanward_processor.slots import Slots
from spanward_processor.window import Window

_FEWEST_ROWS: Final = 20.0  # a stream with fewer rows waits for the next window
_NEGLIGIBLE: Final = 1e-3  # decayed rows below which a cell is forgotten
_RECENT: Final = (0.85, 0.5)  # factors per window in the recent rates: some six windows, and two
_MARGIN: Final = 1.25  # a rate less than a quarter away from what it was wakes nobody
_MOST_WEIGHTS: Final = 1 << 16  # windows after which a memory of some days holds no more
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
        self.learning = learning
        self._decay = decay
        self._slots = Slots()
        self._windows: Narrow = np.zeros(0, np.int32)  # learned, by slot
        self._rows: Singles = np.zeros(0, np.float32)  # decayed rows, by slot; those of a rate are in its first memory
        self._dispersion = Dispersion(decay)  # by slot
        self._usual = room_for(0)
        self._waiting = room_for(0)
        self._tested = room_for(0)
        self._memories = np.array([decay, *_RECENT])
        self._weights = np.zeros((self._memories.size, 1))
        self._rates = np.zeros((self._memories.size, 0))  # decayed rows per window, by memory and key
        self._rate_windows: Narrow = np.zeros(0, np.int32)  # windows in which a key's rate was learned
        self._counted = np.zeros(0)  # rows in the window, by key
        self._window_s = 1.0  # its length
        self._answer = _Answer.empty()
        self._judged: Flags = np.zeros(0, bool)  # which streams of the answer are ready
        self._model = RowModel.empty()

    # --- keep --------------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        parts = gathered({"slots": self._slots, "dispersion": self._dispersion})
        usual, waiting = under("usual", self._usual._asdict()), under("waiting", self._waiting._asdict())
        own: Arrays = {
            "windows": self._windows,
            "rows": self._rows,
            "rates": self._rates,
            "rate_windows": self._rate_windows,
        }
        return parts | copies(usual | waiting | own)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered({"slots": self._slots, "dispersion": self._dispersion}, arrays)
        self._usual, self._waiting = Packed(**part("usual", arrays)), Packed(**part("waiting", arrays))
        self._windows, self._rows = arrays["windows"], arrays["rows"]
        self._rates, self._rate_windows = arrays["rates"], arrays["rate_windows"]
        self._model = self._model_now()

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window; see `Detector.test`."""
        keys = len(directory)  # once: requests on their way add keys meanwhile
        self._answer = answer = self._answer_of(window, keys)
        self._judged = ready = self._ready(answer)
        streams = answer.streams[ready]
        p = self._dispersion.p_values(answer.slots[ready], answer.deviance[ready], answer.freedom[ready])
        order = np.argsort(streams)
        return Surprise(streams[order], p[order])

    def _answer_of(self, window: Window, keys: int) -> "_Answer":
        starts, answers = self._test_distributions(window)
        rates, rate_deviance = self._test_rates(window, keys)
        streams = np.concatenate((self._tested.streams[starts[:-1]].astype(np.int64), rates << FEATURE_BITS))
        slots = self._slots.admit(streams)
        self._windows, self._rows = grown(self._windows, len(self._slots)), grown(self._rows, len(self._slots))
        self._dispersion.grow(len(self._slots))
        compared = answers[3] >= _FEWEST_ROWS
        return _Answer(
            streams,
            slots,
            np.concatenate((np.where(compared, answers[0], 0.0), rate_deviance)),
            np.concatenate((np.where(compared, answers[1], 0.0), (self._rate_windows[rates] > 0).astype(float))),
            starts,
            rates,
        )

    def _ready(self, answer: "_Answer") -> Flags:
        """Return which streams are judged: enough windows of their own, and enough rows."""
        rows = self._rows[answer.slots].astype(np.float64)
        rows[answer.starts.size - 1 :] = self._rates[0, answer.rates]
        return (self._windows[answer.slots] >= self.learning.windows) & (rows >= self.learning.rows)

    def _test_distributions(self, window: Window) -> tuple[Ints, Floats]:
        """Return where the tested streams begin, and their `deviances`."""
        cells, waiting = window.cells, self._waiting
        room = len(cells) + waiting.streams.size
        enough, too_few, sizes = room_for(room), room_for(room), np.empty(3, np.int64)
        sift_cells(cells.streams, cells.bins, cells.counts, _TESTED, _FEWEST_ROWS, waiting, enough, too_few, sizes)
        self._waiting, self._tested = trim(too_few, int(sizes[1])), trim(enough, int(sizes[0]))
        starts = starts_of(self._tested, int(sizes[2]))
        answers = np.zeros((4, starts.size - 1))
        deviances(_SHAPES, starts, self._tested, self._usual, np.empty((2, GROUPS)), answers)
        return starts, answers

    def _test_rates(self, window: Window, keys: int) -> tuple[Ints, Floats]:
        """Return the keys that are known, and the deviance of each one's rate."""
        known = self._rate_windows.size
        if keys > known:
            room = keys + keys // 4
            self._rates = np.concatenate((self._rates, np.zeros((len(self._rates), room - known))), axis=1)
            self._rate_windows = np.concatenate((self._rate_windows, np.zeros(room - known, np.int32)))
        self._counted, self._window_s = np.zeros(keys), window.seconds
        if not window.whole:
            return np.empty(0, np.int64), np.empty(0)
        rates = window.cells.of_feature(Aspect.RATE)
        self._counted[rates.keys] = rates.counts
        answers = np.empty(keys)
        rate_deviances(self._counted, self._rates, self._rate_windows, self._weights_so_far(keys), _MARGIN, answers)
        seen = np.flatnonzero((self._rate_windows[:keys] > 0) | (self._counted > 0))
        return seen, answers[seen]

    def _weights_so_far(self, keys: int) -> Floats:
        """Return (m, w) float64 windows that each memory holds after so many; beyond the last they grow no more."""
        most = int(self._rate_windows[:keys].max(initial=0))
        if most >= self._weights.shape[1] and self._weights.shape[1] < _MOST_WEIGHTS:
            windows = np.arange(min(2 * most, _MOST_WEIGHTS))
            memories = np.minimum(self._memories, 1 - 1e-9)[:, None]
            self._weights = (1 - memories**windows) / (1 - memories)
        return self._weights

    def compared(self) -> "Compared":
        """Return what the window just tested is compared with, for detectors that read it in another way.

        Of streams that are ready alone. What is returned is good until the window is learned.
        """
        answer, distributions = self._answer, self._answer.starts.size - 1
        ready = np.flatnonzero(self._judged[:distributions])
        streams = answer.streams[ready]
        usual = self._usual.streams
        narrow = streams.astype(np.int32)
        ends = (np.searchsorted(usual, narrow), np.searchsorted(usual, narrow, "right"))
        ranges = np.stack((answer.starts[ready], answer.starts[ready + 1], *ends), axis=1)
        keys = answer.rates[self._judged[distributions:]]
        windows = self._weights[0, np.minimum(self._rate_windows[keys], self._weights.shape[1] - 1)]
        rows = self._rates[0, keys]
        return Compared(
            streams, ranges, self._tested, self._usual, keys, self._counted[keys], rows / np.maximum(windows, 1.0), rows
        )

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:  # noqa: ARG002 - it was kept by `test`
        """Learn the window just tested; see `Detector.learn`."""
        answer = self._answer
        free = ~held_among(held, answer.streams)
        slots = answer.slots[free]
        self._dispersion.learn(slots, answer.deviance[free], answer.freedom[free])
        self._windows[slots] += 1
        distributions = answer.starts.size - 1
        self._learn_distributions(answer, free[:distributions])
        learn_rates(answer.rates[free[distributions:]], self._counted, self._memories, self._rates, self._rate_windows)
        self._model = self._model_now()

    def _learn_distributions(self, answer: "_Answer", free: Flags) -> None:
        usual = room_for(self._usual.streams.size + self._tested.streams.size)
        rows = np.empty(free.size)
        size = learn_cells(self._usual, self._tested, answer.starts, free, self._decay, _NEGLIGIBLE, usual, rows)
        self._usual = trim(usual, size)
        self._rows[answer.slots[: free.size][free]] = rows[free]

    def _model_now(self) -> RowModel:
        """Return the row model of the streams that are ready."""
        ready = (self._windows >= self.learning.windows) & (self._rows >= self.learning.rows)
        streams = np.sort(self._slots.streams[ready[: len(self._slots)]])
        firsts = np.stack(
            (np.searchsorted(self._usual.streams, streams), np.searchsorted(self._usual.streams, streams, "right")), 1
        )
        return RowModel.of(self._usual, streams.astype(np.int64), firsts)

    # --- speak -------------------------------------------------------------------------------------------------------

    def score(self, rows: Rows) -> Floats:
        """Return p-values of single rows; see `Detector.score`."""
        return self._model.score(rows)

    def readiness(self, key: int) -> Readiness:
        """Return how far a key has been learned."""
        if key >= self._rate_windows.size:
            return Readiness(ready=False, windows=0, rows=0)
        windows, rows = int(self._rate_windows[key]), float(self._rates[0, key])
        ready = windows >= self.learning.windows and rows >= self.learning.rows
        return Readiness(ready, windows, int(rows))

    def usual(self, stream: int) -> Cells:
        """Return what is usual for a stream."""
        return unpacked(self._usual, stream)

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:
        """Put a stream's deviation into words; see `Detector.explain`."""
        rate = stream & ((1 << FEATURE_BITS) - 1) == Aspect.RATE
        cells = window.cells.stream(stream) if rate else unpacked(self._tested, stream)
        return self.account(stream, cells, window.seconds, directory, text)

    def account(
        self, stream: int, cells: Cells, seconds: float, directory: KeyDirectory, text: Callable[[int], str]
    ) -> Account:
        """Put into words how cells of a stream, counted in so many seconds, differ from what is usual."""
        key, feature = stream >> FEATURE_BITS, FEATURES[stream & ((1 << FEATURE_BITS) - 1)]
        if feature.aspect is not Aspect.RATE:
            return account_of(feature, directory[key], stream, cells, self.usual(stream), (0.0, 0.0), text)
        weight = self._weights[0, min(int(self._rate_windows[key]), self._weights.shape[1] - 1)]
        usual = float(self._rates[0, key] / max(weight, 1.0)) / self._window_s
        return account_of(feature, directory[key], stream, cells, Cells.empty(), (cells.total() / seconds, usual), text)


@dataclass(frozen=True, slots=True)
class Compared:
    """A window beside what is usual.

    Args:
        streams: (s,) int64 streams of distributions, ascending.
        ranges: (s, 4) int64 where each begins and ends in `seen`, and begins and ends in `usual`.
        seen: The window's cells.
        usual: The baseline's cells.
        keys: (k,) int64 keys whose rate is compared.
        counted: (k,) float64 rows in the window.
        expected: (k,) float64 rows in a usual window.
        rows: (k,) float64 rows behind that.
    """

    streams: Ints
    ranges: Ints
    seen: Packed
    usual: Packed
    keys: Ints
    counted: Floats
    expected: Floats
    rows: Floats


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a window was found to be, until it is learned: distributions first, then rates.

    Args:
        streams: (s,) int64.
        slots: (s,) int64.
        deviance: (s,) float64.
        freedom: (s,) float64.
        starts: (d + 1,) int64 where the cells of each distribution begin.
        rates: (s - d,) int64 keys of the rates.
    """

    streams: Ints
    slots: Ints
    deviance: Floats
    freedom: Floats
    starts: Ints
    rates: Ints

    @classmethod
    def empty(cls) -> Self:
        """Return the answer to nothing."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, np.empty(0), np.empty(0), np.zeros(1, np.int64), nothing)
