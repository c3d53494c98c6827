"""Event-time windows: rows are counted where their time says, and a window closes when no more are awaited.

The watermark follows the newest event time less the allowed lateness; when nothing comes it follows the clock, so that
silence closes windows too. A sender whose clock is ahead cannot close windows for the others: the watermark never passes
the clock, and times beyond `future_s` from now are counted in the present. Nor can one whose clock is behind: how many
windows are open is bounded, and a long gap between two of them is not filled with empty ones.

Where everybody's clock was set, ours included, event time has a cut: what lies between the times before and after it never
was, so it is no silence, and the windows at the edges were not seen from end to end. That our clock was set is known from the
monotonic one, which never is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.features import Rows
from spanward_processor.kept import Arrays, part, under
from spanward_processor.kernels.jit import Floats
from spanward_processor.windows.open_window import OpenWindow
from spanward_processor.windows.window import Window

_SECOND_NS: Final = 1_000_000_000
_LONGEST_GAP: Final = 10_000  # empty windows worth telling detectors about; a longer gap is a new beginning
_FEWEST_OPEN: Final = 1024  # windows that may be open at once, more only where lateness asks for it
_STEPS_PER_WINDOW: Final = 10  # a clock that is set by less than a tenth of a window changes no rate that counts


@dataclass(frozen=True, slots=True)
class Due:
    """A window that takes no more rows, not yet sorted out.

    Args:
        start_ns: First nanosecond of event time in it.
        end_ns: First nanosecond after it.
        taken: Its rows, None where it has none.
        whole: Whether its time was seen from end to end.
        earlier: Rows that an earlier process took, None where there are none.
    """

    start_ns: int
    end_ns: int
    taken: OpenWindow | None
    whole: bool = True
    earlier: Window | None = None

    def close(self) -> Window:
        """Return the window."""
        if self.taken is None:
            window = Window.empty(self.start_ns, self.end_ns)
        else:
            window = self.taken.close(self.start_ns, self.end_ns)
        if self.earlier is not None:
            window += self.earlier
        return window if self.whole else replace(window, whole=False)


@dataclass(frozen=True, slots=True)
class Held:
    """The open windows at one moment, to be sorted out while others go on.

    Args:
        newest_ns: Newest event time seen.
        closed_until_ns: End of the newest closed window.
        open: The open windows.
    """

    newest_ns: int
    closed_until_ns: int
    open: tuple[Due, ...]

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        arrays: Arrays = {"times": np.array([self.newest_ns, self.closed_until_ns])}
        for number, due in enumerate(self.open):
            arrays |= under(f"open.{number}", due.close().arrays())
        return arrays | {"open": np.array([len(self.open)])}


class Windows:
    """The open windows, in event time.

    Args:
        width_s: Length of a window, seconds.
        lateness_s: How long after its end a window still waits, seconds of event time.
        future_s: How far ahead of the clock an event time may be, seconds.
        most_cells: Cells per window before new bins are counted as "other".
        clock_ns: Returns the time of day, Unix nanoseconds.
        monotonic_ns: Returns a clock that never steps, nanoseconds.
    """

    def __init__(
        self,
        *,
        width_s: float,
        lateness_s: float,
        future_s: float,
        most_cells: int,
        clock_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._width = int(width_s * _SECOND_NS)
        self.adopt(lateness_s=lateness_s, future_s=future_s, most_cells=most_cells)
        self._clock_ns = clock_ns
        self._monotonic_ns = monotonic_ns
        self._open: dict[int, OpenWindow] = {}
        self._newest = 0  # newest event time seen
        self._seen_at = 0  # when it was seen, on the monotonic clock
        self._closed_until = 0  # end of the newest closed window
        self._offset = clock_ns() - monotonic_ns()  # of the time of day, when it was last looked at
        self._set_ahead = 0  # how far our clock was set, less what event time has followed
        self._cuts: list[tuple[int, int]] = []  # first and last window at the edges of each cut
        self._left: list[Due] = []  # windows from before our clock was set back
        self._earlier: dict[int, Window] = {}  # what an earlier process took of windows that are open still

    def adopt(self, *, lateness_s: float, future_s: float, most_cells: int) -> None:
        """Keep to other bounds from now on; see the class."""
        self._lateness = int(lateness_s * _SECOND_NS)
        self._future = int(future_s * _SECOND_NS)
        self._most = most_cells
        self._most_open = max(_FEWEST_OPEN, (self._lateness + self._future) // self._width + 2)

    @property
    def width_ns(self) -> int:
        """Length of a window, nanoseconds."""
        return self._width

    @property
    def watermark_ns(self) -> int:
        """Event time before which nothing is awaited any more."""
        return self.now_ns - self._lateness if self._newest else 0

    @property
    def now_ns(self) -> int:
        """Event time now: the newest seen, and what has passed since where nothing comes; 0 before the first row."""
        if not self._newest:
            return 0
        idle = self._monotonic_ns() - self._seen_at
        return self._newest + (idle if idle > self._lateness else 0)

    def add(self, rows: Rows, p: Floats) -> int:
        """Count rows in their windows.

        Args:
            rows: The rows of one acknowledged batch.
            p: (n,) float64 p-value of each row.

        Returns:
            How many rows were late: their window has closed, or was never opened since too many are open.
        """
        if not len(rows):
            return 0
        self._look_at_clock()
        now = self._now()
        first_ns, last_ns = int(rows.time_ns.min()), int(rows.time_ns.max())
        window = first_ns // self._width
        if (
            last_ns <= now
            and window == last_ns // self._width
            and window in self._open
            and first_ns >= self._closed_until
        ):
            self._open[window].add(rows, p, None, self._most)  # the common case: all of one window
            self._note(last_ns)
            return 0
        times = np.where(rows.time_ns > now + self._future, now, rows.time_ns)
        if last_ns < self._closed_until and self._was_set_back(last_ns):
            self._begin_again(last_ns)
        index = times // self._width
        late = times < self._closed_until
        for window in np.unique(index[~late])[::-1]:  # newest first, so that old times cannot crowd out the present
            chosen = (index == window) & ~late
            if window in self._open or len(self._open) < self._most_open:
                self._open.setdefault(int(window), OpenWindow()).add(rows, p, chosen, self._most)
            else:
                late |= chosen
        self._note(min(int(times.max()), now))
        return int(np.count_nonzero(late))

    def _now(self) -> int:
        """Return the time of day, never one before what was seen: a clock that is set back makes nothing late."""
        clock = self._clock_ns()
        return max(clock, self._newest + self._monotonic_ns() - self._seen_at) if self._newest else clock

    def _note(self, newest: int) -> None:
        """Move on to an event time that was seen."""
        if newest > self._newest:
            ahead = newest - self._newest - (self._monotonic_ns() - self._seen_at)
            if self._newest and self._is_step(ahead) and self._follows_clock(ahead):
                self._cuts.append((self._newest // self._width, newest // self._width))
                self._set_ahead -= ahead
            self._newest, self._seen_at = newest, self._monotonic_ns()

    def _look_at_clock(self) -> None:
        """Note by how much our clock was set since it was last looked at."""
        offset = self._clock_ns() - self._monotonic_ns()
        if self._is_step(abs(offset - self._offset)):
            self._set_ahead += offset - self._offset
            self._offset = offset

    def _is_step(self, ahead: int) -> bool:
        """Return whether time went on by so much more than the monotonic clock that a window's rate shows it."""
        return ahead * _STEPS_PER_WINDOW > self._width

    def _follows_clock(self, ahead: int) -> bool:
        """Return whether event time went ahead because our clock was set; requests do not come evenly."""
        return self._is_step(self._set_ahead) and ahead > self._set_ahead - max(self._width, self._lateness)

    def _was_set_back(self, newest: int) -> bool:
        """Return whether rows are late only because our clock was set back, and theirs with it."""
        clock = self._clock_ns()
        return clock < self._closed_until and newest > clock - self._lateness - self._width

    def _begin_again(self, newest: int) -> None:
        """Begin anew at an event time before what has closed; what is open closes as it is."""
        for index in sorted(self._open.keys() | self._earlier.keys()):
            self._left.append(self._due(index, self._open.pop(index, None), whole=False))
        self._earlier.clear()
        self._newest, self._seen_at = newest, self._monotonic_ns()
        self._closed_until = max(0, newest - self._lateness) // self._width * self._width
        self._cuts = [(self._closed_until // self._width, newest // self._width)]
        self._set_ahead = 0

    def held(self) -> Held:
        """Return a copy of what is open, which is quick; sorting it out is left to `Held.arrays`."""
        indexes = sorted(self._open.keys() | self._earlier.keys())
        taken = {index: self._open[index].copy() if index in self._open else None for index in indexes}
        due = (self._due(index, taken[index], whole=not self._is_cut(index)) for index in indexes)
        return Held(self._newest, self._closed_until, (*self._left, *due))

    def restore(self, arrays: Mapping[str, NDArray[Any]], *, away_ns: int, complete: bool) -> None:
        """Take back what `Held.arrays` gave, at the start of another process.

        Args:
            arrays: What it gave.
            away_ns: Time from then until now, in which nothing was counted.
            complete: Whether everything acknowledged before that time was counted.
        """
        self._newest, self._closed_until = (int(time_ns) for time_ns in arrays["times"])
        self._seen_at = self._monotonic_ns()
        for number in range(int(arrays["open"][0])):
            window = Window.of(part(f"open.{number}", arrays))
            self._earlier[window.start_ns // self._width] = window
        if self._newest and (self._is_step(away_ns) or not complete):
            first = self._newest if complete else min(self._closed_until or self._newest, self._newest)
            last = self._newest + away_ns + self._lateness
            self._cuts = [(first // self._width, last // self._width)]

    def due(self, *, every: bool = False) -> list[Due]:
        """Take out the windows whose time has come, oldest first, empty ones between them included.

        This is quick; what takes time is left to `Due.close`, so that rows of other windows need not wait for it.

        Args:
            every: Take all that hold rows, whatever the watermark says.
        """
        end = max((*self._open, *self._earlier), default=-1) + 1 if every else self.watermark_ns // self._width
        taken, self._left = self._left, []
        following = self._closed_until // self._width  # 0 before anything was closed
        for index in sorted(index for index in self._open.keys() | self._earlier.keys() if index < end):
            taken += self._empty(following, index)
            taken.append(self._due(index, self._open.pop(index, None), whole=not self._is_cut(index)))
            self._earlier.pop(index, None)
            following = index + 1
        taken += self._empty(following, end)
        self._closed_until = max(self._closed_until, end * self._width)
        self._cuts = [cut for cut in self._cuts if cut[1] * self._width >= self._closed_until]
        return taken

    def _due(self, index: int, taken: OpenWindow | None, *, whole: bool = True) -> Due:
        return Due(index * self._width, (index + 1) * self._width, taken, whole, self._earlier.get(index))

    def _is_cut(self, index: int) -> bool:
        """Return whether a window's time was not seen from end to end."""
        return any(first <= index <= last for first, last in self._cuts)

    def close(self, *, every: bool = False) -> list[Window]:
        """Close the windows whose time has come; see `due`."""
        return [window.close() for window in self.due(every=every)]

    def _empty(self, first: int, end: int) -> list[Due]:
        """Return the windows of a gap; none before the first window ever, in a cut, and where the gap is too long."""
        if not first or end - first > _LONGEST_GAP:
            return []
        return [self._due(index, None) for index in range(first, end) if not self._is_cut(index)]
