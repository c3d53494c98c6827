"""A change of any size, found as early as its evidence allows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account
from spanward_processor.detectors.baseline import Baseline, Compared
from spanward_processor.evidence import cleared, grown
from spanward_processor.features import FEATURES, Aspect, Shape
from spanward_processor.held import held_among
from spanward_processor.kept import Arrays, Kept, copies, gathered, scattered
from spanward_processor.kernels.grouping import group_by_rank, group_by_watched
from spanward_processor.kernels.jit import Flags, Floats, Ints, Singles
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.usual.alternatives import CATEGORIES, FLAGS, NUMBERS, RANKS, RATES, WATCHED, Shares, settle
from spanward_processor.usual.scatter import Scatter
from spanward_processor.usual.season import Season
from spanward_processor.usual.slots import ABSENT, Slots
from spanward_processor.windows.cells import Cells, unpacked
from spanward_processor.windows.window import Window

_FOLLOWED_LOG10_E: Final = 2.0  # evidence from which it is noted what a stream shows
_MOST_FOLLOWED: Final = 1000  # streams of which that is noted
_LONGEST_FOLLOWED_S: Final = 600.0  # after which what was noted counts half
_AGAIN: Final = 0.9  # share of the windows that make a stream ready, in which its scatter is learned after that
_BURSTS: Final = (
    3.0  # who comes in bursts pauses for longer than was learned: long pauses look suspicious, and teach nothing
)
_PRIOR_ROWS: Final = 0.5  # added to every group of the baseline, so that nothing is impossible
_NOBODY: Final = -(1 << 62)  # no category has this bin
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1
_LEAST_EXPECTED: Final = 1e-3  # rows per window of a key that is never seen
_SHAPES: Final = np.array([list(Shape).index(feature.shape) for feature in FEATURES])
_SHAPE_OF: Final = {shape: list(Shape).index(shape) for shape in Shape}


class Change:
    """Bet on a grid of changes in every stream, all the time, and alarm when a bet has paid too well for chance.

    Each bet (`alternatives.py`) is a likelihood ratio of a window's counts against what the baseline expects, and is started
    anew before every window: R becomes (1 + R) times the ratio, the Shiryaev-Roberts e-detector. The mixture over the grid is
    an e-detector too, so the average run length to a false alarm at threshold A is at least A windows, for every world within
    the distance that the baseline's own uncertainty and the stream's usual wander make (`scatter.py`), with the stream's
    usual dispersion. Where change and direction are known the delay is that of CUSUM, which is optimal; not knowing them costs
    the logarithm of the grid's size.

    It reads what is usual from the baseline of the same judge, or, alone, from one of its own; once that is ready, it learns
    the scatter for almost as many windows again before it says anything.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.
        baseline: Who has tested each window before, and learns it; None for one of its own.

    Source:
        Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New England Journal
        of Statistics in Data Science, 2023 (e-SR and its mixtures; average run length); Lorden, Annals of Mathematical
        Statistics 42 (1971), and Moustakides, Annals of Statistics 14 (1986) (optimality of CUSUM).

    Cost:
        Per row nothing beyond counting; per window and key about 20 us; per stream of a number 200 bytes, of a flag or a rate
        90, of categories 1 kB, and per rate 1.5 kB of hours.
    """

    name: ClassVar[str] = "change"

    def __init__(self, learning: Learning, decay: float, baseline: Baseline | None = None) -> None:
        self.learning = learning
        self._alone = baseline is None
        self._baseline = baseline or Baseline(learning, decay)
        self._numbers = _Bets(NUMBERS.weights.size, len(NUMBERS.directions), decay)
        self._flags = _Bets(FLAGS.bets, FLAGS.shares, decay)
        self._categories = _Bets(CATEGORIES.bets, CATEGORIES.shares, decay)
        self._rates = _Bets(RATES.weights.size, 1, decay)
        self._season = Season(decay)  # by slot of the rates
        self._watched = np.empty((0, WATCHED), np.int64)  # by slot of the categories
        self._counted = np.empty(0)  # of the rates in the window
        self._since: dict[int, _Since] = {}  # streams whose evidence has risen; begins anew after a restart

    # --- keep --------------------------------------------------------------------------------------------------------

    def _parts(self) -> dict[str, Kept]:
        parts: dict[str, Kept] = {
            "numbers": self._numbers,
            "flags": self._flags,
            "categories": self._categories,
            "rates": self._rates,
            "season": self._season,
        }
        return parts | {"baseline": self._baseline} if self._alone else parts

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered(self._parts()) | {"watched": self._watched.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._watched = arrays["watched"]

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window; see `Detector.test`."""
        if self._alone:
            self._baseline.learning = self.learning
            self._baseline.test(window, directory)
        compared = self._baseline.compared()
        shapes = _SHAPES[compared.streams & _FEATURE_MASK]
        parts = (
            self._test_numbers(compared, np.flatnonzero(shapes == _SHAPE_OF[Shape.NUMBER])),
            self._test_flags(compared, np.flatnonzero(shapes == _SHAPE_OF[Shape.FLAG])),
            self._test_categories(compared, np.flatnonzero(shapes == _SHAPE_OF[Shape.CATEGORY])),
            self._test_rates(compared, window),
        )
        streams = np.concatenate([part[0] for part in parts])
        p, log10_e, windows = (np.concatenate(column) for column in zip(*(part[1:] for part in parts), strict=True))
        order = np.argsort(streams)
        order = order[windows[order] >= _AGAIN * self.learning.windows]
        streams, log10_e = streams[order], log10_e[order]
        self._follow(streams, log10_e, compared, window.seconds)
        return Surprise(streams, p[order], log10_e)

    def _follow(self, streams: Ints, log10_e: Floats, compared: Compared, seconds: float) -> None:
        """Add up what streams show since their evidence rose, so that more than the newest window can be told."""
        rose = streams[log10_e >= _FOLLOWED_LOG10_E][:_MOST_FOLLOWED].tolist()
        untold = self._since.keys() - set(streams.tolist())  # too few rows in this window
        since = {stream: self._since[stream] for stream in untold}
        for stream in rose:
            before = self._since.get(stream, _Since(Cells.empty(), 0.0))
            if before.seconds >= _LONGEST_FOLLOWED_S:
                cells = before.cells
                before = _Since(Cells(cells.streams, cells.bins, cells.counts / 2), before.seconds / 2)
            since[stream] = _Since(before.cells + _cells_of(stream, compared), before.seconds + seconds)
        self._since = since

    def _test_numbers(self, compared: Compared, places: Ints) -> "_Told":
        streams, groups = compared.streams[places], RANKS.size + 1
        observed, expected = np.empty((places.size, groups)), np.empty((places.size, groups))
        group_by_rank(compared.ranges[places], compared.seen, compared.usual, RANKS, observed, expected)
        slots, share, behind = self._numbers.admit(streams), _share(expected), expected.sum(axis=1)
        distance, excess = self._numbers.scatter.believed(slots, behind, len(NUMBERS.directions))
        self._numbers.note(slots, *NUMBERS.deviation(observed, share), observed.sum(axis=1))
        return streams, *self._numbers.settle(slots, NUMBERS.log_e(observed, share, distance, excess), NUMBERS.weights)

    def _test_flags(self, compared: Compared, places: Ints) -> "_Told":
        slots = self._flags.admit(compared.streams[places])
        observed, expected = self._counted_by(compared, places, np.ones((places.size, 1), np.int64))
        every = np.ones((places.size, 1), bool)
        return compared.streams[places], *self._test_shares(self._flags, FLAGS, slots, observed, expected, every)

    def _test_categories(self, compared: Compared, places: Ints) -> "_Told":
        slots = self._categories.admit(compared.streams[places])
        self._watch(compared, places, slots)
        watched = self._watched[slots]
        present = watched != _NOBODY
        used = int(present.sum(axis=1).max(initial=0))  # those who are absent stand last
        observed, expected = self._counted_by(compared, places, np.ascontiguousarray(watched[:, :used]))
        observed, expected = np.roll(observed, 1, axis=1), np.roll(expected, 1, axis=1)  # all others first
        present = np.concatenate((np.ones((places.size, 1), bool), present[:, :used]), axis=1)
        return compared.streams[places], *self._test_shares(
            self._categories, CATEGORIES, slots, observed, expected, present
        )

    @staticmethod
    def _counted_by(compared: Compared, places: Ints, watched: Ints) -> tuple[Floats, Floats]:
        """Return (s, k + 1) float64 rows of the window and of the baseline in each watched category, and in all others."""
        shape = (places.size, watched.shape[1] + 1)
        observed, expected = np.empty(shape), np.empty(shape)
        group_by_watched(compared.ranges[places], compared.seen, compared.usual, watched, observed, expected)
        return observed, expected

    def _watch(self, compared: Compared, places: Ints, slots: Ints) -> None:
        """Choose the categories that are watched in streams that are new: the most frequent ones of the baseline."""
        missing = len(self._categories.slots) - len(self._watched)
        if missing > 0:
            self._watched = np.concatenate((self._watched, np.full((missing, WATCHED), _NOBODY, np.int64)))
        for at in np.flatnonzero(self._watched[slots, 0] == _NOBODY).tolist():
            begin, end = compared.ranges[places[at], 2:].tolist()
            frequent = np.argsort(-compared.usual.counts[begin:end], kind="stable")[:WATCHED]
            self._watched[slots[at], : frequent.size] = compared.usual.bins[begin:end][frequent]

    @staticmethod
    def _test_shares(
        bets: "_Bets", alternatives: Shares, slots: Ints, observed: Floats, expected: Floats, present: Flags
    ) -> tuple[Floats, Floats, Floats]:
        rows, shares = observed.sum(axis=1), present.shape[1]
        observed, share = observed[:, :shares], _share(expected)[:, :shares]
        distance, excess = bets.scatter.believed(slots, expected.sum(axis=1), shares)
        bets.note(slots, observed - rows[:, None] * share, share * (1 - share), rows)
        gain = alternatives.log_e(observed, rows, share, distance, excess)
        return bets.settle(slots, gain, alternatives.weights(present))

    def _test_rates(self, compared: Compared, window: Window) -> "_Told":
        streams = compared.keys << FEATURE_BITS
        slots = self._rates.admit(streams)
        self._season.grow(len(self._rates.slots))
        self._season.begin(slots, compared.rows, compared.rows / np.maximum(compared.expected, 1e-9))
        distance, excess = self._rates.scatter.believed(slots, self._season.rows(slots), 1)
        expected = np.maximum(self._season.expected(slots, *_time_of(window)), _LEAST_EXPECTED)
        counted = compared.counted
        self._counted = counted
        self._rates.note(slots, (counted - expected)[:, None], np.ones((slots.size, 1)), expected)
        excess = 1.0 + _BURSTS * (excess[:, 0] - 1.0)
        return streams, *self._rates.settle(
            slots, RATES.log_e(counted, expected, distance[:, 0], excess), RATES.weights
        )

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:
        """Learn the window just tested; see `Detector.learn`."""
        if self._alone:
            self._baseline.learn(window, held)
        for bets in (self._numbers, self._flags, self._categories):
            bets.learn(held)
        free = self._rates.learn(held)
        self._season.learn(self._rates.noted.slots[free], self._counted[free], *_time_of(window))

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        if self._alone:
            self._baseline.evict(gone)
        for bets in (self._numbers, self._flags):
            bets.evict(gone)
        cleared(self._watched, self._categories.evict(gone), _NOBODY)
        self._season.clear(self._rates.evict(gone))
        for stream in list(self._since):
            if gone[stream >> FEATURE_BITS]:
                del self._since[stream]

    def forget(self, streams: Ints) -> None:
        """Begin anew with the bets on streams; see `Accumulator.forget`."""
        for bets in (self._numbers, self._flags, self._categories, self._rates):
            bets.forget(streams)
        for stream in streams.tolist():
            self._since.pop(stream, None)

    # --- speak -------------------------------------------------------------------------------------------------------

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:
        """Put a stream's deviation into words, since its evidence rose; see `Detector.explain`."""
        since = self._since.get(stream)
        if since is None:
            return self._baseline.explain(stream, window, directory, text)
        rate = None
        if stream & _FEATURE_MASK == Aspect.RATE:
            slots = self._rates.slots.find(np.array([stream]))
            rate = float(self._season.expected(slots, *_time_of(window))[0]) / window.seconds
        return self._baseline.account(stream, since.cells, since.seconds, directory, text, rate)


