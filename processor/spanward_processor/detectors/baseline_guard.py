"""A baseline that is moved in steps too small to be noticed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account
from spanward_processor.detectors.wording import account_of
from spanward_processor.features import FEATURES, Shape
from spanward_processor.kept import Arrays, Kept, gathered, scattered
from spanward_processor.kernels.binning import SCALE, UNIT_BINS
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.usual.bags import Gathered, shares_side_by_side
from spanward_processor.usual.calendar import WEEK_S
from spanward_processor.usual.lessons import Lesson, Lessons
from spanward_processor.usual.strays import Strays, Verdict
from spanward_processor.usual.turns import COMES_AGAIN
from spanward_processor.windows.cells import unpacked
from spanward_processor.windows.window import Window

_OCTAVES: Final = 4.0  # a value further from the middle than this counts as so far: no single one moves a mean much
_LEAST_ERROR: Final = 1e-4  # of a shift
_LEAST_SHARE: Final = 0.002  # shares of flags are compared above this: one failure in ten thousand rows is no news
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1
_SHAPES: Final = np.array([list(Shape).index(feature.shape) for feature in FEATURES])
_NUMBER, _FLAG, _CATEGORY = (list(Shape).index(shape) for shape in (Shape.NUMBER, Shape.FLAG, Shape.CATEGORY))
_UNITS: Final = np.array([1 / (UNIT_BINS if feature.unit_range else SCALE) for feature in FEATURES])


def _tolerances(octaves: float, units: float, flags: float, categories: float) -> Floats:
    """Return (f,) float64 by feature: numbers in octaves, or in their own unit; shares of flags in octaves; angles of shares."""
    by_shape = {Shape.NUMBER: octaves, Shape.FLAG: flags, Shape.CATEGORY: categories, Shape.COUNT: np.inf}
    return np.array([units if feature.unit_range else by_shape[feature.shape] for feature in FEATURES])


_FIRST_DAY: Final = _tolerances(octaves=0.7, units=0.10, flags=1.0, categories=0.16)
_LATER: Final = _tolerances(octaves=0.4, units=0.06, flags=0.7, categories=0.10)


class BaselineGuard:
    """Compare what the baselines are taught with what was usual at first: an anchor that moves only within weeks.

    Every five minutes' worth of windows that were learned is held against the anchor: means of numbers, shares of flags and of
    each category. A baseline may follow a daily cycle, so a shift counts only beyond what the stream covers within a day, and
    a margin; before the first day is over the margin is wider. What lies beyond it by more than the scatter of earlier
    bags is surprising. What the baselines do not learn, because of an alarm, moves nothing and is not looked at.

    The rate is left out: it belongs to the hour and the weekday more than to the past.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less, in baselines; an anchor has its own.
        lessons: What the baselines are taught, if another detector keeps it.

    Source:
        Rubinstein et al., "ANTIDOTE: Understanding and defending against poisoning of anomaly detectors", IMC 2009 (the boiling
        frog); Cohen, "Statistical Power Analysis", 2nd ed., 1988, section 6.2 (shares by their angles).

    Cost:
        Per row nothing; per window and key about 3 us; per stream 70 bytes, and per key about 6 kB of lessons, which are
        `drift`'s.
    """

    name: ClassVar[str] = "baseline_guard"

    def __init__(self, learning: Learning, decay: float, lessons: Lessons | None = None) -> None:  # noqa: ARG002 - every detector is made alike
        self.learning = learning
        self._alone = lessons is None
        self._lessons = lessons or Lessons()
        self._strays = Strays()
        self._lesson, self._verdict = Lesson.nothing(), Verdict.nothing()

    def _parts(self) -> dict[str, Kept]:
        parts: dict[str, Kept] = {"strays": self._strays}
        return parts | {"lessons": self._lessons} if self._alone else parts

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered(self._parts())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge the bag that is full; see `Detector.test`."""
        self._lesson = lesson = self._lessons.take(window, directory.parents())
        self._verdict = (
            self._verdict_on(lesson, window.start_ns, directory) if lesson.streams.size else Verdict.nothing()
        )
        self._lessons.object_to(lesson.streams[self._verdict.beyond > 0])
        return self._strays.surprise(lesson, self._verdict, self.learning)

    def _verdict_on(self, lesson: Lesson, time_ns: int, directory: KeyDirectory) -> Verdict:
        self._strays.admit(lesson)
        streams, slots, natural = lesson.streams, lesson.slots, self._strays.natural
        features = streams & _FEATURE_MASK
        tolerance = natural.tolerance(slots, _FIRST_DAY[features], _LATER[features])

        def beyond_from(chosen: Flags, usual: Packed) -> Floats:
            return _beyond(*_shifts(lesson.cells, usual, streams[chosen]), tolerance[chosen])

        shift, error = _shifts(lesson.cells, self._lessons.anchor.cells, streams)
        beyond = _beyond(shift, error, tolerance)
        asked = COMES_AGAIN[WEEK_S][features] & (beyond > 0)
        return Verdict(
            shift,
            scatter=(natural.step(slots, shift) / error) ** 2 / 2,
            beyond=beyond,
            again=self._lessons.again(lesson, time_ns, directory, asked, beyond_from),
        )

    def learn(self, window: Window, held: Flags) -> None:
        """Let the anchor follow the bag that was judged, and merge the window; see `Detector.learn`."""
        free = self._lessons.learn(window, held)
        if self._lesson.streams.size:
            self._strays.learn(self._lesson, self._verdict, free, window.start_ns)

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        self._strays.clear(self._lessons.evict(gone))

    def begin_anew(self, streams: Ints) -> None:
        """Give streams new anchors; see `Anchored.begin_anew`."""
        self._lessons.begin_anew(streams)

    # --- speak -------------------------------------------------------------------------------------------------------

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:  # noqa: ARG002 - the bag was judged
        """Put a stream's deviation into words; see `Detector.explain`."""
        feature, series = FEATURES[stream & _FEATURE_MASK], directory[stream >> FEATURE_BITS]
        now, usual = unpacked(self._lesson.cells, stream), unpacked(self._lessons.anchor.cells, stream)
        account = account_of(feature, series, stream, now, usual, (0.0, 0.0), text)
        reason = (
            f"The baseline itself is being moved, in steps too small to be noticed one by one: {feature.noun} of {series} is now "
            f"{account.observed}; when it was first learned it was {account.baseline}."
            f"{self._strays.caution(self._lesson, stream)}"
        )
        return replace(account, reason=reason)


