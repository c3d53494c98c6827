"""A window that still takes rows; it grows with the keys it sees and with what they show."""

from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from spanward_processor.features import COUNTED, LOGGED_FEATURES, MARKED, NUMBERS, Rows
from spanward_processor.kept import copies
from spanward_processor.kernels.closing import count_cells, order_cells
from spanward_processor.kernels.counting import (
    CELLS_FULL,
    KEYS_FULL,
    LACK,
    LOG_FULL,
    STRIP,
    TRACKS,
    Most,
    Tracks,
    add_rows,
)
from spanward_processor.kernels.jit import Flags, Floats
from spanward_processor.kernels.sampling import SAMPLED, TOLD, Drawn, order_sample, sample_rows
from spanward_processor.kernels.tables import MISSING, CellTable, empty_table, rehash
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.sample import Sample
from spanward_processor.windows.window import Window

Kind = TypeVar("Kind", bound="np.generic[Any]")

_SMALLEST: Final = 1 << 8  # places of a new window's table
_FEWEST_TRACKS: Final = 64
_FEWEST_STRIPS: Final = 8  # keys that have them
_STRIPS: Final = int(COUNTED.strip.max()) + 1  # of a key
_CELLS_PER_PLACE: Final = 4  # there may be one place in strips, 2 bytes, for so many cells that a window may have