@dataclass(frozen=True, slots=True)
class _Since:
    """What a stream shows since its evidence rose.

    Args:
        cells: What was counted.
        seconds: In how long.
    """

    cells: Cells
    seconds: float


def _cells_of(stream: int, compared: Compared) -> Cells:
    """Return a window's cells of one stream."""
    if stream & _FEATURE_MASK != Aspect.RATE:
        return unpacked(compared.seen, stream)
    counted = compared.counted[np.searchsorted(compared.keys, stream >> FEATURE_BITS)]
    return Cells(np.array([stream]), np.zeros(1, np.int64), np.array([counted]))


def _time_of(window: Window) -> tuple[int, int]:
    """Return the middle of a window and its length, nanoseconds."""
    return (window.start_ns + window.end_ns) // 2, window.end_ns - window.start_ns


_Told = tuple[
    Ints, Floats, Floats, Floats
]  # streams, p-values, log10 of the evidence, windows in which scatter was learned


def _share(expected: Floats) -> Floats:
    """Return (s, g) float64 the share of each group, none of them nothing."""
    expected = expected + _PRIOR_ROWS
    share: Floats = expected / expected.sum(axis=1)[:, None]
    return share


@dataclass(frozen=True, slots=True)
class _Noted:
    """What a window says of the scatter of streams, until it is learned; as for `Scatter.learn`."""

    slots: Ints
    deviation: Floats
    variance: Floats
    rows: Floats


