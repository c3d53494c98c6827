"""The cells of a window that has closed, in order, from what was counted while it was open."""

from typing import Final

import numpy as np

from spanward_processor.kernels.counting import NONE, SPILLED, STRIP, Counted, Tracks
from spanward_processor.kernels.jit import Floats, Ints, borrowing
from spanward_processor.kernels.memory import prefetch
from spanward_processor.kernels.tables import COUNT_BITS, COUNT_MASK, FEATURE_BITS, MISSING, CellTable

_AHEAD: Final = 16  # keys; about as many as the memory answers at once
_SMALL: Final = 24  # cells that are sorted by insertion


@borrowing
def count_cells(tracks: Tracks, table: CellTable, ends: Ints) -> int:
    """Find how many cells each key may have.

    Args:
        tracks: What is known of keys.
        table: The window's cells.
        ends: (s,) int64 to fill by track: where a key's cells begin when keys are in order.

    Returns:
        Room for the cells of all keys.
    """
    ends[:] = 0
    for place in range(table.cells.shape[0]):
        word = table.cells[place, 0]
        if word != 0:
            ends[tracks.places[word >> COUNT_BITS >> FEATURE_BITS]] += 1
    room = np.int64(0)
    for key in range(tracks.places.size):
        track = tracks.places[key]
        if track != NONE:
            cells = ends[track] + _beside(tracks, int(track))
            ends[track] = room
            room += cells
    return int(room)


@borrowing
def _beside(tracks: Tracks, track: int) -> int:
    """Return how many cells a key may have beside those in the table."""
    cells = tracks.tallies.shape[1]
    if tracks.kept[track, 0] >= 0:
        return int(cells + tracks.kept[track, 0] * tracks.rows.shape[1])
    if tracks.kept[track, 1] != NONE:
        for place in range(tracks.strips.shape[1]):
            if tracks.strips[tracks.kept[track, 1], place] != 0:
                cells += 1
    return int(cells)


@borrowing
def order_cells(
    tracks: Tracks, table: CellTable, counted: Counted, ends: Ints, streams: Ints, bins: Ints, counts: Floats
) -> int:
    """Write all cells of a window, sorted by (stream, bin), each once.

    Args:
        tracks: What is known of keys.
        table: The window's cells.
        counted: How features are counted.
        ends: (s,) int64 from `count_cells`, changed.
        streams: (room,) int64 to fill.
        bins: (room,) int64 to fill.
        counts: (room,) float64 to fill.

    Returns:
        How many cells there are.
    """
    for place in range(table.cells.shape[0]):
        word = table.cells[place, 0]
        if word != 0:
            track = tracks.places[word >> COUNT_BITS >> FEATURE_BITS]
            at = ends[track]
            streams[at], bins[at], counts[at] = word >> COUNT_BITS, table.cells[place, 1], np.float64(word & COUNT_MASK)
            ends[track] += 1
    size = first = 0
    keys = tracks.places.size
    for key in range(keys):
        _ask_ahead(tracks, key + _AHEAD, keys)
        track = int(tracks.places[key])
        if track == NONE:
            continue
        begin = first
        last = _unfold(tracks, track, key, counted, ends[track], streams, bins, counts)
        if tracks.kept[track, 0] == SPILLED:
            _sort(streams, bins, counts, begin, last)
        size = _add_up(streams, bins, counts, begin, last, size)
        first = ends[track] + _beside(tracks, track)
    return size


@borrowing
def _ask_ahead(tracks: Tracks, key: int, keys: int) -> None:
    """Ask the memory for what a later key needs: first where its rows are, then the newest of them."""
    if key < keys and tracks.places[key] != NONE:
        prefetch(tracks.kept, tracks.places[key])
        prefetch(tracks.tallies, tracks.places[key])
    key -= _AHEAD // 2
    if 0 <= key < keys and tracks.places[key] != NONE and tracks.kept[tracks.places[key], 0] > 0:
        prefetch(tracks.rows, tracks.kept[tracks.places[key], 1])


