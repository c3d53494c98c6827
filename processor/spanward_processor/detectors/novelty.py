"""Things never seen before: decisions and clients of a model, and, as a mere note, versions, models and slices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account, aspect_name
from spanward_processor.evidence import Dispersion, cleared, grown
from spanward_processor.features import FEATURES, Aspect
from spanward_processor.findings import Finding
from spanward_processor.held import held_among
from spanward_processor.kept import Arrays, Kept, copies, gathered, scattered
from spanward_processor.kernels.jit import Codes, Flags, Floats, Ints, Narrow
from spanward_processor.kernels.tables import FEATURE_BITS, OTHER
from spanward_processor.keys import KeyDirectory, among
from spanward_processor.surprise import Surprise
from spanward_processor.usual.newcomers import Newcomers
from spanward_processor.usual.slots import Slots
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.window import Window

_LONGER: Final = (
    24  # half-lives of a baseline in which the rate of news fades by half: what is rare needs a long memory
)
_MOST_KINDS: Final = 20_000  # of one stream; one that shows more has news all day long, and is judged no more
_MOST_ALL: Final = 1_000_000  # of all streams together
_MOST_NAMED: Final = 5
_MOST_CARRIERS: Final = 64
_FEATURE_MASK: Final = (1 << FEATURE_BITS) - 1
_WATCHED: Final = (Aspect.DECISION, Aspect.CLIENT)
_NOUNS: Final = {Aspect.DECISION: ("decision", "decisions"), Aspect.CLIENT: ("client", "clients")}
_MIXERS: Final = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)


class Novelty:
    """Compare how many decisions and clients of a series are seen for the first time with how often that happens.

    Each is new once, in the window in which it comes first, whatever becomes of that window. How probable it is that the next
    row brings a new one is learned for each series: where labels never end, a new one says nothing; where there was
    none in a million rows, two within a minute say much. That one alone is no alarm is meant so: it is one event.

    A series with more than 20,000 of a sort is not judged. A version, a model or a slice that comes after others were learned is told
    once, as information: it is no alarm, and has no evidence.

    Args:
        learning: What "ready" takes; the first windows teach what there is, as many again how often there is more.
        decay: Factor per window by which older windows count less; here its 24th root, since news is rare.

    Source:
        Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40, 1953 (the probability
        that the next one is new); McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, section 4.5 (scatter).

    Cost:
        Per row nothing beyond counting; per window and series about 3 us, and 20 ns per decision and client; per series 60 bytes, and
        12 for each decision and client.
    """

    name: ClassVar[str] = "novelty"

    def __init__(self, learning: Learning, decay: float) -> None:
        self.learning = learning
        self._decay = decay ** (1 / _LONGER)
        self._slots = Slots()
        self._dispersion = Dispersion(self._decay)  # by slot, as all that follows
        self._windows: Narrow = np.zeros(0, np.int32)
        self._kinds: Narrow = np.zeros(0, np.int32)  # known of a stream
        self._new = np.zeros(0)  # decayed, after the first windows
        self._rows = np.zeros(0)  # decayed, after the first windows
        self._known: Codes = np.empty(0, np.uint64)  # sorted marks of stream and bin
        self._owners: Narrow = np.empty(0, np.int32)  # the stream of each mark
        self._newcomers = Newcomers()
        self._answer = _Answer.empty()

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        own: Arrays = {
            "windows": self._windows,
            "kinds": self._kinds,
            "new": self._new,
            "rows": self._rows,
            "known": self._known,
            "owners": self._owners,
        }
        return gathered(self._parts()) | copies(own)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._windows, self._kinds = arrays["windows"], arrays["kinds"]
        self._known, self._owners = arrays["known"], arrays["owners"]
        self._new, self._rows = arrays["new"], arrays["rows"]

    def _parts(self) -> dict[str, Kept]:
        return {"slots": self._slots, "dispersion": self._dispersion, "newcomers": self._newcomers}

    # --- test --------------------------------------------------------------------------------------------------------

    def test(self, window: Window, directory: KeyDirectory) -> Surprise:
        """Judge a window; see `Detector.test`."""
        self._answer = answer = self._answer_of(_watched(window, directory))
        slots = answer.slots
        ready = (
            (self._windows[slots] >= 2 * self.learning.windows)
            & (self._rows[slots] >= self.learning.rows)
            & (self._kinds[slots] < _MOST_KINDS)
        )
        tested = slots[ready]
        p = self._dispersion.p_values(tested, answer.deviance[ready], np.ones(tested.size))
        return Surprise(answer.streams[ready], p)

    def news(self, window: Window, directory: KeyDirectory) -> Sequence[Finding]:
        """Return the versions, models and slices of a window that are new; see `Herald.news`."""
        return self._newcomers.see(window, directory, self.learning, self.name)

    def _answer_of(self, cells: Cells) -> "_Answer":
        marks = _marks(cells)
        order = np.argsort(marks)  # ascending, so that the search goes through what is known once
        new = np.empty(marks.size, bool)
        new[order] = ~_are_known(self._known, marks[order])
        starts = cells.starts()[:-1]
        streams = cells.streams[starts]
        slots = self._slots.admit(streams)
        self._grow(len(self._slots))
        if not starts.size:
            return _Answer.empty()
        rows, counted = np.add.reduceat(cells.counts, starts), np.add.reduceat(new.astype(np.float64), starts)
        expected = rows * (self._new[slots] + 0.5) / (self._rows[slots] + 1.0)
        excess = counted * np.log(np.maximum(counted, 1.0) / expected) - (counted - expected)
        deviance = np.where(counted > expected, 2 * excess, 0.0)
        fresh = order[new[order]]
        owners = cells.streams[fresh].astype(np.int32)
        return _Answer(streams, slots, rows, counted, expected, deviance, cells.where(new), marks[fresh], owners)

    def _grow(self, slots: int) -> None:
        self._dispersion.grow(slots)
        self._windows, self._kinds = grown(self._windows, slots), grown(self._kinds, slots)
        self._new, self._rows = grown(self._new, slots), grown(self._rows, slots)

    # --- learn -------------------------------------------------------------------------------------------------------

    def learn(self, window: Window, held: Flags) -> None:  # noqa: ARG002 - it was kept by `test`
        """Learn the window just tested; see `Detector.learn`. What was new is new no more, even while it is held."""
        answer = self._answer
        self._note(answer)
        free = ~held_among(held, answer.streams)
        slots = answer.slots[free]
        later = self._windows[slots] >= self.learning.windows
        self._windows[slots] += 1
        slots, at = slots[later], np.flatnonzero(free)[later]
        self._dispersion.learn(slots, answer.deviance[at], np.ones(slots.size))
        self._new[slots] = self._decay * self._new[slots] + answer.new[at]
        self._rows[slots] = self._decay * self._rows[slots] + answer.rows[at]

    def _note(self, answer: "_Answer") -> None:
        room = _MOST_ALL - self._known.size
        if not answer.marks.size or answer.marks.size > room:
            return
        few = self._kinds[answer.slots] < _MOST_KINDS
        self._kinds[answer.slots[few]] += answer.new[few].astype(np.int32)
        noted = np.isin(answer.owners, answer.streams[few])
        places = np.searchsorted(self._known, answer.marks[noted])
        self._known = np.insert(self._known, places, answer.marks[noted])
        self._owners = np.insert(self._owners, places, answer.owners[noted])

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        slots = self._slots.evict(gone)
        self._dispersion.clear(slots)
        for array in (self._windows, self._kinds, self._new, self._rows):
            cleared(array, slots)
        kept = ~among(gone, self._owners >> FEATURE_BITS)
        self._known, self._owners = self._known[kept], self._owners[kept]

    # --- speak -------------------------------------------------------------------------------------------------------

    def explain(self, stream: int, window: Window, directory: KeyDirectory, text: Callable[[int], str]) -> Account:  # noqa: ARG002 - it was kept by `test`
        """Put a stream's deviation into words; see `Detector.explain`."""
        aspect, at = Aspect(stream & _FEATURE_MASK), int(np.searchsorted(self._answer.streams, stream))
        bins = self._answer.cells.stream(stream).bins.tolist()
        one, many = _NOUNS[aspect]
        count, rows = len(bins), round(float(self._answer.rows[at]))
        names = ", ".join(f"'{text(cell_bin)}'" for cell_bin in bins[:_MOST_NAMED] if cell_bin != OTHER)
        more = f" and {count - _MOST_NAMED} more" if count > _MOST_NAMED else ""
        usual = _seldom(float(self._answer.expected[at]), one, many)
        return Account(
            kind=FEATURES[aspect].kind,
            aspect=aspect_name(aspect),
            observed=f"{count} new {one if count == 1 else many}",
            baseline=usual,
            reason=(
                f"{count} {one if count == 1 else many} never seen before at {directory[stream >> FEATURE_BITS]}"
                f"{': ' if names else ''}{names}{more}, among {rows:,} rows; usually {usual}."
            ),
            n=rows,
            carriers=tuple((stream, cell_bin) for cell_bin in bins[:_MOST_CARRIERS]),
            client=text(bins[0]) if aspect is Aspect.CLIENT and count == 1 and bins[0] != OTHER else "",
        )


