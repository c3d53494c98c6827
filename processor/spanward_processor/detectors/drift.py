"""A distribution whose shape is no longer what it was."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account
from spanward_processor.detectors.wording import account_of
from spanward_processor.features import FEATURES, Aspect, Feature, Shape, show_share
from spanward_processor.kept import Arrays, Kept, gathered, scattered
from spanward_processor.kernels.binning import SCALE, UNIT_BINS
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.deviance import CATEGORY, GROUPS, NUMBER, deviances
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS, OTHER
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.usual.bags import Gathered, shares_side_by_side
from spanward_processor.usual.calendar import Calendar
from spanward_processor.usual.distances import gaining_run, jensen_shannon, population_stability, wasserstein
from spanward_processor.usual.lessons import Lesson, Lessons
from spanward_processor.usual.quorum import Quorum
from spanward_processor.usual.strays import Strays, Verdict
from spanward_processor.usual.yesterday import Yesterday, folded
from spanward_processor.windows.cells import Cells, packed, starts_of, unpacked
from spanward_processor.windows.window import Window

_FIRST_DAY: Final = 0.32  # root of the divergence that is tolerated while no day was seen to its end: a PSI of 0.1
_LATER: Final = 0.22  # ... and beyond what a day covers: a PSI of 0.05
_MOST_NAMED: Final = 3  # categories in a sentence
_FARTHEST: Final = 4 * SCALE  # bins between two values that count as more
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1
_KERNEL_SHAPES: Final = {Shape.NUMBER: NUMBER, Shape.CATEGORY: CATEGORY}
_SHAPES: Final = np.array(
    [0 if feature.aspect is Aspect.CLIENT else _KERNEL_SHAPES.get(feature.shape, 0) for feature in FEATURES], np.int64
)
_UNITS: Final = np.array([1 / (UNIT_BINS if feature.unit_range else SCALE) for feature in FEATURES])
_NOTICED: Final = np.array([0.03 if feature.unit_range else 0.15 for feature in FEATURES])
"""How far values must have moved on average before it is news: a thirtieth of the unit, or a factor of 1.1."""


class Drift:
    """Compare the distribution of what was learned in five minutes with the anchor, and with the same hour yesterday.

    The likelihood ratio (G) says whether two histograms differ; with ten thousand rows they always do. So it is compared with
    what a divergence would give that streams have by themselves: a margin, and what a day covers. Numbers must also have
    moved by an amount that matters to somebody. A series whose shape is that of the same hour yesterday is as usual,
    whatever the anchor says. Rare streams wait until they have rows enough, be it for an hour.

    PSI, Jensen-Shannon and Wasserstein are told, not tested: their customary thresholds know nothing of the number of rows.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less, in baselines; an anchor has its own.
        calendar: What streams turned to at the same time of earlier weeks, if somebody notes it.
        quorum: Who has heard each window before; None for one of its own.

    Source:
        Agresti, "Categorical Data Analysis", 3rd ed., 2013, section 1.5.5 (G); McCullagh and Nelder, "Generalized Linear
        Models", 2nd ed., 1989, section 4.5 (scatter); Fisher's approximation of a noncentral chi-squared by its root.

    Cost:
        Per row nothing; per window and key about 3 us; per key about 3 kB for the anchor and as much for the open bag, which
        `baseline_guard` reads too, and per series that is busy all day 25 kB of yesterday.
    """

    name: ClassVar[str] = "drift"

    def __init__(
        self,
        learning: Learning,
        decay: float,  # noqa: ARG002 - every detector is made alike
        calendar: Calendar | None = None,
        quorum: Quorum | None = None,
    ) -> None:
        self.learning = learning
        self.lessons = Lessons(calendar, quorum)
        self._strays = Strays()
        self._yesterday = Yesterday(_SHAPES > 0)
        self._lesson, self._verdict = Lesson.nothing(), Verdict.nothing()
        self._judged: Flags = np.empty(0, bool)  # of the whole lesson
        self._of_series: Flags = np.empty(0, bool)

    def _parts(self) -> dict[str, Kept]:
        return {"lessons": self.lessons, "strays": self._strays, "yesterday": self._yesterday}

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered(self._parts())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge the bag that is full; see `Detector.test`."""
        parents = directory.parents()
        taken = self.lessons.take(window, parents)
        self._judged = _SHAPES[taken.streams & _FEATURE_MASK] > 0
        self._lesson = lesson = taken.where(self._judged) if taken.streams.size else taken
        keys = lesson.streams >> FEATURE_BITS
        self._of_series = parents[keys] == keys
        self._verdict = (
            self._verdict_on(lesson, window.start_ns, directory) if lesson.streams.size else Verdict.nothing()
        )
        self.lessons.object_to(lesson.streams[self._verdict.beyond > 0])
        return self._strays.surprise(lesson, self._verdict, self.learning)

    def _verdict_on(self, lesson: Lesson, time_ns: int, directory: KeyDirectory) -> Verdict:
        self._strays.admit(lesson)
        natural, anchor = self._strays.natural, self.lessons.anchor.cells
        every = np.ones(lesson.slots.size)
        tolerance = natural.tolerance(lesson.slots, _FIRST_DAY * every, _LATER * every)

        def beyond_from(chosen: Flags, usual: Packed) -> Floats:
            of = lesson.where(chosen)
            beyond = _beyond(*_compared(of.cells, of.starts, usual), tolerance[chosen])
            beyond[~_is_noticed(of.cells, usual, of.streams)] = 0.0
            return beyond

        deviance, freedom, rows = _compared(lesson.cells, lesson.starts, anchor)
        shift = np.sqrt(np.maximum(deviance - freedom, 0.0) / np.maximum(rows, 1.0))
        beyond = _beyond(deviance, freedom, rows, tolerance)
        beyond[~_is_noticed(lesson.cells, anchor, lesson.streams)] = 0.0
        beyond = np.minimum(beyond, self._beyond_yesterday(lesson, time_ns))
        step = natural.step(lesson.slots, shift) * np.sqrt(rows)
        again = self.lessons.again(lesson, time_ns, directory, beyond > 0, beyond_from)
        return Verdict(shift, scatter=step**2 / 2, beyond=beyond, again=again)

    def _beyond_yesterday(self, lesson: Lesson, time_ns: int) -> Floats:
        """Return (s,) float64 how far beyond what is tolerated series are from yesterday; infinity where it is unknown."""
        beyond = np.full(lesson.streams.size, np.inf)
        cells = folded(lesson.where(self._of_series).cells)
        for reference in reversed(self._yesterday.reference(time_ns)):  # the same hour has the last word
            known = self._of_series & np.isin(lesson.streams, reference.streams)
            if known.any():
                chosen = packed(cells.where(np.isin(cells.streams, lesson.streams[known])))
                deviance, freedom, rows = _compared(chosen, starts_of(chosen, int(known.sum())), reference)
                beyond[known] = _beyond(deviance, freedom, rows, np.full(rows.size, _LATER))
        return beyond

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:
        """Let anchor and yesterday follow the bag that was judged, and merge the window; see `Detector.learn`."""
        free = self.lessons.learn(window, held)
        if self._lesson.streams.size:
            free = free[self._judged]
            self._strays.learn(self._lesson, self._verdict, free, window.start_ns)
            self._yesterday.add(folded(self._lesson.where(free & self._of_series).cells), window.start_ns)

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        self._strays.clear(self.lessons.evict(gone))

    def begin_anew(self, streams: Ints) -> None:
        """Give streams new anchors; see `Anchored.begin_anew`."""
        self.lessons.begin_anew(streams)

    # --- speak -------------------------------------------------------------------------------------------------------

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:  # noqa: ARG002 - the bag was judged
        """Put a stream's deviation into words; see `Detector.explain`."""
        feature, series = FEATURES[stream & _FEATURE_MASK], directory[stream >> FEATURE_BITS]
        now, usual = unpacked(self._lesson.cells, stream), unpacked(self.lessons.anchor.cells, stream)
        account = account_of(feature, series, stream, now, usual, (0.0, 0.0), text)
        moved = _moved(feature, now, usual, text)
        caution = self._strays.caution(self._lesson, stream)
        return replace(account, reason=f"The distribution of {feature.noun} of {series} has drifted: {moved}.{caution}")


