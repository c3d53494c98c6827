"""Pairs of numbers that used to go together and no longer do, or the other way round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account
from spanward_processor.evidence import Dispersion, cleared, grown
from spanward_processor.features import FEATURES, NUMBERS, Aspect
from spanward_processor.held import held_among, held_series
from spanward_processor.kept import Arrays, Kept, gathered, scattered
from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow
from spanward_processor.kernels.scatter import COUNT
from spanward_processor.kernels.sparing import spare_one
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.usual.moments import Moments, moments_of, products_of
from spanward_processor.usual.slots import Slots
from spanward_processor.windows.sample import FEWEST_ROWS, Groups, Waiting
from spanward_processor.windows.window import Window

_LEAST_VARIANCE: Final = 0.5  # in bins; a number that hardly varies goes together with nothing
_MOST_CORRELATED: Final = 0.98  # beyond it Fisher's z is all about how numbers were rounded to bins
_SPARED: Final = 2.3  # times what is left of the squared distance of z where a row is spared, of 20 to 32 normal ones
_LOOSE: Final = 0.5  # a correlation below half of what was usual is hardly one
_WATCHED: Final = (
    (Aspect.LATENCY, Aspect.INPUT_TOKENS),
    (Aspect.LATENCY, Aspect.OUTPUT_TOKENS),
    (Aspect.LATENCY, Aspect.INPUT_SIZE),
    (Aspect.INPUT_SIZE, Aspect.SCORE),
)
_PAIRS: Final = np.array([[NUMBERS.tolist().index(aspect) for aspect in pair] for pair in _WATCHED], np.int64)
_FIRST, _SECOND = _PAIRS.T
_FEATURES: Final = len(FEATURES) + np.arange(len(_PAIRS))  # numbers of their streams, behind those of single features


class Correlation:
    """Compare the correlation of each two numbers in a window with what was learned, by Fisher's z.

    Per series, never per slice: latency with tokens in and out and with input size, input size with score. Correlations are those of near-logarithmic bins of sampled rows, at most 32 of a series and window. How much z scatters from window
    to window is learned, so that what never held firmly is never said to break. One odd row among twenty moves z far, so the
    row is left out without which z is nearest to what is usual; odd rows are for detectors of rows. How uneven z scatters is learned
    too. A pair's stream has a number behind those of features.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.
        waiting: Rows that wait, if another detector keeps them.

    Source:
        Fisher, "On the probable error of a coefficient of correlation deduced from a small sample", Metron 1 (1921); Devlin, Gnanadesikan
        and Kettenring, "Robust estimation and outlier detection with correlation coefficients", Biometrika 62 (1975) (leaving one out);
        McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, section 4.5 (learned dispersion).

    Cost:
        Per row nothing; per window and series some 30 us; per series that is judged 1.1 kB.
    """

    name: ClassVar[str] = "correlation"
    joint: ClassVar[bool] = True

    def __init__(self, learning: Learning, decay: float, waiting: Waiting | None = None) -> None:
        self.learning = learning
        self._alone = waiting is None
        self._waiting = waiting or Waiting()
        self._slots = Slots()  # of series
        self._moments = Moments(decay, NUMBERS.size)
        self._windows: Narrow = np.zeros(0, np.int32)  # learned, by slot
        self._dispersion = Dispersion(decay, uneven=True)  # by slot and pair
        self._answer = _Answer.empty()

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered(self._parts()) | {"windows": self._windows.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._windows = arrays["windows"]

    def _parts(self) -> dict[str, Kept]:
        parts: dict[str, Kept] = {"slots": self._slots, "moments": self._moments, "dispersion": self._dispersion}
        return parts | {"waiting": self._waiting} if self._alone else parts

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:  # noqa: ARG002 - keys of series are all it needs
        """Judge a window; see `Detector.test`."""
        groups = self._waiting.gather(window.sample)
        slots = self._slots.admit(groups.keys << FEATURE_BITS)
        self._moments.grow(len(self._slots))
        self._windows = grown(self._windows, len(self._slots))
        self._dispersion.grow(len(self._slots) * len(_PAIRS))
        products = products_of(groups, NUMBERS.size)
        now, usual = _correlations(products), _correlations(self._moments.sums[slots])
        deviance, freedom = _deviance(groups, now, usual)
        self._answer = _Answer(groups, slots, products, now, usual, deviance, freedom)
        enough = usual.rows >= self.learning.rows
        ready = enough & (freedom > 0) & (self._windows[slots] >= self.learning.windows)[:, None]
        streams = groups.keys[:, None] << FEATURE_BITS | _FEATURES
        p = self._dispersion.p_values(_places(slots)[ready], deviance[ready], freedom[ready])
        return Surprise(streams[ready], p)

    def learn(self, window: Window, held: Flags) -> None:  # noqa: ARG002 - it was kept by `test`
        """Learn the window just tested; see `Detector.learn`."""
        answer = self._answer
        pairs = answer.groups.keys[:, None] << FEATURE_BITS | _FEATURES
        free = ~held_among(held, pairs.ravel()).reshape(pairs.shape).any(axis=1)
        self._waiting.settle(held_series(held))
        slots = answer.slots[free]
        self._dispersion.learn(_places(slots).ravel(), answer.deviance[free].ravel(), answer.freedom[free].ravel())
        self._moments.learn(slots, answer.products[free])
        self._windows[slots] += 1

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        slots = self._slots.evict(gone)
        self._moments.clear(slots)
        self._dispersion.clear(_places(slots).ravel())
        cleared(self._windows, slots)

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:  # noqa: ARG002
        """Put a stream's deviation into words; see `Detector.explain`."""
        key, pair = stream >> FEATURE_BITS, (stream & ((1 << FEATURE_BITS) - 1)) - len(FEATURES)
        at = int(np.searchsorted(self._answer.groups.keys, key))
        first, second = (FEATURES[int(NUMBERS[number])] for number in _PAIRS[pair])
        now, usual = float(self._answer.now.r[at, pair]), float(self._answer.usual.r[at, pair])
        rows = int(self._answer.now.rows[at, pair])
        observed, baseline = f"correlation {now:.2f}", f"correlation {usual:.2f}"
        return Account(
            kind="quality" if "quality" in (first.kind, second.kind) else first.kind,
            aspect=f"{first.aspect.name}_{second.aspect.name}".lower(),
            observed=observed,
            baseline=baseline,
            reason=(
                f"{first.noun.capitalize()} and {second.noun} of {directory[key]} {_change(now, usual)}: {observed} over "
                f"{rows} sampled rows, usually {usual:.2f}."
            ),
            n=rows,
        )