def _are_known(known: Codes, marks: Codes) -> Flags:
    """Return (m,) bool which of ascending marks are known, ascending too."""
    if not known.size:
        return np.zeros(marks.size, bool)
    at = np.minimum(np.searchsorted(known, marks), known.size - 1)
    found: Flags = known[at] == marks
    return found


def _watched(window: Window, directory: KeyDirectory) -> Cells:
    """Return the cells of series, not of slices, in which something may be new."""
    cells = window.cells.of_features(*_WATCHED)
    return cells.where(directory.parents()[cells.keys] == cells.keys)


def _marks(cells: Cells) -> Codes:
    """Return (c,) uint64 one number for stream and bin; two that are equal by chance would hide one novelty."""
    mixed = (cells.streams.astype(np.uint64) * _MIXERS[0]) ^ (cells.bins.astype(np.uint64) * _MIXERS[1])
    marks: Codes = (mixed ^ (mixed >> np.uint64(31))) * _MIXERS[2]
    return marks


def _seldom(expected: float, one: str, many: str) -> str:
    """Say how often there is something new, expected in one window."""
    if expected >= 1:
        return f"{expected:,.0f} new {one if round(expected) == 1 else many} in as many rows"
    return f"one new {one} in {1 / expected:,.0f} such windows"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a window was found to be, until it is learned; by stream.

    Args:
        streams: (s,) int64.
        slots: (s,) int64.
        rows: (s,) float64.
        new: (s,) float64 how many are seen for the first time.
        expected: (s,) float64 how many usually are, among as many rows.
        deviance: (s,) float64.
        cells: The new ones.
        marks: (n,) uint64 their marks, ascending.
        owners: (n,) int32 the stream of each mark.
    """

    streams: Ints
    slots: Ints
    rows: Floats
    new: Floats
    expected: Floats
    deviance: Floats
    cells: Cells
    marks: Codes
    owners: Narrow

    @classmethod
    def empty(cls) -> "_Answer":
        """Return the answer to nothing."""
        none, number = np.empty(0, np.int64), np.empty(0)
        marks, owners = np.empty(0, np.uint64), np.empty(0, np.int32)
        return cls(none, none, number, number, number, number, Cells.empty(), marks, owners)
