"""Rows whose numbers do not go together as they usually do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account
from spanward_processor.evidence import cleared
from spanward_processor.features import NUMBERS, Rows
from spanward_processor.held import held_among, held_series
from spanward_processor.kept import Arrays, Kept, copies, gathered, scattered
from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow, Singles
from spanward_processor.kernels.sampling import Shorts
from spanward_processor.kernels.scatter import (
    DISTANCES,
    SIDES,
    Scatter,
    count_rows,
    distance_bins,
    distances,
    empty_block,
    score_numbers,
)
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.usual.covariance import chosen, empty_scatter, fitted_scatter, strangest
from spanward_processor.usual.moments import Moments, grown_rows, products_of
from spanward_processor.usual.outlying import SHARE, Outlying, count_by_group
from spanward_processor.usual.slots import Slots
from spanward_processor.windows.sample import Groups, Waiting
from spanward_processor.windows.window import Window

WHOLE_ROW: Final = (1 << FEATURE_BITS) - 1
"""In place of a feature: all numbers of a row together."""

_FEWEST_FITTED: Final = 60.0  # rows from which distances mean something
_FEWEST_SEEN: Final = 200.0  # distances from which their tail does
_FITTED_TOGETHER: Final = 128  # series, each of which takes 12 kB on the way


class Mahalanobis:
    """Measure how far each row lies from what is usual for its series, all numbers together, and count the far ones.

    The distance of a row is half the square of Mahalanobis', by a mean and covariance in which older windows count less, plus the
    surprise of each number by itself; numbers are near-logarithmic bins. How far is far is learned from the distances of earlier rows, never
    taken from a normal distribution. A window is judged by how many of its sampled rows are among the farthest 2 %, one-sided,
    as a binomial count with the dispersion learned from earlier windows.

    Every row of a series that is ready is scored. What is learned, and which rows are counted, is a sample: at most
    32 rows of a series and window.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.

    Source:
        Mahalanobis, "On the generalised distance in statistics", 1936; Li et al., "ECOD", IEEE TKDE, 2022;
        McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, section 4.5 (overdispersed binomial counts).

    Cost:
        Per row about 0.05 us; per window and series some 75 us where there are 1,000, 190 where there are 100; per series that is judged 6 kB, and as much again once ready.
    """

    name: ClassVar[str] = "mahalanobis"
    joint: ClassVar[bool] = True

    def __init__(self, learning: Learning, decay: float) -> None:
        self.learning = learning
        self._decay = decay
        self.waiting = Waiting()
        self._slots = Slots()
        self._moments = Moments(decay, NUMBERS.size)  # by slot, as all that follows
        self._outlying = Outlying(decay)
        self._sides: Singles = np.zeros((0, NUMBERS.size, SIDES), np.float32)
        self._distances: Singles = np.zeros((0, DISTANCES), np.float32)
        self._usual = empty_scatter(0, NUMBERS.size)
        self._answer = _Answer.empty()
        self._model = _Model.empty()

    # --- keep --------------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        own: Arrays = {"sides": self._sides, "distances": self._distances}
        return gathered(self._parts()) | copies(own)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._sides, self._distances = arrays["sides"], arrays["distances"]
        self._usual = empty_scatter(len(self._distances), NUMBERS.size)
        self._fit(np.arange(len(self._slots)))
        self._model = self._model_now()

    def _parts(self) -> dict[str, Kept]:
        return {"waiting": self.waiting, "slots": self._slots, "moments": self._moments, "outlying": self._outlying}

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:  # noqa: ARG002 - keys of series are all it needs
        """Judge a window; see `Detector.test`."""
        groups = self.waiting.gather(window.sample)
        streams = groups.keys << FEATURE_BITS | WHOLE_ROW
        slots = self._slots.admit(streams)
        self._grow(len(self._slots))
        found, sides = np.empty(len(groups.values)), np.empty(groups.values.shape, np.int16)
        distances(groups.starts, groups.values, slots, self._usual, found, sides)
        far = self._usual.tails[np.repeat(slots, np.diff(groups.starts)), distance_bins(found)] <= SHARE
        outlying, rows = count_by_group(groups, far)
        self._answer = _Answer(groups, streams, slots, found, sides, outlying, rows)
        self._outlying.note(slots, outlying, rows)
        ready = self._outlying.is_ready(slots, self.learning)
        return Surprise(streams[ready], self._outlying.p_values(slots[ready], outlying[ready], rows[ready]))

    def _grow(self, slots: int) -> None:
        self._moments.grow(slots)
        self._outlying.grow(slots)
        self._sides, self._distances = grown_rows(self._sides, slots), grown_rows(self._distances, slots)
        missing = len(self._distances) - len(self._usual.tails)
        if missing > 0:
            more = empty_scatter(missing, NUMBERS.size)
            self._usual = Scatter(*map(np.concatenate, zip(self._usual, more, strict=True)))

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:  # noqa: ARG002 - it was kept by `test`
        """Learn the window just tested; see `Detector.learn`."""
        answer = self._answer
        self.waiting.settle(held_series(held))
        free = ~held_among(held, answer.streams)
        slots = answer.slots[free]
        settled = free & (self._distances[answer.slots].sum(axis=1) >= _FEWEST_SEEN)
        self._outlying.learn(answer.slots[settled], answer.outlying[settled], answer.rows[settled])
        self._count(answer, free)
        self._moments.learn(slots, products_of(answer.groups.where(free), NUMBERS.size))
        self._fit(slots)
        self._model = self._model_now()

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        slots = self._slots.evict(gone)
        self._moments.clear(slots)
        self._outlying.clear(slots)
        for counted in (self._sides, self._distances):
            cleared(counted, slots)
        for usual, of_nothing in zip(self._usual, empty_scatter(1, NUMBERS.size), strict=True):
            usual[slots] = of_nothing
        self._model = self._model_now()

    def _count(self, answer: "_Answer", free: Flags) -> None:
        """Count the distances of rows of free series for which distances mean something."""
        fitted = free & (self._moments.rows(answer.slots) >= _FEWEST_FITTED)
        slots, rows = answer.slots[fitted], np.repeat(fitted, np.diff(answer.groups.starts))
        self._sides[slots] *= np.float32(self._decay)
        self._distances[slots] *= np.float32(self._decay)
        starts = answer.groups.where(fitted).starts
        count_rows(starts, answer.distance[rows], answer.sides[rows], slots, self._distances, self._sides)

    def _fit(self, slots: Ints) -> None:
        for first in range(0, slots.size, _FITTED_TOGETHER):
            some = slots[first : first + _FITTED_TOGETHER]
            fitted = fitted_scatter(self._moments.sums[some], self._sides[some], self._distances[some])
            for array, part in zip(self._usual, fitted, strict=True):
                array[some] = part

    def _model_now(self) -> "_Model":
        """Return what is usual for the series that are ready, shared with nobody."""
        ready = np.flatnonzero(self._outlying.is_ready(np.arange(len(self._slots)), self.learning))
        keys = self._slots.streams[ready].astype(np.int64) >> FEATURE_BITS
        places = np.full(int(keys.max(initial=-1)) + 1, -1, np.int32)
        places[keys] = np.arange(keys.size)
        return _Model(places, chosen(self._usual, ready))

    # --- speak -------------------------------------------------------------------------------------------------------

    def score(self, rows: Rows) -> Floats:
        """Return p-values of single rows; see `RowDetector.score`."""
        model, p = self._model, np.empty(len(rows))
        score_numbers(rows.keys[0], rows.bins, NUMBERS, model.places, model.usual, empty_block(NUMBERS.size), p)
        return p

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:  # noqa: ARG002
        """Put a stream's deviation into words; see `Detector.explain`."""
        key, answer = stream >> FEATURE_BITS, self._answer
        at = int(np.searchsorted(answer.streams, stream))
        slot = int(answer.slots[at])
        first, last = int(answer.groups.starts[at]), int(answer.groups.starts[at + 1])
        odd = strangest(answer.groups.values[first + int(np.argmax(answer.distance[first:last]))], self._usual, slot)
        usual = self._outlying.usual(slot)
        observed = self._outlying.since(slot, float(answer.outlying[at]), float(answer.rows[at]))
        return Account(
            kind=odd.feature.kind,
            aspect="row",
            observed=observed,
            baseline=f"{usual} of them",
            reason=(
                f"The numbers of single requests to {directory[key]} do not go together as usual: {observed}, "
                f"usually {usual}. The farthest: {odd}."
            ),
            n=last - first,
        )


@dataclass(frozen=True, slots=True)
class _Model:
    """What is usual for the series that are ready, as rows are scored by it."""

    places: Narrow
    usual: Scatter

    @classmethod
    def empty(cls) -> Self:
        """Return the model that knows nothing."""
        return cls(np.empty(0, np.int32), empty_scatter(0, NUMBERS.size))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a window was found to be, until it is learned; g series with enough rows, r rows in all.

    Args:
        groups: The rows.
        streams: (g,) int64.
        slots: (g,) int64.
        distance: (r,) float64.
        sides: (r, d) int16; see `distances`.
        outlying: (g,) float64 outlying rows.
        rows: (g,) float64.
    """

    groups: Groups
    streams: Ints
    slots: Ints
    distance: Floats
    sides: Shorts
    outlying: Floats
    rows: Floats

    @classmethod
    def empty(cls) -> Self:
        """Return the answer to nothing."""
        groups, nothing, none = Groups.empty(), np.empty(0, np.int64), np.empty(0)
        return cls(groups, nothing, nothing, none, groups.values, none, none)