class OpenWindow:
    """One window that still takes rows."""

    def __init__(self) -> None:
        self._table = empty_table(_SMALLEST)
        self._tracks = Tracks(
            places=np.full(0, -1, np.int32),
            kept=np.zeros((_FEWEST_TRACKS, 2), np.int32),
            tallies=np.zeros((_FEWEST_TRACKS, len(COUNTED.tallies)), np.int32),
            best_p=np.zeros(_FEWEST_TRACKS),
            best=np.zeros((_FEWEST_TRACKS, 2), np.uint64),
            rows=np.zeros((_FEWEST_TRACKS, LOGGED_FEATURES), np.int64),
            before=np.zeros(_FEWEST_TRACKS, np.int32),
            lows=np.zeros((0, _STRIPS), np.int64),
            strips=np.zeros((0, _STRIPS * STRIP), np.uint16),
            used=np.zeros(4, np.int64),
        )
        self._drawn = Drawn(
            heads=np.zeros((_FEWEST_TRACKS, 2), np.int32),
            worst=np.zeros(_FEWEST_TRACKS, np.uint64),
            ranks=np.zeros(_FEWEST_TRACKS, np.uint64),
            values=np.zeros((_FEWEST_TRACKS, NUMBERS.size), np.int16),
            marks=np.zeros((_FEWEST_TRACKS, 0), np.int64),
            measured=np.zeros((_FEWEST_TRACKS, 1 + TOLD), np.float32),
            routes=np.zeros(_FEWEST_TRACKS, np.int32),
            before=np.zeros(_FEWEST_TRACKS, np.int32),
            used=np.zeros(1, np.int64),
        )

    def add(self, rows: Rows, p: Floats, chosen: Flags | None, most: int) -> None:
        """Count the chosen rows; all of them where none are named."""
        chosen = np.ones(len(rows), bool) if chosen is None else chosen
        bounds = Most(most, most // LOGGED_FEATURES, most // (_CELLS_PER_PLACE * _STRIPS * STRIP))
        missing = int(rows.keys.max(initial=-1)) + 1 - self._tracks.places.size
        if missing > 0:
            more = np.full(max(missing, self._tracks.places.size // 4), -1, np.int32)
            self._tracks = self._tracks._replace(places=np.concatenate((self._tracks.places, more)))
        asked = np.empty((2, rows.keys.shape[0] * rows.bins.shape[0], 4), np.int64)
        row = 0
        while True:
            row = add_rows(
                rows.keys,
                rows.bins,
                p,
                rows.traces,
                chosen,
                COUNTED,
                bounds,
                self._tracks,
                self._table,
                asked,
                row,
            )
            if row == len(rows):
                break
            self._grow(int(self._tracks.used[LACK]), bounds)
        self._grow_sample(len(rows), bounds.logged)
        self._mark_sample(rows.keys.shape[0] - 1)
        tracked = self._tracks.places
        spoken, drawn = rows.spoken, self._drawn
        sample_rows(rows.keys, rows.bins, NUMBERS, MARKED, rows.time_ns, rows.traces, spoken, chosen, tracked, drawn)

    def _mark_sample(self, slices: int) -> None:
        """Keep slices and marked features of sampled rows, where several attributes slice them."""
        drawn = self._drawn
        if slices > 1 and not drawn.marks.shape[1]:
            self._drawn = drawn._replace(marks=np.zeros((drawn.ranks.size, slices + MARKED.size), np.int64))

    def _grow_sample(self, rows: int, most: int) -> None:
        """Make room for as many more rows in the sample, if there may be so many, and for all tracks."""
        drawn, tracks = self._drawn, self._tracks.kept.shape[0]
        if drawn.worst.size < tracks:
            self._drawn = drawn = drawn._replace(
                heads=_doubled(drawn.heads, tracks), worst=_doubled(drawn.worst, tracks)
            )
        used, tracked = int(drawn.used[0]), int(self._tracks.used[TRACKS])
        size = min(used + min(rows, SAMPLED * tracked - used), most)
        if size > drawn.ranks.size:
            size = min(max(size, 2 * drawn.ranks.size), most)
            self._drawn = drawn._replace(
                ranks=_doubled(drawn.ranks, size),
                values=_doubled(drawn.values, size),
                marks=_doubled(drawn.marks, size),
                measured=_doubled(drawn.measured, size),
                routes=_doubled(drawn.routes, size),
                before=_doubled(drawn.before, size),
            )

    def _grow(self, lack: int, most: Most) -> None:
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
        elif lack == LOG_FULL:
            size = min(2 * tracks.before.size, most.logged)
            self._tracks = tracks._replace(rows=_doubled(tracks.rows, size), before=_doubled(tracks.before, size))
        else:
            size = min(max(2 * tracks.lows.shape[0], _FEWEST_STRIPS), most.strips)
            lows = _doubled(tracks.lows, size)
            lows[tracks.lows.shape[0] :] = MISSING
            self._tracks = tracks._replace(lows=lows, strips=_doubled(tracks.strips, size))

    def copy(self) -> "OpenWindow":
        """Return the same rows in arrays that nobody else changes."""
        made = OpenWindow()
        made._table = CellTable(**copies(self._table._asdict()))
        made._tracks = Tracks(**copies(self._tracks._asdict()))
        made._drawn = Drawn(**copies(self._drawn._asdict()))
        return made

    def close(self, start_ns: int, end_ns: int) -> Window:
        """Return the window of what was taken.

        Args:
            start_ns: First nanosecond of event time in it.
            end_ns: First nanosecond after it.
        """
        tracks = self._tracks
        ends = np.empty(int(tracks.used[TRACKS]), np.int64)
        room = count_cells(tracks, self._table, ends)
        cells = Cells(np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room))
        size = order_cells(tracks, self._table, COUNTED, ends, cells.streams, cells.bins, cells.counts)
        keys = np.flatnonzero(tracks.places >= 0)
        places = tracks.places[keys]
        best_p, best = tracks.best_p[places], tracks.best[places]
        return Window(start_ns, end_ns, cells.first(size), keys, best_p, best, self._sample())

    def _sample(self) -> Sample:
        sample = Sample.of(int(self._drawn.used[0]), self._drawn.marks.shape[1])
        room = self._drawn._replace(
            ranks=sample.ranks,
            values=sample.values,
            marks=sample.marks,
            measured=sample.measured,
            routes=sample.routes,
        )
        order_sample(self._tracks.places, self._drawn, sample.keys, room)
        return sample


def _doubled(array: NDArray[Kind], size: int | None = None) -> NDArray[Kind]:
    """Return an array with twice the room, or with that of `size`."""
    larger = np.zeros((2 * array.shape[0] if size is None else size, *array.shape[1:]), array.dtype)
    larger[: array.shape[0]] = array
    return larger
