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
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from spanward_processor.cells import Cells
from spanward_processor.features import COUNTED, LOGGED_FEATURES, Rows
from spanward_processor.kept import Arrays, copies, part, under
from spanward_processor.kernels.counting import (
    CELLS_FULL,
    KEYS_FULL,
    Tracks,
    add_rows,
    count_cells,
    order_cells,
)
from spanward_processor.kernels.jit import Codes, Flags, Floats, Ints
from spanward_processor.kernels.tables import CellTable, empty_table, rehash

Kind = TypeVar("Kind", bound="np.generic[Any]")

_SECOND_NS: Final = 1_000_000_000
_LONGEST_GAP: Final = 10_000  # empty windows worth telling detectors about; a longer gap is a new beginning
_FEWEST_OPEN: Final = 1024  # windows that may be open at once, more only where lateness asks for it
_STEPS_PER_WINDOW: Final = 10  # a clock that is set by less than a tenth of a window changes no rate that counts
_SMALLEST: Final = 1 << 8  # places of a new window's table
_FEWEST_TRACKS: Final = 64


@dataclass(frozen=True, slots=True)
class Window:
    """A closed window.

    Args:
        start_ns: First nanosecond of event time in it.
        end_ns: First nanosecond after it.
        cells: What was counted.
        example_keys: (k,) int64 keys that have an example row.
        example_p: (k,) float64 p-value of that row, the smallest of its key.
        examples: (k, 2) uint64 trace id of that row.
        whole: Whether its time was seen from end to end; else its rate says nothing.
    """

    start_ns: int
    end_ns: int
    cells: Cells
    example_keys: Ints
    example_p: Floats
    examples: Codes
    whole: bool = True

    @classmethod
    def empty(cls, start_ns: int, end_ns: int) -> Self:
        """Return a window in which nothing happened."""
        nothing = np.empty(0, np.int64)
        return cls(start_ns, end_ns, Cells.empty(), nothing, np.empty(0), np.empty((0, 2), np.uint64))

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end_ns - self.start_ns) / _SECOND_NS

    def example(self, key: int) -> str:
        """Return the hex trace id of the most surprising row of a key, or an empty string."""
        at = int(np.searchsorted(self.example_keys, key))
        if at == self.example_keys.size or self.example_keys[at] != key or not self.examples[at].any():
            return ""
        return f"{int(self.examples[at, 0]):016x}{int(self.examples[at, 1]):016x}"

    def __add__(self, other: "Window") -> "Window":
        """Return the window of two shards over the same time."""
        if (self.start_ns, self.end_ns) != (other.start_ns, other.end_ns):
            raise ValueError(f"window: only equal times merge, got {self.start_ns} and {other.start_ns}")
        keys = np.concatenate((self.example_keys, other.example_keys))
        p = np.concatenate((self.example_p, other.example_p))
        first = _first_of_each(keys, p)
        traces = np.concatenate((self.examples, other.examples))
        whole = self.whole and other.whole
        return Window(self.start_ns, self.end_ns, self.cells + other.cells, keys[first], p[first], traces[first], whole)


def _first_of_each(keys: Ints, p: Floats) -> Ints:
    """Return where each key stands with its smallest p."""
    order = np.lexsort((p, keys))
    _, first = np.unique(keys[order], return_index=True)
    return np.asarray(order[first], np.int64)


def _window_of(arrays: Mapping[str, NDArray[Any]]) -> Window:
    start_ns, end_ns, whole = (int(number) for number in arrays["times"])
    cells = Cells(arrays["streams"], arrays["bins"], arrays["counts"])
    return Window(start_ns, end_ns, cells, arrays["keys"], arrays["p"], arrays["traces"], bool(whole))


