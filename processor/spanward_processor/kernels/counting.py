"""Counting the rows of a window while it is open, and its cells in order once it has closed.

Most keys of a large deployment are seen a few times in a window. Their rows are kept as they came, one cache line each, and
become cells when the window closes; from the ninth row on a key's rows are counted in the table of cells.
"""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Codes, Flags, Floats, Ints, Narrow, borrowing, inlined
from spanward_processor.kernels.memory import prefetch
from spanward_processor.kernels.tables import (
    COUNT_BITS,
    COUNT_MASK,
    FEATURE_BITS,
    MISSING,
    CellTable,
    add_at,
    add_cell,
    home_of,
)

LOGGED: Final = 8
"""Rows of a key that are kept as they came."""

SPILLED: Final = -1  # in place of a number of rows: the key's rows are in the table
_NONE: Final = -1
_NO_ROW: Final = 2.0  # stands for the p-value of a key without a row
_AHEAD: Final = 16  # keys; about as many as the memory answers at once
_SMALL: Final = 24  # cells that are sorted by insertion

DONE: Final = 0  # what `add_rows` lacked when it stopped
KEYS_FULL: Final = 1
LOG_FULL: Final = 2
CELLS_FULL: Final = 3


class Counted(NamedTuple):
    """How the features of a row are counted.

    Args:
        in_slices: (f,) bool whether slices are counted too.
        tally: (f,) int64 column of the tallies that counts bin 0, the next one counting bin 1; -1 for features with other bins.
        logged: (f,) int64 column of the log for those, -1 for the tallied ones.
        tallies: (c, 2) int64 feature and bin of each column of the tallies.
    """

    in_slices: Flags
    tally: Ints
    logged: Ints
    tallies: Ints


class Tracks(NamedTuple):
    """What an open window holds of each key that it has seen; s of them are in use, r rows of the log.

    Args:
        places: (k,) int32 where a key's track is, -1 for none.
        kept: (s, 2) int32 rows of the key in the log, or `SPILLED`; and the newest of them, -1 for none.
        tallies: (s, c) int64 counts of features that have two bins at most.
        best_p: (s,) float64 smallest p-value of a row so far.
        best: (s, 2) uint64 trace id of that row.
        rows: (r, l) int64 the log: a row's bins.
        before: (r,) int32 the row of the same key before a row of the log, -1 for none.
        used: (3,) int64 tracks in use, rows of the log in use, what `add_rows` lacked.
    """

    places: Narrow
    kept: Narrow
    tallies: Ints
    best_p: Floats
    best: Codes
    rows: Ints
    before: Narrow
    used: Ints


@inlined
def _track_of(tracks: Tracks, key: int) -> int:
    """Return the place of a key's track, a new one where there is none."""
    track = tracks.places[key]
    if track == _NONE:
        track = np.int32(tracks.used[0])
        tracks.used[0] += 1
        tracks.places[key] = track
        tracks.kept[track, 0], tracks.kept[track, 1] = 0, _NONE
        tracks.best_p[track] = _NO_ROW
    return int(track)


@inlined
def _lack(tracks: Tracks, table: CellTable, levels: int, most: int, most_logged: int) -> int:
    """Return what may run out with the next row."""
    if tracks.used[0] + levels > tracks.kept.shape[0]:
        return KEYS_FULL
    if tracks.used[1] + levels > tracks.rows.shape[0] and tracks.rows.shape[0] < most_logged:
        return LOG_FULL
    size = table.cells.shape[0]
    if 4 * (table.used[0] + levels * (LOGGED + 1) * tracks.rows.shape[1]) > 3 * size and size < 4 * most:
        return CELLS_FULL
    return DONE


@borrowing
def _spill(tracks: Tracks, track: int, key: int, counted: Counted, table: CellTable, most: int) -> None:
    """Count a key's rows in the table from now on, those in the log first."""
    row = tracks.kept[track, 1]
    while row != _NONE:
        for feature in range(counted.logged.size):
            if counted.logged[feature] >= 0:
                cell_bin = int(tracks.rows[row, counted.logged[feature]])
                if cell_bin != MISSING:
                    add_cell(table, key << FEATURE_BITS | feature, cell_bin, 1, most)
        row = tracks.before[row]
    tracks.kept[track, 0], tracks.kept[track, 1] = SPILLED, _NONE