class _Bets:
    """The running bets on streams of one shape.

    Args:
        bets: How many bets a stream has.
        directions: In how many directions such a stream strays.
        decay: As for the detector.
    """

    def __init__(self, bets: int, directions: int, decay: float) -> None:
        self.slots = Slots()
        self.scatter = Scatter(directions, decay)
        self._bets = bets
        self._worth: Singles = np.zeros(0, np.float32)  # of each bet, flat (s, a)
        self.noted = _Noted(np.empty(0, np.int64), np.empty((0, directions)), np.empty((0, directions)), np.empty(0))

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return gathered({"slots": self.slots, "scatter": self.scatter}) | copies({"worth": self._worth})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered({"slots": self.slots, "scatter": self.scatter}, arrays)
        self._worth = arrays["worth"]

    def admit(self, streams: Ints) -> Ints:
        """Return (s,) int64 the slots of streams, with room for them."""
        slots = self.slots.admit(streams)
        self.scatter.grow(len(self.slots))
        self._worth = grown(self._worth, len(self.slots) * self._bets)
        return slots

    def note(self, slots: Ints, deviation: Floats, variance: Floats, rows: Floats) -> None:
        """Keep what a window says of the scatter until it is learned."""
        self.noted = _Noted(slots, deviation, variance, rows)

    def settle(self, slots: Ints, gain: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Settle one window's bets.

        Args:
            slots: (s,) int64, each once.
            gain: (s, a) float64 natural logarithm of what each of the first bets gains.
            weights: (a,) or (s, a) float64 share of each bet in the mixture.

        Returns:
            p-value of the window alone, (s,), by Markov's inequality; log10 of the evidence so far, (s,); windows in which the
            scatter of a stream was learned, (s,).
        """
        worth, bets = self._table(), gain.shape[1]
        worth[slots, :bets], log10_e, alone = settle(worth[slots, :bets], gain, weights)
        return np.minimum(np.power(10.0, -alone), 1.0), log10_e, self.scatter.windows(slots)

    def evict(self, gone: Flags) -> Ints:
        """Let go of keys, (k,) bool; return (s,) int64 the slots that are free now."""
        slots = self.slots.evict(gone)
        self.scatter.clear(slots)
        self._table()[slots] = 0.0
        return slots

    def _table(self) -> Singles:
        """Return a view, (s, a)."""
        return self._worth[: self._worth.size // self._bets * self._bets].reshape(-1, self._bets)

    def forget(self, streams: Ints) -> None:
        """Begin anew with the bets on streams, those among them that are known."""
        slots = self.slots.find(streams)
        self._table()[slots[slots != ABSENT]] = 0.0

    def learn(self, held: Flags) -> Flags:
        """Learn the scatter of the window just settled, except for the held streams; return which were learned."""
        noted = self.noted
        free = ~held_among(held, self.slots.streams[noted.slots].astype(np.int64)) & (noted.rows > 0)
        self.scatter.learn(noted.slots[free], noted.deviation[free], noted.variance[free], noted.rows[free])
        return free
