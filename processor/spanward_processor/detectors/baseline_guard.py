"""A baseline that is moved in steps too small to be noticed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.anchor import FIRST_BAGS, Anchor
from spanward_processor.bags import Bag, Gathered, shares_side_by_side
from spanward_processor.cells import room_for, unpacked
from spanward_processor.detectors.base import Account, Surprise, held_among
from spanward_processor.detectors.wording import account_of
from spanward_processor.evidence import Dispersion
from spanward_processor.features import FEATURES, Aspect, Shape
from spanward_processor.kept import Arrays, copies, gathered, scattered
from spanward_processor.kernels.binning import SCALE, UNIT_BINS
from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.natural import Natural
from spanward_processor.settings import Learning
from spanward_processor.window import Window

_BAG_WINDOWS: Final = 30  # five minutes of the default windows
_FEWEST_ROWS: Final = 50.0  # a stream with fewer waits for the next bag
_OCTAVES: Final = 4.0  # a value further from the middle than this counts as so far: no single one moves a mean much
_LEAST_SHARE: Final = 0.002  # shares of flags are compared above this: one failure in ten thousand rows is no news
_SCATTER_DECAY: Final = 0.995  # per bag: the scatter of half a day
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1
_SHAPES: Final = np.array([list(Shape).index(feature.shape) for feature in FEATURES])
_NUMBER, _FLAG, _CATEGORY = (list(Shape).index(shape) for shape in (Shape.NUMBER, Shape.FLAG, Shape.CATEGORY))
_UNITS: Final = np.array([1 / (UNIT_BINS if feature.unit_range else SCALE) for feature in FEATURES])
_WATCHED: Final = np.array(
    [feature.shape is not Shape.COUNT and feature.aspect is not Aspect.CLIENT for feature in FEATURES]
)


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

    Source:
        Rubinstein et al., "ANTIDOTE: Understanding and defending against poisoning of anomaly detectors", IMC 2009 (the boiling
        frog); Cohen, "Statistical Power Analysis", 2nd ed., 1988, section 6.2 (shares by their angles).

    Cost:
        Per row nothing; per window and key about 3 us; per key about 3 kB for the anchor and as much for the open bag.
    """

    name: ClassVar[str] = "baseline_guard"

    def __init__(self, learning: Learning, decay: float) -> None:  # noqa: ARG002 - every detector is made alike
        self.learning = learning
        self._bag = Bag(_WATCHED)
        self._anchor = Anchor()
        self._natural = Natural()
        self._dispersion = Dispersion(_SCATTER_DECAY)
        self._outside: Ints = np.empty(0, np.int64)  # streams that were beyond their tolerance when last judged
        self._answer = _Answer.nothing()

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered(self._parts()) | copies({"outside": self._outside})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._outside = arrays["outside"]

    def _parts(self) -> dict[str, Bag | Anchor | Natural | Dispersion]:
        return {"bag": self._bag, "anchor": self._anchor, "natural": self._natural, "dispersion": self._dispersion}

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:  # noqa: ARG002 - windows that were learned are judged
        """Judge the bag that is full; see `Detector.test`."""
        self._answer = answer = self._answer_of(directory) if self._bag.windows >= _BAG_WINDOWS else _Answer.nothing()
        ready = (self._anchor.bags[answer.slots] >= FIRST_BAGS) & (
            self._anchor.rows(answer.slots) >= self.learning.rows
        )
        slots = answer.slots[ready]
        p = self._dispersion.p_values(slots, answer.beyond[ready], np.ones(slots.size))
        return Surprise(answer.streams[ready], p)

    def _answer_of(self, directory: KeyDirectory) -> "_Answer":
        cells, starts = self._bag.take(_FEWEST_ROWS)
        streams = cells.streams[starts[:-1]].astype(np.int64)
        slots = self._anchor.admit(streams)
        self._natural.grow(len(self._anchor.slots))
        self._dispersion.grow(len(self._anchor.slots))
        shift, error = _shifts(Gathered(cells, streams), Gathered(self._anchor.cells, streams), streams)
        features = streams & _FEATURE_MASK
        tolerance = self._natural.tolerance(slots, _FIRST_DAY[features], _LATER[features])
        weights = self._anchor.influence.weights(directory.parents())
        return _Answer(
            cells,
            starts,
            streams,
            slots,
            shift,
            scatter=(self._natural.step(slots, shift) / error) ** 2 / 2,
            beyond=(np.maximum(np.abs(shift) - tolerance, 0.0) / error) ** 2,
            weights=weights[streams >> FEATURE_BITS],
        )

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:
        """Let the anchor follow the bag that was judged, and merge the window; see `Detector.learn`."""
        answer = self._answer
        if answer.streams.size:
            self._learn_bag(answer, held, window)
        cells = window.cells
        if held.size:
            cells = cells.where(~held_among(held, cells.streams) | np.isin(cells.streams, self._outside))
            if not len(cells) and len(window.cells):
                return
        self._anchor.influence.see(cells)
        self._bag.add(cells)

    def _learn_bag(self, answer: "_Answer", held: Flags, window: Window) -> None:
        outside = answer.beyond > 0
        free = ~held_among(held, answer.streams) & ~outside
        slots = answer.slots[free]
        self._anchor.learn(
            answer.cells, answer.starts, answer.slots, free, answer.weights, _BAG_WINDOWS * window.seconds
        )
        self._anchor.influence.learn()
        self._dispersion.learn(slots, answer.scatter[free], np.ones(slots.size))
        self._natural.learn(slots, answer.shift[free], window.start_ns)
        others = self._outside[~np.isin(self._outside, answer.streams)]
        self._outside = np.sort(np.concatenate((others, answer.streams[outside])))

    # --- speak -------------------------------------------------------------------------------------------------------

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:  # noqa: ARG002 - the bag was judged
        """Put a stream's deviation into words; see `Detector.explain`."""
        feature, series = FEATURES[stream & _FEATURE_MASK], directory[stream >> FEATURE_BITS]
        now, usual = unpacked(self._answer.cells, stream), unpacked(self._anchor.cells, stream)
        account = account_of(feature, series, stream, now, usual, (0.0, 0.0), text)
        reason = (
            f"The baseline itself is being moved, in steps too small to be noticed one by one: {feature.noun} of {series} is now "
            f"{account.observed}; when it was first learned it was {account.baseline}."
        )
        return replace(account, reason=reason)


