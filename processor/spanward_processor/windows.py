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
from spanward_processor.features import Rows
from spanward_processor.kernels.jit import Codes, Floats, Ints
from spanward_processor.kernels.tables import CellTable, add_rows, rehash

_SECOND_NS: Final = 1_000_000_000
_LONGEST_GAP: Final = 10_000  # empty windows worth telling detectors about; a longer gap is a new beginning
_FEWEST_OPEN: Final = 1024  # windows that may be open at once, more only where lateness asks for it
_SMALLEST: Final = 1 << 8  # places of a new window's table


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
        self._table = _table(_SMALLEST)
        self._examples: list[tuple[Ints, Floats, Codes]] = []

    def add(self, rows: Rows, p: Floats, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]], most: int) -> None:
        room = rows.keys.shape[0] * rows.bins.shape[0] * int(np.count_nonzero(chosen))
        size = self._table.streams.size
        while 2 * (int(self._table.used[0]) + room) > size and size < 4 * most:
            size *= 2
        if size > self._table.streams.size:
            larger = _table(size)
            rehash(self._table, larger)
            self._table = larger
        add_rows(rows.keys, rows.bins, chosen, most, self._table)
        self._keep_examples(rows, p, chosen)

    def _keep_examples(self, rows: Rows, p: Floats, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        for keys in rows.keys:
            places = np.flatnonzero(chosen & (keys >= 0))
            if places.size:
                best = places[_first_of_each(keys[places], p[places])]
                self._examples.append((keys[best], p[best], rows.traces[best]))

    def close(self, start_ns: int, end_ns: int) -> Window:
        used = self._table.streams >= 0
        cells = Cells.of(self._table.streams[used], self._table.bins[used], self._table.counts[used].astype(float))
        keys = np.concatenate([part[0] for part in self._examples] or [np.empty(0, np.int64)])
        p = np.concatenate([part[1] for part in self._examples] or [np.empty(0)])
        traces = np.concatenate([part[2] for part in self._examples] or [np.empty((0, 2), np.uint64)])
        first = _first_of_each(keys, p)
        return Window(start_ns, end_ns, cells, keys[first], p[first], traces[first])


def _table(size: int) -> CellTable:
    return CellTable(
        np.full(size, -1, np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(1, np.int64)
    )


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
        now = self._clock_ns()
        times = np.where(rows.time_ns > now + self._future, now, rows.time_ns)
        index = times // self._width
        late = times < self._closed_until
        for window in np.unique(index[~late])[::-1]:  # newest first, so that old times cannot crowd out the present
            chosen = (index == window) & ~late
            if window in self._open or len(self._open) < self._most_open:
                self._open.setdefault(int(window), _Open()).add(rows, p, chosen, self._most)
            else:
                late |= chosen
        newest = min(int(times.max()), now)
        if newest > self._newest:
            self._newest, self._seen_at = newest, self._monotonic_ns()
        return int(np.count_nonzero(late))

    def close(self, *, every: bool = False) -> list[Window]:
        """Close the windows whose time has come, oldest first, empty ones between them included.

        Args:
            every: Close all that hold rows, whatever the watermark says.
        """
        end = max(self._open, default=-1) + 1 if every else self.watermark_ns // self._width
        closed: list[Window] = []
        following = self._closed_until // self._width  # 0 before anything was closed
        for index in sorted(index for index in self._open if index < end):
            closed += self._empty(following, index)
            closed.append(self._open.pop(index).close(index * self._width, (index + 1) * self._width))
            following = index + 1
        closed += self._empty(following, end)
        self._closed_until = max(self._closed_until, end * self._width)
        return closed

    def _empty(self, first: int, end: int) -> list[Window]:
        """Return the windows of a gap; none before the first window ever, and none where the gap is too long."""
        if not first or end - first > _LONGEST_GAP:
            return []
        return [Window.empty(index * self._width, (index + 1) * self._width) for index in range(first, end)]
