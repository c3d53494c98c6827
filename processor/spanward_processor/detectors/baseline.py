"""What is normal for each series and slice, learned from its own windows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account, Readiness
from spanward_processor.detectors.wording import account_of
from spanward_processor.evidence import Dispersion, cleared, grown
from spanward_processor.features import FEATURES, Aspect, Rows, Shape
from spanward_processor.held import held_among
from spanward_processor.kept import Arrays, Kept, copies, gathered, part, scattered, under
from spanward_processor.kernels.cells import Packed, learn_cells
from spanward_processor.kernels.deviance import CATEGORY, FLAG, GROUPS, NUMBER, deviances
from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow, Singles
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.rowmodel import RowModel
from spanward_processor.surprise import Surprise
from spanward_processor.usual.calendar import Calendar
from spanward_processor.usual.quorum import FEWEST_ROWS, Heard, Quorum
from spanward_processor.usual.slots import Slots
from spanward_processor.usual.turns import Turns
from spanward_processor.windows.cells import Cells, room_for, trim, unpacked, without
from spanward_processor.windows.window import Window

_REMEMBERED_ROWS: Final = 2_000.0  # rows that are remembered of a rare stream, however long that is
_NEGLIGIBLE: Final = 1e-3  # decayed rows below which a cell is forgotten
_KERNEL_SHAPES: Final = {Shape.COUNT: 0, Shape.NUMBER: NUMBER, Shape.FLAG: FLAG, Shape.CATEGORY: CATEGORY}
_SHAPES: Final = np.array(
    [0 if feature.aspect is Aspect.CLIENT else _KERNEL_SHAPES[feature.shape] for feature in FEATURES], np.int64
)
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1


class Baseline:
    """Learn what is usual, and compare each window's distributions with it, by quasi-likelihood.

    Per key and feature the baseline is a decayed bag of counts. It fades with time, whether a stream has rows enough in each
    window or in every tenth, so that all follow the day alike; but of a rare stream so many rows are kept as a distribution
    takes. A window's deviance from it is judged by the scatter of earlier windows' deviances (`evidence.Dispersion`), so bursts
    that are usual are not surprising. Of the rate only the mean is learned: traffic swells and ebbs, and one window of it says
    little; `change.py` judges it.

    At times at which a finding began or ended to speak of a stream in earlier weeks it is compared with what it turned to then, where
    it is nearer to that (`usual/turns.py`).

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
        self._rows: Singles = np.zeros(0, np.float32)  # decayed rows, by slot
        self._learned_s = np.zeros(0)  # event time at which a stream was learned last, by slot; 0 before the first time
        self._dispersion = Dispersion(decay)  # by slot
        self._turns = Turns(_SHAPES)
        self._usual = room_for(0)
        self._beside = room_for(0)  # what the window just tested is compared with
        self.quorum = Quorum()
        self._rates = np.zeros(0)  # decayed rows, by key
        self._rate_windows: Narrow = np.zeros(0, np.int32)  # windows in which a key's rate was learned
        self._counted = np.zeros(0)  # rows in the window, by key
        self._window_s = 1.0  # its length
        self._answer = _Answer.empty()
        self._judged: Flags = np.zeros(0, bool)  # which streams of the answer are ready
        self._model = RowModel.empty()

    # --- keep --------------------------------------------------------------------------------------------------------

    def _parts(self) -> dict[str, Kept]:
        return {
            "quorum": self.quorum,
            "slots": self._slots,
            "dispersion": self._dispersion,
            "turns": self._turns,
        }

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        parts = gathered(self._parts())
        own: Arrays = {
            "windows": self._windows,
            "rows": self._rows,
            "learned_s": self._learned_s,
            "rates": self._rates,
            "rate_windows": self._rate_windows,
        }
        return parts | copies(under("usual", self._usual._asdict()) | own)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._usual = Packed(**part("usual", arrays))
        self._windows, self._rows, self._learned_s = arrays["windows"], arrays["rows"], arrays["learned_s"]
        self._rates, self._rate_windows = arrays["rates"], arrays["rate_windows"]
        self._model = self._model_now()

    @property
    def calendar(self) -> Calendar:
        """What streams turned to at this time before, for detectors that compare with something else."""
        return self._turns.calendar

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window; see `Detector.test`."""
        keys = len(directory)  # once: requests on their way add keys meanwhile
        self._answer = answer = self._answer_of(window, keys, directory)
        self._judged = ready = self._ready(answer)
        streams = answer.streams[ready]
        p = self._dispersion.p_values(answer.slots[ready], answer.deviance[ready], answer.freedom[ready])
        order = np.argsort(streams)
        return Surprise(streams[order], p[order])

    def _answer_of(self, window: Window, keys: int, directory: KeyDirectory) -> "_Answer":
        heard = self.quorum.hear(window.cells)
        answers, streams = self._deviances(heard, window, directory), heard.streams
        slots = self._slots.admit(streams)
        size = len(self._slots)
        self._windows, self._rows = grown(self._windows, size), grown(self._rows, size)
        self._learned_s = grown(self._learned_s, size)
        self._dispersion.grow(size)
        compared = answers[3] >= FEWEST_ROWS
        deviance, freedom = (np.where(compared, answers[row], 0.0) for row in (0, 1))
        return _Answer(streams, slots, deviance, freedom, heard, self._count(window, keys))

    def _ready(self, answer: "_Answer") -> Flags:
        """Return which streams are judged: enough windows of their own, and enough rows."""
        return (self._windows[answer.slots] >= self.learning.windows) & (self._rows[answer.slots] >= self.learning.rows)

    def _deviances(self, heard: Heard, window: Window, directory: KeyDirectory) -> Floats:
        """Return the `deviances` of those who were heard."""
        answers = np.zeros((4, heard.starts.size - 1))
        self._beside = self._turns.beside(heard.cells, heard.starts, self._usual, window, directory)
        deviances(_SHAPES, heard.starts, heard.cells, self._beside, np.empty((2, GROUPS)), answers)
        return answers

    def _count(self, window: Window, keys: int) -> Ints:
        """Count every key's rows; return the keys that have or had some, none of a window that was not seen whole."""
        self._rates, self._rate_windows = grown(self._rates, keys), grown(self._rate_windows, keys)
        self._counted, self._window_s = np.zeros(keys), window.seconds
        if not window.whole:
            return np.empty(0, np.int64)
        rates = window.rates
        self._counted[rates.keys] = rates.counts
        return np.flatnonzero((self._rate_windows[:keys] > 0) | (self._counted > 0))

    def _mean_rows(self, keys: Ints) -> Floats:
        """Return (k,) float64 rows per usual window."""
        windows: Floats = self._rate_windows[keys].astype(np.float64)
        if self._decay < 1.0:
            windows = -np.expm1(windows * np.log(self._decay)) / (1.0 - self._decay)
        mean: Floats = self._rates[keys] / np.maximum(windows, 1.0)
        return mean

    def compared(self) -> "Compared":
        """Return what the window just tested is compared with, for detectors that read it in another way.

        Of streams that are ready alone. What is returned is good until the window is learned.
        """
        answer, ready = self._answer, np.flatnonzero(self._judged)
        streams, starts = answer.streams[ready], answer.heard.starts
        usual = self._beside.streams
        narrow = streams.astype(np.int32)
        ends = (np.searchsorted(usual, narrow), np.searchsorted(usual, narrow, "right"))
        ranges = np.stack((starts[ready], starts[ready + 1], *ends), axis=1)
        keys = answer.rates[self._is_ready(answer.rates)]
        counted, expected, rows = self._counted[keys], self._mean_rows(keys), self._rates[keys]
        return Compared(streams, ranges, answer.heard.cells, self._beside, keys, counted, expected, rows)

    def _is_ready(self, keys: Ints) -> Flags:
        """Return which keys' rates are learned."""
        return (self._rate_windows[keys] >= self.learning.windows) & (self._rates[keys] >= self.learning.rows)

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:
        """Learn the window just tested; see `Detector.learn`."""
        answer = self._answer
        free = ~held_among(held, answer.streams)
        slots = answer.slots[free]
        self._dispersion.learn(slots, answer.deviance[free], answer.freedom[free])
        self._windows[slots] += 1
        self._learn_distributions(answer, free, window)
        self._turns.learn(answer.heard.cells, answer.heard.starts, window)
        keys = answer.rates[~held_among(held, answer.rates << FEATURE_BITS)]
        self._rates[keys] = self._decay * self._rates[keys] + self._counted[keys]
        self._rate_windows[keys] += 1
        self._model = self._model_now()

    def turn(self, turned: Ints, spoken_of: Ints, window: Window, directory: KeyDirectory) -> None:
        """Note which streams turned; see `Remembering.turn`."""
        self._turns.note(turned, spoken_of, window, directory)

    def turning(self, window: Window) -> Ints:
        """Return the series that turn as before; see `Remembering.turning`."""
        return self._turns.turning(window)

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        self._turns.evict(gone)
        slots = self._slots.evict(gone)
        for by_slot in (self._windows, self._rows, self._learned_s):
            cleared(by_slot, slots)
        self._dispersion.clear(slots)
        self.quorum.evict(gone)
        self._usual = without(self._usual, gone)
        keys = np.flatnonzero(gone)
        for by_key in (self._rates, self._rate_windows):
            cleared(by_key, keys)
        self._model = self._model_now()

    def _learn_distributions(self, answer: "_Answer", free: Flags, window: Window) -> None:
        fades = self._fades(answer, window)
        self._learned_s[answer.slots[free]] = window.end_ns / 1e9
        seen, starts = answer.heard.cells, answer.heard.starts
        usual = room_for(self._usual.streams.size + seen.streams.size)
        rows = np.empty(free.size)
        size = learn_cells(self._usual, seen, starts, free, fades, _NEGLIGIBLE, usual, rows)
        self._usual = self._beside = trim(usual, size)
        self._rows[answer.slots[free]] = rows[free]

    def _fades(self, answer: "_Answer", window: Window) -> Floats:
        """Return (s,) float64 how much of what was usual stays: by the time since it was last learned, and enough of a rare stream."""
        before_s = self._learned_s[answer.slots]
        windows = np.where(before_s > 0, np.maximum((window.end_ns / 1e9 - before_s) / window.seconds, 1.0), 1.0)
        heard = answer.heard
        rows = np.add.reduceat(heard.cells.counts, heard.starts[:-1], dtype=np.float64) if windows.size else windows
        fades: Floats = np.maximum(self._decay**windows, np.minimum(self._decay, 1.0 - rows / _REMEMBERED_ROWS))
        return fades

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
        ready = bool(self._is_ready(np.array([key]))[0])
        return Readiness(ready, int(self._rate_windows[key]), int(self._rates[key]))

    def usual(self, stream: int) -> Cells:
        """Return what is usual for a stream."""
        return unpacked(self._usual, stream)

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:
        """Put a stream's deviation into words; see `Detector.explain`."""
        rate = stream & _FEATURE_MASK == Aspect.RATE
        cells = window.cells.stream(stream) if rate else unpacked(self._answer.heard.cells, stream)
        return self.account(stream, cells, window.seconds, directory, text)

    def account(
        self,
        stream: int,
        cells: Cells,
        seconds: float,
        directory: KeyDirectory,
        text: Callable[[int], str],
        rate: float | None = None,
    ) -> Account:
        """Put into words how cells of a stream, counted in so many seconds, differ from what is usual.

        Args:
            stream: The stream.
            cells: What was counted.
            seconds: In how long.
            directory: Names of the keys.
            text: Code to text.
            rate: For a rate, rows per second that are usual at this time; None where only the mean is known.
        """
        key, feature = stream >> FEATURE_BITS, FEATURES[stream & _FEATURE_MASK]
        if feature.aspect is not Aspect.RATE:
            return account_of(feature, directory[key], stream, cells, self.usual(stream), (0.0, 0.0), text)
        usual = float(self._mean_rows(np.array([key]))[0]) / self._window_s if rate is None else rate
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
    """What a window was found to be, until it is learned.

    Args:
        streams: (s,) int64.
        slots: (s,) int64.
        deviance: (s,) float64.
        freedom: (s,) float64.
        heard: Their rows.
        rates: (k,) int64 keys whose rate is learned.
    """

    streams: Ints
    slots: Ints
    deviance: Floats
    freedom: Floats
    heard: Heard
    rates: Ints

    @classmethod
    def empty(cls) -> Self:
        """Return the answer to nothing."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, np.empty(0), np.empty(0), Heard.nothing(), nothing)
