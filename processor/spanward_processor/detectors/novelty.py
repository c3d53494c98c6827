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
from spanward_processor.kernels.cells import find_known
from spanward_processor.kernels.jit import Flags, Floats, Ints, Narrow
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
        self._streams: Narrow = np.empty(0, np.int32)  # of each cell that was seen, sorted by stream and bin
        self._bins: Ints = np.empty(0, np.int64)
        self._newcomers = Newcomers()
        self._answer = _Answer.empty()

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        own: Arrays = {
            "windows": self._windows,
            "kinds": self._kinds,
            "new": self._new,
            "rows": self._rows,
            "streams": self._streams,
            "bins": self._bins,
        }
        return gathered(self._parts()) | copies(own)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        scattered(self._parts(), arrays)
        self._windows, self._kinds = arrays["windows"], arrays["kinds"]
        self._streams, self._bins = arrays["streams"], arrays["bins"]
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
        places, known = np.empty(len(cells), np.int64), np.empty(len(cells), bool)
        find_known(cells.streams, cells.bins, self._streams, self._bins, places, known)
        new: Flags = ~known
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
        return _Answer(streams, slots, rows, counted, expected, deviance, cells.where(new), places[new])

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
        room = _MOST_ALL - self._streams.size
        if not answer.places.size or answer.places.size > room:
            return
        few = self._kinds[answer.slots] < _MOST_KINDS
        self._kinds[answer.slots[few]] += answer.new[few].astype(np.int32)
        noted = np.isin(answer.cells.streams, answer.streams[few])
        places, cells = answer.places[noted], answer.cells.where(noted)
        self._streams = np.insert(self._streams, places, cells.streams)
        self._bins = np.insert(self._bins, places, cells.bins)

    def evict(self, gone: Flags) -> None:
        """Let go of keys; see `Detector.evict`."""
        slots = self._slots.evict(gone)
        self._dispersion.clear(slots)
        for array in (self._windows, self._kinds, self._new, self._rows):
            cleared(array, slots)
        kept = ~among(gone, self._streams >> FEATURE_BITS)
        self._streams, self._bins = self._streams[kept], self._bins[kept]

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


def _watched(window: Window, directory: KeyDirectory) -> Cells:
    """Return the cells of series, not of slices, in which something may be new."""
    cells = window.cells.of_features(*_WATCHED)
    return cells.where(directory.parents()[cells.keys] == cells.keys)


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
        places: (n,) int64 where they stand among the known.
    """

    streams: Ints
    slots: Ints
    rows: Floats
    new: Floats
    expected: Floats
    deviance: Floats
    cells: Cells
    places: Ints

    @classmethod
    def empty(cls) -> "_Answer":
        """Return the answer to nothing."""
        none, number = np.empty(0, np.int64), np.empty(0)
        return cls(none, none, number, number, number, number, Cells.empty(), none)
