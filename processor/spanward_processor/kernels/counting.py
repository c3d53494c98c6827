"""Counting the rows of a window while it is open.

Most keys of a large deployment are seen a few times in a window. Their rows are kept as they came, one cache line each, and
become cells when the window closes. From the ninth row on a key's rows are counted: numbers, whose bins lie close together, in
strips that have a place for each of 64 neighbouring bins, everything else in the table of cells.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kernels.binning import ZERO
from spanward_processor.kernels.jit import Codes, Flags, Floats, Ints, Narrow, borrowing, inlined
from spanward_processor.kernels.memory import prefetch
from spanward_processor.kernels.tables import (
    FEATURE_BITS,
    MISSING,
    CellTable,
    add_at,
    add_cell,
    home_of,
)

Small = NDArray[np.uint16]

LOGGED: Final = 8
"""Rows of a key that are kept as they came."""

SPILLED: Final = -1  # in place of a number of rows: the key's rows are counted
STRIP: Final = 64
"""Bins that a strip has a place for; of numbers, whose bins are an eighth of a doubling, eight doublings."""

FULL: Final = (1 << 16) - 1
"""Rows that a place of a strip counts; further ones are counted in the table."""

NONE: Final = -1
_AHEAD: Final = 6  # rows; with their slices about as many keys as the memory answers at once
_NO_ROW: Final = 2.0  # stands for the p-value of a key without a row

TRACKS: Final = 0  # places of `Tracks.used`
LOG: Final = 1
STRIPS: Final = 2
LACK: Final = 3

DONE: Final = 0  # what `add_rows` lacked when it stopped
KEYS_FULL: Final = 1
LOG_FULL: Final = 2
STRIPS_FULL: Final = 3
CELLS_FULL: Final = 4


class Counted(NamedTuple):
    """How the features of a row are counted.

    Args:
        in_slices: (f,) bool whether slices are counted too.
        tally: (f,) int64 column of the tallies that counts bin 0, the next one counting bin 1; -1 for features with other bins.
        logged: (f,) int64 column of the log for those, -1 for the tallied ones.
        strip: (f,) int64 which of a key's d strips counts the feature, -1 for features without one.
        tallies: (c, 2) int64 feature and bin of each column of the tallies.
    """

    in_slices: Flags
    tally: Ints
    logged: Ints
    strip: Ints
    tallies: Ints


class Tracks(NamedTuple):
    """What an open window holds of each key that it has seen: s keys, of which b have strips, and r rows of the log.

    Args:
        places: (k,) int32 where a key's track is, -1 for none.
        kept: (s, 2) int32 rows of the key in the log and the newest of them, -1 for none; or `SPILLED` and where its strips are,
            -1 for none.
        tallies: (s, c) int32 counts of features that have two bins at most.
        best_p: (s,) float64 smallest p-value of a row so far.
        best: (s, 2) uint64 trace id of that row.
        rows: (r, l) int64 the log: a row's bins.
        before: (r,) int32 the row of the same key before a row of the log, -1 for none.
        lows: (b, d) int64 the lowest bin that each strip has a place for, `MISSING` before its first row.
        strips: (b, d * STRIP) uint16 counts, short so that more of them lie close by.
        used: (4,) int64 tracks in use, rows of the log in use, keys with strips, what `add_rows` lacked.
    """

    places: Narrow
    kept: Narrow
    tallies: Narrow
    best_p: Floats
    best: Codes
    rows: Ints
    before: Narrow
    lows: Ints
    strips: Small
    used: Ints


class Most(NamedTuple):
    """What an open window may grow to.

    Args:
        cells: Cells in the table before new bins go to `OTHER`.
        logged: Rows in the log; further ones are counted.
        strips: Keys with strips; all rows of further ones are counted in the table.
    """

    cells: int
    logged: int
    strips: int


@inlined
def _track_of(tracks: Tracks, key: int) -> int:
    """Return the place of a key's track, a new one where there is none."""
    track = tracks.places[key]
    if track == NONE:
        track = np.int32(tracks.used[TRACKS])
        tracks.used[TRACKS] += 1
        tracks.places[key] = track
        tracks.kept[track, 0], tracks.kept[track, 1] = 0, NONE
        tracks.best_p[track] = _NO_ROW
    return int(track)


