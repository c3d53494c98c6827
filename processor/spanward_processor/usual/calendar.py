"""What streams looked like after they turned, by the hour in which they did: weekends and nightly jobs come again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kept import Arrays, copies, part, under
from spanward_processor.kernels.cells import Packed, learn_cells
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import among
from spanward_processor.usual.bags import Gathered
from spanward_processor.windows.cells import room_for, some_of, starts_of, trim, without

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
MOST_CELLS: Final = 250_000  # of all pages, 16 bytes each; beyond that the page that was of use longest ago goes

_HOUR_S: Final = 3_600
_BEFORE_S: Final = 2 * _HOUR_S  # that a stream may turn earlier than the last time
_AFTER_S: Final = 6 * _HOUR_S  # ... or later, with the time that the baseline takes to follow
_WRITTEN_S: Final = 2 * _HOUR_S  # after the hour, in which it is noted what its streams look like
_NEWEST_S: Final = 1_200.0  # half-life of what is noted: a turn may take an hour itself
_KEPT_S: Final = {DAY_S: 8 * DAY_S, WEEK_S: 4 * WEEK_S + DAY_S}  # without use, by the time after which it comes again
_LONGEST_S: Final = 3 * DAY_S  # that a turn says something about what follows: a long weekend
_NEGLIGIBLE: Final = 1e-3  # rows below which a cell is forgotten


@dataclass(slots=True, eq=False)
class Page:
    """The streams that turned in one hour, and what they looked like after it.

    Args:
        hour: Hours since 1970.
        used_s: Event time at which it was of use last.
        cells: By subject, see `KeyDirectory.by_subject`.
        open: (s,) int64 streams, by subject, ascending, of which it is still noted what they look like.
    """

    hour: int
    used_s: float
    cells: Packed = field(default_factory=lambda: room_for(0))
    open: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def shape(self, subjects: Ints) -> Gathered:
        """Return what (s,) int64 streams looked like, by subject, nothing where they are not on the page."""
        return Gathered(self.cells, subjects.astype(np.int32))


Cycle = tuple[Page, ...]
"""Pages of one earlier day or week."""


class Calendar:
    """Remembers, of streams about which an alarm began or ended, what they looked like for two hours after that.

    At about the same time of a later week, or day, that is what they may turn to again. One page holds the streams of one hour.
    Versions of a model share its pages: a deployment does not begin anew.
    """

    def __init__(self) -> None:
        self._pages: list[Page] = []  # oldest first

    @property
    def is_open(self) -> bool:
        """Whether it is still noted of any stream what it looks like."""
        return any(page.open.size for page in self._pages)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        arrays: Arrays = {
            "hours": np.array([page.hour for page in self._pages], np.int64),
            "used_s": np.array([page.used_s for page in self._pages]),
        }
        for number, page in enumerate(self._pages):
            arrays |= under(f"page{number}", copies(page.cells._asdict()) | {"open": page.open.copy()})
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._pages = []
        for number, (hour, used_s) in enumerate(zip(arrays["hours"].tolist(), arrays["used_s"].tolist(), strict=True)):
            columns = part(f"page{number}", arrays)
            is_open = columns.pop("open")
            self._pages.append(Page(hour, used_s, Packed(**columns), is_open))

    def evict(self, gone: Flags) -> None:
        """Let go of keys, (k,) bool."""
        for page in self._pages:
            page.cells = without(page.cells, gone)
            page.open = page.open[~among(gone, page.open >> FEATURE_BITS)]

    # --- write -------------------------------------------------------------------------------------------------------

    def turn(self, subjects: Ints, time_s: float) -> None:
        """Note that streams, (s,) int64 by subject, turned."""
        hour = int(time_s // _HOUR_S)
        for page in self._pages:  # what they look like from now on is another thing
            page.open = page.open[~np.isin(page.open, subjects)]
        if not self._pages or self._pages[-1].hour < hour:
            self._pages.append(Page(hour, time_s))
        page = self._pages[-1]
        page.open = np.union1d(page.open, subjects)
        page.cells = some_of(page.cells, ~np.isin(page.cells.streams, subjects))

    def write(self, cells: Packed, subjects: Ints, time_s: float, seconds: float) -> None:
        """Note what streams look like that turned a while ago.

        Args:
            cells: (c,) of a window.
            subjects: (c,) int64 the stream of each by subject.
            time_s: Event time.
            seconds: Length of the window.
        """
        self._expire(time_s)
        for page in self._pages:
            if page.open.size and time_s > (page.hour + 1) * _HOUR_S + _WRITTEN_S:
                page.open = page.open[:0]
            if page.open.size:
                page.cells = _followed(page, cells, subjects, 0.5 ** (seconds / _NEWEST_S))

    def _expire(self, time_s: float) -> None:
        """Forget pages that were of no use for long, and those that there is no room for."""
        kept = [page for page in self._pages if time_s - page.used_s < _KEPT_S[WEEK_S]]
        while sum(page.cells.streams.size for page in kept) > MOST_CELLS:
            kept.remove(min(kept, key=lambda page: page.used_s))
        self._pages = kept

    # --- read --------------------------------------------------------------------------------------------------------

    def turns(self, time_s: float, period_s: int) -> Sequence[Cycle]:
        """Return the pages of turns at about this time of earlier days or weeks, by day or week.

        Args:
            time_s: Event time.
            period_s: `DAY_S` or `WEEK_S`.
        """
        return list(self._cycles(time_s + _BEFORE_S, period_s, _BEFORE_S + _AFTER_S))

    def since(self, time_s: float) -> Sequence[Cycle]:
        """Return the pages of turns up to about this time of earlier weeks, and some days before, by week."""
        return list(self._cycles(time_s + _BEFORE_S, WEEK_S, _BEFORE_S + _LONGEST_S))

    def _cycles(self, until_s: float, period_s: int, within_s: float) -> Iterator[Cycle]:
        """Yield the pages of each earlier period whose hour began at most so long before it was as late in it as `until_s`."""
        by_cycle: dict[int, list[Page]] = {}
        for page in reversed(self._pages):
            age_s = until_s - page.hour * _HOUR_S
            cycle = int(age_s // period_s)
            if cycle > 0 and age_s - cycle * period_s < within_s and until_s - page.used_s < _KEPT_S[period_s]:
                by_cycle.setdefault(cycle, []).append(page)
        yield from (tuple(pages) for pages in by_cycle.values())


def _followed(page: Page, cells: Packed, subjects: Ints, stays: float) -> Packed:
    """Return a page's cells after a window."""
    chosen = np.isin(subjects, page.open)
    owners, bins, counts = subjects[chosen], cells.bins[chosen], cells.counts[chosen]
    order = np.lexsort((bins, owners))
    owners, bins, counts = owners[order], bins[order], counts[order]
    if not owners.size:
        return page.cells
    new = np.flatnonzero(np.append(True, (np.diff(owners) != 0) | (np.diff(bins) != 0)))  # versions add up
    seen = Packed(owners[new].astype(np.int32), bins[new], np.add.reduceat(counts, new))
    streams = int(np.unique(seen.streams).size)
    to = room_for(page.cells.streams.size + new.size)
    every, rows = np.ones(streams, bool), np.empty(streams)
    starts = starts_of(seen, streams)
    return trim(to, learn_cells(page.cells, seen, starts, every, np.full(streams, stays), _NEGLIGIBLE, to, rows))


def are_on(cycles: Sequence[Cycle], subjects: Ints) -> Flags:
    """Return (s,) bool which streams, by subject, are on pages of any of the cycles."""
    pages = [page.cells.streams for cycle in cycles for page in cycle]
    return np.isin(subjects, np.concatenate(pages)) if pages else np.zeros(subjects.size, bool)


def use(cycles: Sequence[Cycle], subjects: Ints, time_s: float) -> None:
    """Note at an event time that pages were of use to streams, (s,) int64 by subject."""
    for page in (page for cycle in cycles for page in cycle):
        if np.isin(subjects, page.cells.streams).any():
            page.used_s = time_s


def twice(by_cycle: Sequence[Floats]) -> Floats:
    """Return (s,) float64 the second least of what streams have by cycle, of which there are two or more.

    What happened once may have been an incident; what happened twice at about the same time is usual at that time.
    """
    return np.asarray(np.partition(np.array(by_cycle), 1, axis=0)[1])