def _change(now: float, usual: float) -> str:
    if abs(now) < _LOOSE * abs(usual):
        return "no longer go together as they did"
    if now * usual < 0:
        return "now go against each other" if now < 0 else "no longer go against each other"
    return "go together more closely than they did" if abs(now) > abs(usual) else "go together less than they did"


def _places(slots: Ints) -> Ints:
    """Return (s, pairs) int64 where the dispersion of each pair is kept."""
    return slots[:, None] * len(_PAIRS) + np.arange(len(_PAIRS))


@dataclass(frozen=True, slots=True)
class _Correlations:
    """Correlations of each pair.

    Args:
        r: (g, pairs) float64, 0 where there is none.
        rows: (g, pairs) float64 rows with both numbers; 0 where one hardly varies.
    """

    r: Floats
    rows: Floats


def _correlations(sums: Floats) -> _Correlations:
    _, _, covariances = moments_of(sums)
    diagonal = np.arange(NUMBERS.size)
    variances = covariances[:, diagonal, diagonal]
    both = np.minimum(variances[:, _FIRST], variances[:, _SECOND])
    rows = np.where(both >= _LEAST_VARIANCE, sums[:, COUNT, _FIRST, _SECOND], 0.0)
    scale = np.sqrt(np.maximum(variances[:, _FIRST] * variances[:, _SECOND], 1e-9))
    return _Correlations(np.where(rows > 0, covariances[:, _FIRST, _SECOND] / scale, 0.0), rows)


def _deviance(groups: Groups, now: _Correlations, usual: _Correlations) -> tuple[Floats, Floats]:
    """Return the squared difference of Fisher's z in units of its variance, and its degrees of freedom.

    The row is spared without which least is left of the difference: one odd row breaks nothing.
    """
    tested = (now.rows >= FEWEST_ROWS) & (usual.rows >= 3 * FEWEST_ROWS)
    lowest, highest = np.empty(now.r.shape), np.empty(now.r.shape)
    spare_one(groups.starts, groups.values, _PAIRS, _LEAST_VARIANCE, _MOST_CORRELATED, lowest, highest)
    z = np.arctanh(np.clip(usual.r, -_MOST_CORRELATED, _MOST_CORRELATED))
    apart = z - np.clip(z, lowest, highest)
    variance = 1 / np.maximum(now.rows - 3, 1.0) + 1 / np.maximum(usual.rows - 3, 1.0)
    return np.where(tested, _SPARED * apart**2 / variance, 0.0), tested.astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a window was found to be, until it is learned; g series with enough rows.

    Args:
        groups: The rows.
        slots: (g,) int64.
        products: (g, 3, d, d) float64.
        now: Correlations in the window.
        usual: Correlations as they were learned.
        deviance: (g, pairs) float64.
        freedom: (g, pairs) float64.
    """

    groups: Groups
    slots: Ints
    products: Floats
    now: _Correlations
    usual: _Correlations
    deviance: Floats
    freedom: Floats

    @classmethod
    def empty(cls) -> Self:
        """Return the answer to nothing."""
        pairs, products = np.empty((0, len(_PAIRS))), np.empty((0, 3, NUMBERS.size, NUMBERS.size))
        nothing = _Correlations(pairs, pairs)
        return cls(Groups.empty(), np.empty(0, np.int64), products, nothing, nothing, pairs, pairs)
