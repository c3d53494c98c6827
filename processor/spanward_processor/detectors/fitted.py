"""Models of rows that a library fits in the background, and detectors that count the rows such a model finds outlying."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account
from spanward_processor.evidence import cleared
from spanward_processor.features import FEATURES, NUMBERS
from spanward_processor.held import held_among
from spanward_processor.kept import Arrays, Kept, copies, gathered, part, scattered, under
from spanward_processor.kernels.jit import Flags, Floats, Ints, Singles
from spanward_processor.kernels.sampling import UNKNOWN, Shorts
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.usual.covariance import value_of
from spanward_processor.usual.outlying import SHARE, Outlying, count_by_group
from spanward_processor.usual.slots import ABSENT, Slots
from spanward_processor.windows.sample import Groups, Sample, starts_of
from spanward_processor.windows.window import Window

_log = logging.getLogger(__name__)

MOST_SERIES: Final = 16
"""Series that are judged: the first with rows enough."""

RESERVOIR: Final = 512
"""Newest sampled rows of a series, from which its model is fitted."""

_FEWEST_ROWS: Final = 16  # sampled rows of a window without which it is passed over
_REFIT: Final = 60  # windows after which a model is fitted anew
_PATIENCE: Final = 2  # windows after which a new model is used; it has long been fitted by then
_BINS: Final = 128  # of a row's score
_PER_DEVIATION: Final = 8.0  # of them for one standard deviation of the scores in the reservoir
_USUAL_BIN: Final = 32  # where the mean of those lies; above it is more outlying
_WHOLE_ROW: Final = (1 << FEATURE_BITS) - 1

_library: Final = ThreadPoolExecutor(1, "fit")  # never the event loop, and never more than one core


class Fit:
    """A model that is fitted in the background; a pickled one is finished."""

    def __init__(self, fitted: "Future[Arrays]") -> None:
        self._fitted = fitted

    @classmethod
    def begin(cls, fit: Callable[[Singles, int], Arrays], rows: Singles, seed: int) -> Self:
        """Fit to (n, d) float32 rows."""
        return cls(_library.submit(fit, rows, seed))

    @classmethod
    def finished(cls, arrays: Arrays) -> Self:
        """Return a fit that has been made."""
        fitted: Future[Arrays] = Future()
        fitted.set_result(arrays)
        return cls(fitted)

    def arrays(self) -> Arrays:
        """Return the model, waiting for it; no arrays if the library failed."""
        try:
            return self._fitted.result()
        except Exception as error:  # noqa: BLE001 - whatever a library may raise
            _log.warning("a model of rows was not fitted reason=%r", str(error))
            return {}

    def __reduce__(self) -> tuple[Callable[[Arrays], "Fit"], tuple[Arrays]]:
        """Pickle what was fitted."""
        return Fit.finished, (self.arrays(),)


class FittedRows:
    """Count the outlying rows of the busiest series by models fitted elsewhere; what kind of model, a detector says.

    Of each series a reservoir of the newest sampled rows is held. A model is fitted to it in the background, and the score of
    later rows compared with the scores of the reservoir and of rows since.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.
    """

    name: ClassVar[str]

    def __init__(self, learning: Learning, decay: float) -> None:
        self.learning = learning
        self._decay = decay
        self._slots = Slots()
        self._outlying = Outlying(decay)
        self._outlying.grow(MOST_SERIES)
        self._reservoir: Shorts = np.empty((0, RESERVOIR, NUMBERS.size), np.int16)
        self._counts = np.zeros((MOST_SERIES, 3), np.int64)  # rows taken so far, windows, window in which a fit is due
        self._fills: Singles = np.zeros((MOST_SERIES, NUMBERS.size), np.float32)  # in place of missing numbers
        self._usual = np.zeros(
            (MOST_SERIES, 2)
        )  # mean and standard deviation of scores in the reservoir; 0 without a model
        self._seen = np.zeros((MOST_SERIES, _BINS))
        self._fits: dict[int, Fit] = {}
        self._answer = _Answer.empty()

    # --- what a kind of model says -----------------------------------------------------------------------------------

    @staticmethod
    def fit(rows: Singles, seed: int) -> Arrays:
        """Return the arrays of a model of (n, d) float32 rows."""
        raise NotImplementedError

    def adopt(self, slot: int, model: Arrays) -> None:
        """Use a model for a slot from now on."""
        raise NotImplementedError

    def scores(self, starts: Ints, rows: Singles, slots: Ints) -> Floats:
        """Return (r,) float64 scores by the models of slots; the lower, the more outlying.

        Args:
            starts: (g + 1,) int64 where the rows of each slot begin.
            rows: (r, d) float32 rows without missing numbers.
            slots: (g,) int64.
        """
        raise NotImplementedError

    def models(self) -> Arrays:
        """Return the arrays of all models."""
        raise NotImplementedError

    def restore_models(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `models` gave."""
        raise NotImplementedError

    # --- keep --------------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        own: Arrays = {
            "reservoir": self._reservoir,
            "counts": self._counts,
            "fills": self._fills,
            "usual": self._usual,
            "seen": self._seen,
            "fitted": np.array(list(self._fits), np.int64),
        }
        fits = {
            key: array for slot, fit in self._fits.items() for key, array in under(f"fit.{slot}", fit.arrays()).items()
        }
        return gathered(self._parts()) | copies(own | fits | under("models", self.models()))

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._reservoir, self._counts, self._fills = arrays["reservoir"], arrays["counts"], arrays["fills"]
        self._usual, self._seen = arrays["usual"], arrays["seen"]
        self._fits = {slot: Fit.finished(part(f"fit.{slot}", arrays)) for slot in arrays["fitted"].tolist()}
        self.restore_models(part("models", arrays))

    def _parts(self) -> dict[str, Kept]:
        return {"slots": self._slots, "outlying": self._outlying}

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:  # noqa: ARG002 - keys of series are all it needs
        """Judge a window; see `Detector.test`."""
        groups, slots = self._groups(window.sample.related())
        bins = self._bins(groups, slots)
        tails = np.cumsum(self._seen[:, ::-1], axis=1)[:, ::-1]
        tails = (tails + 1) / (tails[:, :1] + 1)
        sizes = np.diff(groups.starts)
        outlying, rows = count_by_group(groups, tails[np.repeat(slots, sizes), bins] <= SHARE)
        self._answer = _Answer(groups, slots, bins, outlying, rows)
        self._outlying.note(slots, outlying, rows)
        ready = self._outlying.is_ready(slots, self.learning)
        p = self._outlying.p_values(slots[ready], outlying[ready], rows[ready])
        return Surprise(self._answer.streams[ready], p)

    def _groups(self, sample: Sample) -> tuple[Groups, Ints]:
        """Return the series with enough rows that have a slot, or get one."""
        starts = starts_of(sample.keys)
        groups = Groups(sample.keys[starts[:-1]], starts, sample.values).where(np.diff(starts) >= _FEWEST_ROWS)
        streams = groups.keys << FEATURE_BITS | _WHOLE_ROW
        new = streams[self._slots.find(streams) == ABSENT][: MOST_SERIES - self._slots.used]
        self._slots.admit(new)
        if len(self._reservoir) < len(self._slots):
            more = np.empty((len(self._slots) - len(self._reservoir), *self._reservoir.shape[1:]), np.int16)
            self._reservoir = np.concatenate((self._reservoir, more))
        slots = self._slots.find(streams)
        return groups.where(slots != ABSENT), slots[slots != ABSENT]

    def _bins(self, groups: Groups, slots: Ints) -> Ints:
        """Return (r,) int64 bin of each row's score, 0 where there is no model yet."""
        fitted = self._usual[slots, 1] > 0
        owned = np.repeat(fitted, np.diff(groups.starts))
        groups, slots = groups.where(fitted), slots[fitted]
        sizes = np.diff(groups.starts)
        rows = _filled(groups.values, np.repeat(self._fills[slots], sizes, axis=0))
        mean, deviation = np.repeat(self._usual[slots], sizes, axis=0).T
        bins = np.zeros(owned.size, np.int64)
        bins[owned] = _bins_of(self.scores(groups.starts, rows, slots), mean, deviation)
        return bins

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:  # noqa: ARG002 - it was kept by `test`
        """Learn the window just tested; see `Detector.learn`."""
        answer = self._answer
        free = ~held_among(held, answer.streams)
        fitted = free & (self._usual[answer.slots, 1] > 0)
        self._outlying.learn(answer.slots[fitted], answer.outlying[fitted], answer.rows[fitted])
        self._seen[answer.slots[fitted]] *= self._decay
        owners = np.repeat(np.where(fitted, answer.slots, ABSENT), np.diff(answer.groups.starts))
        np.add.at(self._seen, (owners[owners != ABSENT], answer.bins[owners != ABSENT]), 1.0)
        begun = False  # one fit in a window, so that whoever waits for one never waits for many
        for at in np.flatnonzero(free).tolist():
            first, last = int(answer.groups.starts[at]), int(answer.groups.starts[at + 1])
            begun |= self._take(int(answer.slots[at]), answer.groups.values[first:last], may_begin=not begun)

    def _take(self, slot: int, rows: Shorts, *, may_begin: bool) -> bool:
        """Put a window's rows into a slot's reservoir; begin or end a fit where it is time, and return whether one began."""
        taken, windows, due = (int(count) for count in self._counts[slot])
        self._reservoir[slot, (taken + np.arange(len(rows))) % RESERVOIR] = rows
        taken, windows = taken + len(rows), windows + 1
        begins = may_begin and slot not in self._fits and taken >= RESERVOIR and windows >= due
        if slot in self._fits and windows >= due:
            self._adopt(slot, self._fits.pop(slot).arrays())
            due = windows + _REFIT
        elif begins:
            filled = _filled(self._reservoir[slot], _means(self._reservoir[slot]))
            self._fits[slot] = Fit.begin(self.fit, filled, slot << 32 | windows)
            due = windows + _PATIENCE
        self._counts[slot] = taken, windows, due
        return begins

    def _adopt(self, slot: int, model: Arrays) -> None:
        """Use a new model, and compare with what it says of the reservoir."""
        if not model:
            return
        self.adopt(slot, model)
        self._fills[slot] = _means(self._reservoir[slot])
        rows = _filled(self._reservoir[slot], self._fills[slot])
        scores = self.scores(np.array([0, RESERVOIR]), rows, np.array([slot]))
        self._usual[slot] = scores.mean(), scores.std() + 1e-9
        bins = _bins_of(scores, *self._usual[slot])
        self._seen[slot] = np.bincount(bins, minlength=_BINS)

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        slots = self._slots.evict(gone)
        self._outlying.clear(slots)
        for array in (self._counts, self._fills, self._usual, self._seen):
            cleared(array, slots)
        for slot in slots.tolist():
            self._fits.pop(slot, None)

    # --- speak -------------------------------------------------------------------------------------------------------

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:  # noqa: ARG002
        """Put a stream's deviation into words; see `Detector.explain`."""
        answer = self._answer
        at = int(np.searchsorted(answer.streams, stream))
        slot, first, last = int(answer.slots[at]), int(answer.groups.starts[at]), int(answer.groups.starts[at + 1])
        row = answer.groups.values[first + int(np.argmax(answer.bins[first:last]))]
        number, now, middle = self._oddest(row, slot)
        feature, usual = FEATURES[int(NUMBERS[number])], self._outlying.usual(slot)
        observed = self._outlying.since(slot, float(answer.outlying[at]), float(last - first))
        return Account(
            kind=feature.kind,
            aspect="row",
            observed=observed,
            baseline=f"{usual} of them",
            reason=(
                f"Single requests to {directory[stream >> FEATURE_BITS]} are unlike the others: {observed}, usually {usual}. "
                f"The oddest has {feature.noun} {feature.show(value_of(feature, now))}, where half of them have less than "
                f"{feature.show(value_of(feature, middle))}."
            ),
            n=last - first,
        )

    def _oddest(self, row: Shorts, slot: int) -> tuple[int, float, float]:
        """Return the number of a row that, put into the middle, makes the row most usual; its value; and the middle."""
        filled = _filled(row[None, :], self._fills[slot])
        middles = np.median(_filled(self._reservoir[slot], self._fills[slot]), axis=0).astype(np.float32)
        tries = np.repeat(filled, NUMBERS.size, axis=0)
        np.fill_diagonal(tries, middles)
        scores = self.scores(np.array([0, NUMBERS.size]), tries, np.array([slot]))
        number = int(np.argmax(np.where(row != UNKNOWN, scores, -np.inf)))
        return number, float(filled[0, number]), float(middles[number])