@inlined
def _lack(tracks: Tracks, table: CellTable, levels: int, most: Most) -> int:
    """Return what may run out with the next row."""
    if tracks.used[TRACKS] + levels > tracks.kept.shape[0]:
        return KEYS_FULL
    if tracks.used[LOG] + levels > tracks.rows.shape[0] and tracks.rows.shape[0] < most.logged:
        return LOG_FULL
    if tracks.used[STRIPS] + levels > tracks.lows.shape[0] and tracks.lows.shape[0] < most.strips:
        return STRIPS_FULL
    size = table.cells.shape[0]
    if 4 * (table.used[0] + levels * (LOGGED + 2) * tracks.rows.shape[1]) > 3 * size and size < 4 * most.cells:
        return CELLS_FULL
    return DONE


@inlined
def _find_in_strip(tracks: Tracks, place: int, strip: int, cell_bin: int) -> int:
    """Return where among a key's strips a bin is counted, `NONE` for nowhere; the first row of a strip says where it lies."""
    low = tracks.lows[place, strip]
    if low == MISSING and cell_bin > ZERO:
        low = tracks.lows[place, strip] = cell_bin - STRIP // 2
    return strip * STRIP + cell_bin - low if 0 <= cell_bin - low < STRIP else NONE


@inlined
def _count_in_strip(tracks: Tracks, place: int, at: int) -> bool:
    """Count a row where `_find_in_strip` said, unless that place is full."""
    count = tracks.strips[place, at]
    if count == FULL:
        return False
    tracks.strips[place, at] = count + np.uint16(1)
    return True


@borrowing
def _spill(tracks: Tracks, track: int, key: int, counted: Counted, table: CellTable, most: int) -> None:
    """Count a key's rows from now on, those in the log first."""
    row = tracks.kept[track, 1]
    place = NONE
    if tracks.used[STRIPS] < tracks.lows.shape[0]:
        place = int(tracks.used[STRIPS])
        tracks.used[STRIPS] += 1
    tracks.kept[track, 0], tracks.kept[track, 1] = SPILLED, place
    while row != NONE:
        for feature in range(counted.logged.size):
            if counted.logged[feature] >= 0:
                cell_bin, strip = int(tracks.rows[row, counted.logged[feature]]), counted.strip[feature]
                if cell_bin == MISSING:
                    continue
                at = _find_in_strip(tracks, place, strip, cell_bin) if place >= 0 and strip >= 0 else NONE
                if at == NONE or not _count_in_strip(tracks, place, at):
                    add_cell(table, key << FEATURE_BITS | feature, cell_bin, 1, most)
        row = tracks.before[row]


@inlined
def _ask_ahead(tracks: Tracks, keys: Ints, row: int) -> None:
    """Ask the memory for what later rows will touch: first where their keys' tracks are, then the tracks, then where strips lie."""
    for level in range(keys.shape[0]):
        if row + _AHEAD < keys.shape[1] and keys[level, row + _AHEAD] >= 0:
            prefetch(tracks.places, keys[level, row + _AHEAD])
        if row < keys.shape[1] and keys[level, row] >= 0:
            track = tracks.places[keys[level, row]]
            if track != NONE:
                prefetch(tracks.kept, track)
                prefetch(tracks.tallies, track)
                prefetch(tracks.best_p, track)
                prefetch(tracks.best, track)
        near = row - _AHEAD // 2
        if near < keys.shape[1] and keys[level, near] >= 0:
            track = tracks.places[keys[level, near]]
            if track != NONE and tracks.kept[track, 0] == SPILLED and tracks.kept[track, 1] >= 0:
                prefetch(tracks.lows, tracks.kept[track, 1])