def _compared(cells: Packed, starts: Ints, usual: Packed) -> tuple[Floats, Floats, Floats]:
    """Return (s,) float64 deviance from what is usual, degrees of freedom, and rows as far as what is usual is sure."""
    answers = np.zeros((4, starts.size - 1))
    deviances(_SHAPES, starts, cells, usual, np.empty((2, GROUPS)), answers)
    deviance, freedom, rows, weight = answers
    return deviance, freedom, rows / (1 + rows / np.maximum(weight, 1e-9))


def _beyond(deviance: Floats, freedom: Floats, rows: Floats, tolerance: Floats) -> Floats:
    """Return (s,) float64 how far deviances are beyond those of a tolerated divergence, as squared standard scores."""
    above: Floats = np.sqrt(deviance) - np.sqrt(freedom + rows * tolerance**2)
    return np.maximum(above, 0.0) ** 2


def _is_noticed(cells: Packed, usual: Packed, streams: Ints) -> Flags:
    """Return (s,) bool where values have moved by enough to matter (Wasserstein-1); categories always have."""
    features = streams & _FEATURE_MASK
    numbers = _SHAPES[features] == NUMBER
    owners, bins, now, before = shares_side_by_side(Gathered(cells, streams), Gathered(usual, streams), numbers)
    gaps = np.minimum(np.diff(bins, append=0), _FARTHEST)
    gaps[np.diff(owners, append=-1) != 0] = 0
    moved = np.bincount(owners, np.abs(np.cumsum(now - before)) * gaps, streams.size)
    noticed: Flags = moved * _UNITS[features] >= _NOTICED[features]
    noticed[~numbers] = True
    return noticed