class _Open:
    """One window that still takes rows; it grows with the keys it sees and with what they show."""

    def __init__(self) -> None:
        self._table = empty_table(_SMALLEST)
        self._tracks = Tracks(
            places=np.full(0, -1, np.int32),
            kept=np.zeros((_FEWEST_TRACKS, 2), np.int32),
            tallies=np.zeros((_FEWEST_TRACKS, len(COUNTED.tallies)), np.int64),
            best_p=np.zeros(_FEWEST_TRACKS),
            best=np.zeros((_FEWEST_TRACKS, 2), np.uint64),
            rows=np.zeros((_FEWEST_TRACKS, LOGGED_FEATURES), np.int64),
            before=np.zeros(_FEWEST_TRACKS, np.int32),
            used=np.zeros(3, np.int64),
        )

    def add(self, rows: Rows, p: Floats, chosen: Flags | None, most: int) -> None:
        """Count the chosen rows; all of them where none are named."""
        chosen = np.ones(len(rows), bool) if chosen is None else chosen
        most_logged = most // LOGGED_FEATURES
        missing = int(rows.keys.max(initial=-1)) + 1 - self._tracks.places.size
        if missing > 0:
            more = np.full(max(missing, self._tracks.places.size // 4), -1, np.int32)
            self._tracks = self._tracks._replace(places=np.concatenate((self._tracks.places, more)))
        places = np.empty((rows.keys.shape[0], rows.bins.shape[0]), np.int64)
        row = 0
        while True:
            row = add_rows(
                rows.keys,
                rows.bins,
                p,
                rows.traces,
                chosen,
                COUNTED,
                most,
                most_logged,
                self._tracks,
                self._table,
                places,
                row,
            )
            if row == len(rows):
                return
            self._grow(int(self._tracks.used[2]), most_logged)

    def _grow(self, lack: int, most_logged: int) -> None:
        """Make twice the room for what ran out."""
        tracks = self._tracks
        if lack == CELLS_FULL:
            larger = empty_table(2 * self._table.cells.shape[0])
            rehash(self._table, larger)
            self._table = larger
        elif lack == KEYS_FULL:
            self._tracks = tracks._replace(
                kept=_doubled(tracks.kept),
                tallies=_doubled(tracks.tallies),
                best_p=_doubled(tracks.best_p),
                best=_doubled(tracks.best),
            )
        else:
            size = min(2 * tracks.before.size, max(most_logged, tracks.before.size))
            self._tracks = tracks._replace(rows=_doubled(tracks.rows, size), before=_doubled(tracks.before, size))

    def copy(self) -> "_Open":
        """Return the same rows in arrays that nobody else changes."""
        made = _Open()
        made._table = CellTable(**copies(self._table._asdict()))
        made._tracks = Tracks(**copies(self._tracks._asdict()))
        return made

    def close(self, start_ns: int, end_ns: int) -> Window:
        tracks = self._tracks
        ends = np.empty(int(tracks.used[0]), np.int64)
        room = count_cells(tracks, self._table, ends)
        cells = Cells(np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room))
        size = order_cells(tracks, self._table, COUNTED, ends, cells.streams, cells.bins, cells.counts)
        keys = np.flatnonzero(tracks.places >= 0)
        places = tracks.places[keys]
        return Window(start_ns, end_ns, cells.first(size), keys, tracks.best_p[places], tracks.best[places])


def _doubled(array: NDArray[Kind], size: int | None = None) -> NDArray[Kind]:
    """Return an array with twice the room, or with that of `size`."""
    larger = np.zeros((2 * array.shape[0] if size is None else size, *array.shape[1:]), array.dtype)
    larger[: array.shape[0]] = array
    return larger


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
    taken: _Open | None
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
            window = due.close()
            arrays |= under(
                f"open.{number}",
                {
                    "times": np.array([window.start_ns, window.end_ns, window.whole], np.int64),
                    "streams": window.cells.streams,
                    "bins": window.cells.bins,
                    "counts": window.cells.counts,
                    "keys": window.example_keys,
                    "p": window.example_p,
                    "traces": window.examples,
                },
            )
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
        self._open: dict[int, _Open] = {}
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
        if not self._newest:
            return 0
        idle = self._monotonic_ns() - self._seen_at
        return self._newest - self._lateness + (idle if idle > self._lateness else 0)

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
                self._open.setdefault(int(window), _Open()).add(rows, p, chosen, self._most)
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
            window = _window_of(part(f"open.{number}", arrays))
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

    def _due(self, index: int, taken: _Open | None, *, whole: bool = True) -> Due:
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