def _means(rows: Shorts) -> Singles:
    """Return (d,) float32 mean of each number, 0 where no row has it."""
    known = rows != UNKNOWN
    return np.asarray(np.where(known, rows, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.float32)


def _filled(rows: Shorts, fills: Singles) -> Singles:
    """Return (n, d) float32 rows with something in place of missing numbers."""
    return np.asarray(np.where(rows == UNKNOWN, fills, rows), np.float32)


def _bins_of(scores: Floats, mean: Floats | float, deviation: Floats | float) -> Ints:
    bins = np.floor((mean - scores) / np.maximum(deviation, 1e-9) * _PER_DEVIATION) + _USUAL_BIN
    return np.asarray(np.clip(bins, 0, _BINS - 1), np.int64)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a window was found to be, until it is learned; g series, r rows in all.

    Args:
        groups: The rows.
        slots: (g,) int64.
        bins: (r,) int64 of each row's score.
        outlying: (g,) float64 outlying rows.
        rows: (g,) float64.
    """

    groups: Groups
    slots: Ints
    bins: Ints
    outlying: Floats
    rows: Floats

    @property
    def streams(self) -> Ints:
        """(g,) int64 stream of each series."""
        return self.groups.keys << FEATURE_BITS | _WHOLE_ROW

    @classmethod
    def empty(cls) -> Self:
        """Return the answer to nothing."""
        nothing = np.empty(0, np.int64)
        return cls(Groups.empty(), nothing, nothing, np.empty(0), np.empty(0))
