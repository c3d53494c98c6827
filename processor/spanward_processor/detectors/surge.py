"""One rare decision that many rows suddenly take."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account, aspect_name
from spanward_processor.detectors.baseline import Baseline
from spanward_processor.evidence import cleared
from spanward_processor.features import FEATURES, Aspect, show_share
from spanward_processor.kept import Arrays, Kept, copies, gathered, scattered
from spanward_processor.kernels.jit import Flags, Floats, Ints, Singles
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.surprise import Surprise
from spanward_processor.usual.slots import ABSENT, Slots
from spanward_processor.usual.stakes import BETS, NOBODY, PLACES, Beside, Candidates, candidates, settled, tolerated
from spanward_processor.windows.window import Window

_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1
_LEAST_WORTH: Final = 1e-4  # of a stake, below which its place is free
_FADE: Final = 0.95  # per window, of the rows by which an item is described
_MOST_NAMED: Final = 3
_NAMED: Final = 0.1  # of the strongest item's evidence, from which another one is named beside it


class Surge:
    """Bet on every item that a window shows often, that the next windows will show it too often as well.

    After each window one unit is staked on its items, by their share of the rows; only stakes on items with more than they
    may have are kept. They are settled on later windows, as bets that the item has several times what it may. Who is staked on
    is known before those rows come, so each stake is worth no more on average than at first while nothing changes, and the sum
    of all is an e-detector in windows: whatever the number of items is, a hundred thousand or without end, and whoever they are.

    An item may have twice its usual share, and one percent. So what doubles within a half-life of the baseline is told, what
    takes longer is followed: new items that rise over hours are normal life. A window multiplies what a stake is worth by ten
    at most, however many rows it has: rows of one item that come at once count as little as they say.

    It reads what is usual from the baseline of the same judge, or, alone, from one of its own. Items with more than a twentieth
    of the rows are watched by `change`. A slice is tested from its first stake on: whoever tests a stream weakens what others
    hold against it.

    Args:
        learning: What "ready" takes.
        decay: Factor per window by which older windows count less.
        baseline: Who has tested each window before, and learns it; None for one of its own.

    Source:
        Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New England Journal of
        Statistics in Data Science, 2023, section 2 (sums of e-processes that start one after the other); Kelly, "A new
        interpretation of information rate", Bell System Technical Journal 35, 1956 (stakes by share).

    Cost:
        Per row nothing beyond counting; per window and key with decisions about 3 us; per such key 480 bytes.
    """

    name: ClassVar[str] = "surge"

    def __init__(self, learning: Learning, decay: float, baseline: Baseline | None = None) -> None:
        self.learning = learning
        self._alone = baseline is None
        self._baseline = baseline or Baseline(learning, decay)
        self._slots = Slots()
        self._items = np.empty((0, PLACES), np.int64)  # bins that are staked on, by slot, as all that follows
        self._worth: Singles = np.empty((0, PLACES, BETS), np.float32)
        self._hits: Singles = np.empty((0, PLACES), np.float32)  # faded rows of the item since it was staked on
        self._rows: Singles = np.empty((0, PLACES), np.float32)  # ... and of the stream
        self._usual: Singles = np.empty((0, PLACES), np.float32)  # its usual share, when it was staked on

    # --- keep --------------------------------------------------------------------------------------------------------

    def _parts(self) -> dict[str, Kept]:
        parts: dict[str, Kept] = {"slots": self._slots}
        return parts | {"baseline": self._baseline} if self._alone else parts

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        own: Arrays = {"items": self._items, "worth": self._worth, "hits": self._hits, "rows": self._rows}
        return gathered(self._parts()) | copies(own | {"usual": self._usual})

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._items, self._worth = arrays["items"], arrays["worth"]
        self._hits, self._rows, self._usual = arrays["hits"], arrays["rows"], arrays["usual"]

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window; see `Detector.test`."""
        if self._alone:
            self._baseline.learning = self.learning
            self._baseline.test(window, directory)
        compared = self._baseline.compared()
        chosen = np.flatnonzero(compared.streams & _FEATURE_MASK == Aspect.DECISION)
        every = Beside.of(compared.ranges[chosen], compared.seen, compared.usual)
        found, streams = candidates(every), compared.streams[chosen]
        tested = (self._slots.find(streams) != ABSENT) | _of_series(streams, directory)
        tested[found.owner] = True
        beside, streams = every.where(tested), streams[tested]
        slots = self._slots.admit(streams)
        self._grow(len(self._slots))
        p = self._settle(slots, beside)
        self._stake(slots, beside, found.owned(np.cumsum(tested) - 1))
        total = self._worth[slots].sum(axis=(1, 2), dtype=np.float64)
        return Surprise(streams, p, np.log10(np.maximum(total, 1e-300)))

    def _grow(self, slots: int) -> None:
        missing = slots - len(self._items)
        if missing > 0:
            self._items = np.concatenate((self._items, np.full((missing, PLACES), NOBODY, np.int64)))
            self._worth, self._hits, self._rows, self._usual = (
                np.concatenate((array, np.zeros((missing, *array.shape[1:]), np.float32)))
                for array in (self._worth, self._hits, self._rows, self._usual)
            )

    def _settle(self, slots: Ints, beside: Beside) -> Floats:
        """Settle all stakes; return the p-value of the window alone for each stream, (s,), by Markov's inequality."""
        owner, place = np.nonzero(self._items[slots] != NOBODY)
        at, rows = slots[owner], beside.rows[owner]
        seen, usual = beside.counts(self._items[at, place], owner)
        before = self._worth[at, place].astype(np.float64)
        now, grew = settled(before, seen, rows, tolerated(usual, beside.known[owner]))
        staked = before.sum(axis=1)
        paid = np.bincount(owner, staked * grew, slots.size)
        p: Floats = np.minimum(np.bincount(owner, staked, slots.size) / np.maximum(paid, 1e-300), 1.0)
        self._worth[at, place] = now
        self._hits[at, place] = _FADE * self._hits[at, place] + seen
        self._rows[at, place] = _FADE * self._rows[at, place] + rows
        lost = now.sum(axis=1) < _LEAST_WORTH
        self._items[at[lost], place[lost]] = NOBODY
        self._worth[at[lost], place[lost]] = 0.0
        return np.where(paid > 0, p, 1.0)

    def _stake(self, slots: Ints, beside: Beside, found: Candidates) -> None:
        """Stake on the items that have more than they may: again where they have a place, else in the place of the least."""
        at = slots[found.owner]
        same = self._items[at] == found.bins[:, None]
        known = same.any(axis=1)
        self._worth[at[known], same[known].argmax(axis=1)] += (found.share[known] / BETS)[:, None].astype(np.float32)
        new = found.where(~known)
        nth = np.arange(new.owner.size) - np.searchsorted(new.owner, new.owner)  # of its stream, the oddest first
        new, nth = new.where(nth < PLACES), nth[nth < PLACES]
        worth = self._worth[slots[new.owner]].sum(axis=2)
        place = np.argsort(worth, axis=1, kind="stable")[np.arange(nth.size), nth]
        more = new.share > worth[np.arange(nth.size), place]
        self._put(slots, beside, new.where(more), place[more])

    def _put(self, slots: Ints, beside: Beside, new: Candidates, place: Ints) -> None:
        at, rows = slots[new.owner], beside.rows[new.owner]
        self._items[at, place] = new.bins
        self._worth[at, place] = (new.share / BETS)[:, None]
        self._hits[at, place], self._rows[at, place] = new.share * rows, rows
        self._usual[at, place] = new.usual

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:
        """Learn the window just tested; see `Detector.learn`. What is usual is the baseline's."""
        if self._alone:
            self._baseline.learn(window, held)

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        if self._alone:
            self._baseline.evict(gone)
        slots = self._slots.evict(gone)
        cleared(self._items, slots, NOBODY)
        for array in (self._worth, self._hits, self._rows, self._usual):
            cleared(array, slots)

    def forget(self, streams: Ints) -> None:
        """Take back all stakes on streams; see `Accumulator.forget`."""
        slots = self._slots.find(streams)
        slots = slots[slots != ABSENT]
        self._items[slots], self._worth[slots] = NOBODY, 0.0

    # --- speak -------------------------------------------------------------------------------------------------------

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:
        """Name the items that surge, and their shares since they were staked on; see `Detector.explain`."""
        slot = self._slots.of(stream)
        worth = self._worth[slot].sum(axis=1)
        strongest = np.argsort(-worth, kind="stable")[:_MOST_NAMED]
        strongest = strongest[(worth[strongest] > _NAMED * worth.max()) & (self._items[slot][strongest] != NOBODY)]
        if not strongest.size:
            return self._baseline.explain(stream, window, directory, text)
        items, before = self._items[slot][strongest].tolist(), self._usual[slot][strongest].tolist()
        now = (self._hits[slot] / np.maximum(self._rows[slot], 1.0))[strongest].tolist()
        names = [f"'{text(item)}'" for item in items]
        observed = [f"{name} {show_share(share)}" for name, share in zip(names, now, strict=True)]
        baseline = [f"{name} {show_share(share)}" for name, share in zip(names, before, strict=True)]
        told = [f"{one} of rows, usually {show_share(share)}" for one, share in zip(observed, before, strict=True)]
        what = "A rare decision surges" if len(items) == 1 else "Rare decisions surge"
        return Account(
            kind=FEATURES[Aspect.DECISION].kind,
            aspect=aspect_name(Aspect.DECISION),
            observed=", ".join(observed),
            baseline=", ".join(baseline),
            reason=f"{what} at {directory[stream >> FEATURE_BITS]}: {'; '.join(told)}.",
            n=round(window.cells.stream(stream).total()),
            carriers=tuple((stream, item) for item in items),
        )


def _of_series(streams: Ints, directory: KeyDirectory) -> Flags:
    """Return (s,) bool which streams are of series, not of slices."""
    keys = streams >> FEATURE_BITS
    series: Flags = directory.parents()[keys] == keys
    return series