def _beyond(shift: Floats, error: Floats, tolerance: Floats) -> Floats:
    """Return (s,) float64 how far shifts are beyond what is tolerated, squared, in errors."""
    beyond: Floats = (np.maximum(np.abs(shift) - tolerance, 0.0) / error) ** 2
    return beyond


def _shifts(cells: Packed, before: Packed, streams: Ints) -> tuple[Floats, Floats]:
    """Return (s,) float64 how far streams are from what they were, and the error of that if rows were independent."""
    now, usual = Gathered(cells, streams), Gathered(before, streams)
    features = streams & _FEATURE_MASK
    shapes, unknown = _SHAPES[features], usual.rows <= 0
    shift, error = np.zeros(streams.size), np.ones(streams.size)
    for shape, shifts in ((_NUMBER, _number_shifts), (_FLAG, _flag_shifts), (_CATEGORY, _category_shifts)):
        chosen = (shapes == shape) & ~unknown
        if chosen.any():
            of_shape = shifts(now, usual, features, chosen)
            shift[chosen], error[chosen] = of_shape[0][chosen], of_shape[1][chosen]
    return shift, np.maximum(error, _LEAST_ERROR)


def _number_shifts(now: Gathered, usual: Gathered, features: Ints, of: Flags) -> tuple[Floats, Floats]:  # noqa: ARG001 - one signature
    middles, units = usual.middles(), _UNITS[features]
    means, variances = np.zeros((2, features.size)), np.zeros((2, features.size))
    for place, side in enumerate((now, usual)):
        far = np.clip((side.bins - middles[side.owners]) * units[side.owners], -_OCTAVES, _OCTAVES)
        rows = np.maximum(side.rows, 1e-9)
        means[place] = side.sums(far) / rows
        variances[place] = np.maximum(side.sums(far * far) / rows - means[place] ** 2, units**2 / 12) / rows
    return means[0] - means[1], np.sqrt(variances.sum(axis=0))


def _flag_shifts(now: Gathered, usual: Gathered, features: Ints, of: Flags) -> tuple[Floats, Floats]:  # noqa: ARG001 - one signature
    levels, variances = np.zeros((2, features.size)), np.zeros((2, features.size))
    for place, side in enumerate((now, usual)):
        rows = np.maximum(side.rows, 1e-9)
        share = side.sums(side.bins == 1) / rows
        levels[place] = np.log2(share + _LEAST_SHARE)
        spread = (share * (1 - share) + 1 / rows) / rows
        variances[place] = spread / ((share + _LEAST_SHARE) * np.log(2)) ** 2
    return np.maximum(levels[0] - levels[1], 0.0), np.sqrt(variances.sum(axis=0))


def _category_shifts(now: Gathered, usual: Gathered, features: Ints, of: Flags) -> tuple[Floats, Floats]:
    owners, _, left, right = shares_side_by_side(now, usual, of)
    angles = 2 * np.abs(np.arcsin(np.sqrt(np.minimum(left, 1.0))) - np.arcsin(np.sqrt(np.minimum(right, 1.0))))
    shift, most = np.zeros(features.size), np.zeros(features.size)
    np.maximum.at(shift, owners, angles)
    np.add.at(most, owners, 1.0)
    error = np.sqrt(
        (1 / np.maximum(now.rows, 1e-9) + 1 / np.maximum(usual.rows, 1e-9)) * (1 + np.log(np.maximum(most, 1)))
    )
    return shift, error