@borrowing
def add_rows(
    keys: Ints,
    bins: Ints,
    p: Floats,
    traces: Codes,
    chosen: Flags,
    counted: Counted,
    most: int,
    most_logged: int,
    tracks: Tracks,
    table: CellTable,
    places: Ints,
    first: int,
) -> int:
    """Count the chosen rows in every cell they belong to, and remember each key's most surprising one.

    A row's cells are first looked for all at once, so that the memory answers while the next is asked.

    Args:
        keys: (1 + s, n) int64 from `assign_keys`.
        bins: (f, n) int64 bin of each feature, `MISSING` where a row has none.
        p: (n,) float64 p-value of each row.
        traces: (n, 2) uint64 trace ids.
        chosen: (n,) bool rows of this window.
        counted: How features are counted.
        most: Cells before new bins go to `OTHER`.
        most_logged: Rows that the log may hold at most; further ones are counted in the table.
        tracks: What is known of keys, changed.
        table: The window's cells, changed.
        places: (1 + s, f) int64 scratch.
        first: The row to begin with.

    Returns:
        The row to go on with, once there is more of what `tracks.used[2]` names; n when all are counted.
    """
    for row in range(first, keys.shape[1]):
        if not chosen[row]:
            continue
        lack = _lack(tracks, table, keys.shape[0], most, most_logged)
        if lack != DONE:
            tracks.used[2] = lack
            return int(row)
        for level in range(keys.shape[0]):
            key = keys[level, row]
            places[level, 0] = _NONE
            if key >= 0:
                track = _track_of(tracks, key)
                places[level, 0] = track
                prefetch(tracks.tallies, track)
                prefetch(tracks.best, track)
        for level in range(keys.shape[0]):
            if places[level, 0] >= 0:
                _add_row(keys, bins, p, traces, counted, most, tracks, table, places, level, row)
        for level in range(keys.shape[0]):
            if keys[level, row] >= 0:
                for feature in range(bins.shape[0]):
                    if places[level, feature] >= 0:
                        stream = keys[level, row] << FEATURE_BITS | feature
                        add_at(table, places[level, feature], stream, bins[feature, row], 1, most)
    return int(keys.shape[1])


@inlined
def _add_row(
    keys: Ints,
    bins: Ints,
    p: Floats,
    traces: Codes,
    counted: Counted,
    most: int,
    tracks: Tracks,
    table: CellTable,
    places: Ints,
    level: int,
    row: int,
) -> None:
    """Tally a row for one of its keys, log it or find the places of its cells; -1 where there is nothing to add."""
    key, track = keys[level, row], places[level, 0]
    if p[row] < tracks.best_p[track]:
        tracks.best_p[track] = p[row]
        tracks.best[track, 0], tracks.best[track, 1] = traces[row, 0], traces[row, 1]
    here = _NONE
    if tracks.kept[track, 0] == LOGGED or (tracks.kept[track, 0] >= 0 and tracks.used[1] == tracks.rows.shape[0]):
        _spill(tracks, track, key, counted, table, most)
    elif tracks.kept[track, 0] >= 0:
        here = int(tracks.used[1])
        tracks.used[1] += 1
        tracks.before[here] = tracks.kept[track, 1]
        tracks.kept[track, 0], tracks.kept[track, 1] = tracks.kept[track, 0] + 1, here
    for feature in range(bins.shape[0]):
        cell_bin = bins[feature, row]
        if level > 0 and not counted.in_slices[feature]:
            cell_bin = MISSING
        places[level, feature] = _NONE
        if counted.tally[feature] >= 0:
            if cell_bin != MISSING:
                tracks.tallies[track, counted.tally[feature] + cell_bin] += 1
        elif here >= 0:
            tracks.rows[here, counted.logged[feature]] = cell_bin
        elif cell_bin != MISSING:
            place = home_of(key << FEATURE_BITS | feature, cell_bin, table.cells.shape[0])
            places[level, feature] = place
            prefetch(table.cells, place)


# --- a closed window -------------------------------------------------------------------------------------------------


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
        if track != _NONE:
            cells = ends[track] + tracks.tallies.shape[1]
            if tracks.kept[track, 0] > 0:
                cells += tracks.kept[track, 0] * tracks.rows.shape[1]
            ends[track] = room
            room += cells
    return int(room)


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
        if track == _NONE:
            continue
        begin = first
        last = _unfold(tracks, track, key, counted, ends[track], streams, bins, counts)
        if tracks.kept[track, 0] == SPILLED:
            _sort(streams, bins, counts, begin, last)
        size = _add_up(streams, bins, counts, begin, last, size)
        first = ends[track] + tracks.tallies.shape[1] + max(tracks.kept[track, 0], 0) * tracks.rows.shape[1]
    return size


@borrowing
def _ask_ahead(tracks: Tracks, key: int, keys: int) -> None:
    """Ask the memory for what a later key needs: first where its rows are, then the newest of them."""
    if key < keys and tracks.places[key] != _NONE:
        prefetch(tracks.kept, tracks.places[key])
        prefetch(tracks.tallies, tracks.places[key])
    key -= _AHEAD // 2
    if 0 <= key < keys and tracks.places[key] != _NONE and tracks.kept[tracks.places[key], 1] != _NONE:
        prefetch(tracks.rows, tracks.kept[tracks.places[key], 1])


@borrowing
def _unfold(
    tracks: Tracks, track: int, key: int, counted: Counted, at: int, streams: Ints, bins: Ints, counts: Floats
) -> int:
    """Write the cells of a key that are tallied or in the log, in order; return the place after them."""
    for feature in range(counted.logged.size):
        stream = key << FEATURE_BITS | feature
        column = counted.tally[feature]
        while 0 <= column < counted.tallies.shape[0] and counted.tallies[column, 0] == feature:
            if tracks.tallies[track, column] > 0:
                streams[at], bins[at] = stream, counted.tallies[column, 1]
                counts[at] = np.float64(tracks.tallies[track, column])
                at += 1
            column += 1
        if counted.logged[feature] >= 0:
            first, row = at, tracks.kept[track, 1]
            while row != _NONE:
                cell_bin = int(tracks.rows[row, counted.logged[feature]])
                if cell_bin != MISSING:
                    at = _insert(stream, cell_bin, streams, bins, counts, first, at)
                row = tracks.before[row]
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