def _shifts(now: Gathered, usual: Gathered, streams: Ints) -> tuple[Floats, Floats]:
    """Return (s,) float64 how far streams are from their anchors, and the error of that if rows were independent."""
    features = streams & _FEATURE_MASK
    shapes, unknown = _SHAPES[features], usual.rows <= 0
    shift, error = np.zeros(streams.size), np.ones(streams.size)
    for shape, shifts in ((_NUMBER, _number_shifts), (_FLAG, _flag_shifts), (_CATEGORY, _category_shifts)):
        chosen = (shapes == shape) & ~unknown
        if chosen.any():
            of_shape = shifts(now, usual, features, chosen)
            shift[chosen], error[chosen] = of_shape[0][chosen], of_shape[1][chosen]
    return shift, np.maximum(error, _LEAST_ERROR)


_LEAST_ERROR: Final = 1e-4


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


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a bag was found to be, until it is learned.

    Args:
        cells: Its cells.
        starts: (s + 1,) int64 where each stream's cells begin.
        streams: (s,) int64.
        slots: (s,) int64.
        shift: (s,) float64 from the anchor.
        scatter: (s,) float64 half the squared distance from the bag before, in errors.
        beyond: (s,) float64 squared distance beyond what is tolerated, in errors.
        weights: (s,) float64 how far its rows may be learned from.
    """

    cells: Packed
    starts: Ints
    streams: Ints
    slots: Ints
    shift: Floats
    scatter: Floats
    beyond: Floats
    weights: Floats

    @classmethod
    def nothing(cls) -> "_Answer":
        """Return the answer while a bag is filled."""
        none, number = np.empty(0, np.int64), np.empty(0)
        return cls(room_for(0), np.zeros(1, np.int64), none, none, number, number, number, number)