@borrowing
def _unfold(
    tracks: Tracks, track: int, key: int, counted: Counted, at: int, streams: Ints, bins: Ints, counts: Floats
) -> int:
    """Write the cells of a key that are not in the table, in order; return the place after them."""
    newest, strips = int(tracks.kept[track, 1]), NONE
    if tracks.kept[track, 0] == SPILLED:
        newest, strips = NONE, newest
    for feature in range(counted.logged.size):
        stream = key << FEATURE_BITS | feature
        column = counted.tally[feature]
        while 0 <= column < counted.tallies.shape[0] and counted.tallies[column, 0] == feature:
            if tracks.tallies[track, column] > 0:
                streams[at], bins[at] = stream, counted.tallies[column, 1]
                counts[at] = np.float64(tracks.tallies[track, column])
                at += 1
            column += 1
        first, row = at, newest if counted.logged[feature] >= 0 else NONE
        while row != NONE:
            cell_bin = int(tracks.rows[row, counted.logged[feature]])
            if cell_bin != MISSING:
                at = _insert(stream, cell_bin, streams, bins, counts, first, at)
            row = tracks.before[row]
        if strips != NONE and counted.strip[feature] >= 0:
            at = _unroll(tracks, strips, counted.strip[feature], stream, at, streams, bins, counts)
    return at


@borrowing
def _unroll(
    tracks: Tracks, place: int, strip: int, stream: int, at: int, streams: Ints, bins: Ints, counts: Floats
) -> int:
    """Write the cells of one strip, in order; return the place after them."""
    for offset in range(STRIP):
        count = tracks.strips[place, strip * STRIP + offset]
        if count != 0:
            streams[at], bins[at], counts[at] = stream, tracks.lows[place, strip] + offset, np.float64(count)
            at += 1
    return at


@borrowing
def _insert(stream: int, cell_bin: int, streams: Ints, bins: Ints, counts: Floats, first: int, last: int) -> int:
    """Insert one row's bin among the sorted ones of its stream; return the place after them."""
    at = last
    while at > first and bins[at - 1] > cell_bin:
        bins[at] = bins[at - 1]
        at -= 1
    bins[at], streams[last], counts[last] = cell_bin, stream, 1.0
    return last + 1


@borrowing
def _add_up(streams: Ints, bins: Ints, counts: Floats, first: int, last: int, to: int) -> int:
    """Move sorted cells to an earlier place, equal ones added; return the place after them."""
    begin = to
    for at in range(first, last):
        if to > begin and streams[to - 1] == streams[at] and bins[to - 1] == bins[at]:
            counts[to - 1] += counts[at]
        else:
            streams[to], bins[to], counts[to] = streams[at], bins[at], counts[at]
            to += 1
    return to


@borrowing
def _sort(streams: Ints, bins: Ints, counts: Floats, first: int, last: int) -> None:
    """Sort cells by (stream, bin), in place: a heap where there are many, insertion where there are few."""
    if last - first > _SMALL:
        size = last - first
        for root in range(size // 2 - 1, -1, -1):
            _sink(streams, bins, counts, first, root, size)
        for end in range(size - 1, 0, -1):
            _swap(streams, bins, counts, first, first + end)
            _sink(streams, bins, counts, first, 0, end)
        return
    for at in range(first + 1, last):
        to = at
        while to > first and _is_before(streams, bins, to, to - 1):
            _swap(streams, bins, counts, to, to - 1)
            to -= 1


@borrowing
def _sink(streams: Ints, bins: Ints, counts: Floats, first: int, root: int, size: int) -> None:
    while 2 * root + 1 < size:
        child = 2 * root + 1
        if child + 1 < size and _is_before(streams, bins, first + child, first + child + 1):
            child += 1
        if not _is_before(streams, bins, first + root, first + child):
            return
        _swap(streams, bins, counts, first + root, first + child)
        root = child


@borrowing
def _is_before(streams: Ints, bins: Ints, left: int, right: int) -> bool:
    return bool(streams[left] < streams[right] or (streams[left] == streams[right] and bins[left] < bins[right]))


@borrowing
def _swap(streams: Ints, bins: Ints, counts: Floats, left: int, right: int) -> None:
    streams[left], streams[right] = streams[right], streams[left]
    bins[left], bins[right] = bins[right], bins[left]
    counts[left], counts[right] = counts[right], counts[left]