def _moved(feature: Feature, now: Cells, usual: Cells, text: Callable[[int], str]) -> str:
    """Say which bins moved, and how far apart the two distributions are."""
    bins = np.union1d(now.bins, usual.bins).astype(np.int64)
    shares, usually = (_shares_in(bins, cells) for cells in (now, usual))
    ordered = feature.shape is Shape.NUMBER
    psi, divergence = population_stability(shares, usually, ordered=ordered), jensen_shannon(shares, usually)
    measures = f"PSI {psi:.2g}, Jensen-Shannon {divergence:.2g} bits"
    if not ordered:
        order = np.argsort(-np.abs(shares - usually))[:_MOST_NAMED]
        named = [
            f"{_name(int(bins[at]), text)} {feature.show(float(shares[at]))} of rows, usually {feature.show(float(usually[at]))}"
            for at in order.tolist()
        ]
        return f"{'; '.join(named)}; {measures}"
    parts = [
        _run(feature, bins, shares, usually, run)
        for run in (gaining_run(shares, usually), gaining_run(usually, shares))
    ]
    known = bins != OTHER
    distance = feature.show(wasserstein(bins[known], shares[known], usually[known], feature.value))
    return f"{'; '.join(parts)}; {measures}, Wasserstein {distance}"


def _run(feature: Feature, bins: Ints, shares: Floats, usually: Floats, run: tuple[int, int]) -> str:
    first, last = run
    share, usual = (show_share(float(each[first : last + 1].sum())) for each in (shares, usually))
    low, high = (feature.show(feature.value(int(bins[at]))) for at in run)
    return f"{share} of rows between {low} and {high}, usually {usual}"


def _name(cell_bin: int, text: Callable[[int], str]) -> str:
    return "the rest" if cell_bin == OTHER else f"'{text(cell_bin)}'"


def _shares_in(bins: Ints, cells: Cells) -> Floats:
    shares = np.zeros(bins.size)
    shares[np.searchsorted(bins, cells.bins)] = cells.counts / max(cells.total(), 1.0)
    return shares