@borrowing
def add_rows(
    keys: Ints,
    bins: Ints,
    p: Floats,
    traces: Codes,
    chosen: Flags,
    counted: Counted,
    most: Most,
    tracks: Tracks,
    table: CellTable,
    asked: Ints,
    first: int,
) -> int:
    """Count the chosen rows in every cell they belong to, and remember each key's most surprising one.

    The memory is asked for a row's cells all at once, and they are counted once those of the next row are asked for.

    Args:
        keys: (1 + s, n) int64 from `assign_keys`.
        bins: (f, n) int64 bin of each feature, `MISSING` where a row has none.
        p: (n,) float64 p-value of each row.
        traces: (n, 2) uint64 trace ids.
        chosen: (n,) bool rows of this window.
        counted: How features are counted.
        most: What the window may grow to.
        tracks: What is known of keys, changed.
        table: The window's cells, changed.
        asked: (2, (1 + s) * f, 4) int64 scratch, of two rows in turns: whose strips count a cell, `NONE` for the table; where in
            them, or where the search in the table begins; the cell's stream and bin.
        first: The row to begin with.

    Returns:
        The row to go on with, once there is more of what `tracks.used[LACK]` names; n when all are counted.
    """
    turn = waiting = 0
    for row in range(first, keys.shape[1]):
        if not chosen[row]:
            continue
        lack = _lack(tracks, table, keys.shape[0], most)
        if lack != DONE:
            _count_asked(tracks, table, asked, 1 - turn, waiting, most.cells)
            tracks.used[LACK] = lack
            return int(row)
        _ask_ahead(tracks, keys, row + _AHEAD)
        found = 0
        for level in range(keys.shape[0]):
            if keys[level, row] >= 0:
                found = _add_row(keys, bins, p, traces, counted, most, tracks, table, asked, turn, found, level, row)
        turn = 1 - turn
        _count_asked(tracks, table, asked, turn, waiting, most.cells)
        waiting = found
    _count_asked(tracks, table, asked, 1 - turn, waiting, most.cells)
    return int(keys.shape[1])


@inlined
def _count_asked(tracks: Tracks, table: CellTable, asked: Ints, turn: int, count: int, most: int) -> None:
    """Count the cells of a row that were asked for before."""
    for index in range(count):
        strips, at = asked[turn, index, 0], asked[turn, index, 1]
        stream, cell_bin = asked[turn, index, 2], asked[turn, index, 3]
        if strips == NONE:
            add_at(table, at, stream, cell_bin, 1, most)
        elif not _count_in_strip(tracks, strips, at):
            add_cell(table, stream, cell_bin, 1, most)


@inlined
def _add_row(
    keys: Ints,
    bins: Ints,
    p: Floats,
    traces: Codes,
    counted: Counted,
    most: Most,
    tracks: Tracks,
    table: CellTable,
    asked: Ints,
    turn: int,
    found: int,
    level: int,
    row: int,
) -> int:
    """Tally a row for one of its keys, log it or ask for its cells; return how many are asked for, with these."""
    key = keys[level, row]
    track = _track_of(tracks, key)
    if p[row] < tracks.best_p[track]:
        tracks.best_p[track] = p[row]
        tracks.best[track, 0], tracks.best[track, 1] = traces[row, 0], traces[row, 1]
    here = NONE
    if tracks.kept[track, 0] == LOGGED or (tracks.kept[track, 0] >= 0 and tracks.used[LOG] == tracks.rows.shape[0]):
        _spill(tracks, track, key, counted, table, most.cells)
    elif tracks.kept[track, 0] >= 0:
        here = int(tracks.used[LOG])
        tracks.used[LOG] += 1
        tracks.before[here] = tracks.kept[track, 1]
        tracks.kept[track, 0], tracks.kept[track, 1] = tracks.kept[track, 0] + 1, here
    strips = int(tracks.kept[track, 1]) if here == NONE else NONE
    for feature in range(bins.shape[0]):
        cell_bin = bins[feature, row]
        if level > 0 and not counted.in_slices[feature]:
            cell_bin = MISSING
        if counted.tally[feature] >= 0:
            if cell_bin != MISSING:
                tracks.tallies[track, counted.tally[feature] + cell_bin] += np.int32(1)
        elif here >= 0:
            tracks.rows[here, counted.logged[feature]] = cell_bin
        elif cell_bin != MISSING:
            strip = counted.strip[feature]
            at = _find_in_strip(tracks, strips, strip, cell_bin) if strips >= 0 and strip >= 0 else NONE
            stream = key << FEATURE_BITS | feature
            asked[turn, found, 2], asked[turn, found, 3] = stream, cell_bin
            if at != NONE:
                asked[turn, found, 0], asked[turn, found, 1] = strips, at
                prefetch(tracks.strips, (strips, at))
            else:
                place = home_of(stream, cell_bin, table.cells.shape[0])
                asked[turn, found, 0], asked[turn, found, 1] = NONE, place
                prefetch(table.cells, place)
            found += 1
    return found
