"""Event-time windows: rows are counted where their time says, and a window closes when no more are awaited.

The watermark follows the newest event time less the allowed lateness; when nothing comes it follows the clock, so that
silence closes windows too. A sender whose clock is ahead cannot close windows for the others: the watermark never passes
the clock, and times beyond `future_s` from now are counted in the present. Nor can one whose clock is behind: how many
windows are open is bounded, and a long gap between two of them is not filled with empty ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from spanward_processor.cells import Cells
from spanward_processor.features import COUNTED, TALLIES, Rows
from spanward_processor.kernels.jit import Codes, Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS, add_rows, empty_table, keep_examples, rehash

_SECOND_NS: Final = 1_000_000_000
_LONGEST_GAP: Final = 10_000  # empty windows worth telling detectors about; a longer gap is a new beginning
_FEWEST_OPEN: Final = 1024  # windows that may be open at once, more only where lateness asks for it
_SMALLEST: Final = 1 << 8  # places of a new window's table
_NO_ROW: Final = 2.0  # stands for the p-value of a key without a row


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
    """

    start_ns: int
    end_ns: int
    cells: Cells
    example_keys: Ints
    example_p: Floats
    examples: Codes

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
        return Window(self.start_ns, self.end_ns, self.cells + other.cells, keys[first], p[first], traces[first])


def _first_of_each(keys: Ints, p: Floats) -> Ints:
    """Return where each key stands with its smallest p."""
    order = np.lexsort((p, keys))
    _, first = np.unique(keys[order], return_index=True)
    return np.asarray(order[first], np.int64)


class _Open:
    """One window that still takes rows."""

    def __init__(self) -> None:
        self._table = empty_table(_SMALLEST)
        self._tallies = np.zeros((0, len(TALLIES)), np.int64)
        self._best_p = np.full(0, _NO_ROW)
        self._best = np.zeros((0, 2), np.uint64)

    def add(self, rows: Rows, p: Floats, chosen: Flags | None, most: int) -> None:
        """Count the chosen rows; all of them where none are named."""
        chosen = np.ones(len(rows), bool) if chosen is None else chosen
        room = rows.keys.shape[0] * rows.bins.shape[0] * int(np.count_nonzero(chosen))
        size = self._table.cells.shape[0]
        while 2 * (int(self._table.used[0]) + room) > size and size < 4 * most:
            size *= 2
        if size > self._table.cells.shape[0]:
            larger = empty_table(size)
            rehash(self._table, larger)
            self._table = larger
        self._make_room(int(rows.keys.max(initial=-1)) + 1)
        places = np.empty((rows.keys.shape[0], rows.bins.shape[0]), np.int64)
        add_rows(rows.keys, rows.bins, chosen, COUNTED, most, self._table, self._tallies, places)
        keep_examples(rows.keys, p, rows.traces, chosen, self._best_p, self._best)

    def _make_room(self, keys: int) -> None:
        missing = keys - self._best_p.size
        if missing > 0:
            missing = max(missing, self._best_p.size)
            self._tallies = np.concatenate((self._tallies, np.zeros((missing, len(TALLIES)), np.int64)))
            self._best_p = np.concatenate((self._best_p, np.full(missing, _NO_ROW)))
            self._best = np.concatenate((self._best, np.zeros((missing, 2), np.uint64)))

    def _tallied(self) -> Ints:
        """Return (c, 3) int64 stream, bin and count of what was tallied."""
        keys, columns = np.nonzero(self._tallies)
        streams = keys << FEATURE_BITS | TALLIES[columns, 0]
        return np.stack((streams, TALLIES[columns, 1], self._tallies[keys, columns]), axis=1)

    def close(self, start_ns: int, end_ns: int) -> Window:
        used = np.concatenate((self._table.cells[self._table.cells[:, 0] >= 0], self._tallied()))
        cells = Cells.of(used[:, 0], used[:, 1], used[:, 2].astype(float))
        keys = np.flatnonzero(self._best_p < _NO_ROW)
        return Window(start_ns, end_ns, cells, keys, self._best_p[keys], self._best[keys])


@dataclass(frozen=True, slots=True)
class Due:
    """A window that takes no more rows, not yet sorted out.

    Args:
        start_ns: First nanosecond of event time in it.
        end_ns: First nanosecond after it.
        taken: Its rows, None where it has none.
    """

    start_ns: int
    end_ns: int
    taken: _Open | None

    def close(self) -> Window:
        """Return the window."""
        if self.taken is None:
            return Window.empty(self.start_ns, self.end_ns)
        return self.taken.close(self.start_ns, self.end_ns)


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
        self._lateness = int(lateness_s * _SECOND_NS)
        self._future = int(future_s * _SECOND_NS)
        self._most = most_cells
        self._most_open = max(_FEWEST_OPEN, (self._lateness + self._future) // self._width + 2)
        self._clock_ns = clock_ns
        self._monotonic_ns = monotonic_ns
        self._open: dict[int, _Open] = {}
        self._newest = 0  # newest event time seen
        self._seen_at = 0  # when it was seen, on the monotonic clock
        self._closed_until = 0  # end of the newest closed window

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
            self._newest, self._seen_at = newest, self._monotonic_ns()

    def due(self, *, every: bool = False) -> list[Due]:
        """Take out the windows whose time has come, oldest first, empty ones between them included.

        This is quick; what takes time is left to `Due.close`, so that rows of other windows need not wait for it.

        Args:
            every: Take all that hold rows, whatever the watermark says.
        """
        end = max(self._open, default=-1) + 1 if every else self.watermark_ns // self._width
        taken: list[Due] = []
        following = self._closed_until // self._width  # 0 before anything was closed
        for index in sorted(index for index in self._open if index < end):
            taken += self._empty(following, index)
            taken.append(Due(index * self._width, (index + 1) * self._width, self._open.pop(index)))
            following = index + 1
        taken += self._empty(following, end)
        self._closed_until = max(self._closed_until, end * self._width)
        return taken

    def close(self, *, every: bool = False) -> list[Window]:
        """Close the windows whose time has come; see `due`."""
        return [window.close() for window in self.due(every=every)]

    def _empty(self, first: int, end: int) -> list[Due]:
        """Return the windows of a gap; none before the first window ever, and none where the gap is too long."""
        if not first or end - first > _LONGEST_GAP:
            return []
        return [Due(index * self._width, (index + 1) * self._width, None) for index in range(first, end)]
