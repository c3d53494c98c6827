"""Open-addressing tables: known texts, series keys, and the cells of a window."""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Codes, Flags, Floats, Ints, borrowing, inlined, signed
from spanward_processor.kernels.memory import prefetch
from spanward_processor.kernels.siphash import mix64

MISSING: Final = -(1 << 62)  # bin of a row that says nothing about a feature
OTHER: Final = (1 << 62) + 1  # bin of what found no room of its own

FEATURE_BITS: Final = 4  # a stream is `key << FEATURE_BITS | feature`

KEYS: Final = 0  # counters of `KeySpace.counts`
OVERFLOWED: Final = 1


@borrowing
def find_unknown(codes: Codes, columns: Ints, known: Codes, found: Ints) -> int:
    """Find texts seen for the first time and mark them known.

    Args:
        codes: (t, n) uint64 code columns.
        columns: (c,) int64 columns to look at.
        known: (power of two,) uint64 table, at most half full; changed.
        found: (k, 2) int64 to fill with (column, row).

    Returns:
        How many were found; those beyond `k` stay unknown until they come again.
    """
    count = 0
    mask = known.size - 1
    for column in columns:
        before = np.uint64(0)
        for row in range(codes.shape[1]):
            code = codes[column, row]
            if code == before or code == np.uint64(0):
                continue
            before = code
            place = signed(code & np.uint64(mask))
            while known[place] != np.uint64(0) and known[place] != code:
                place = (place + 1) & mask
            if known[place] == np.uint64(0):
                if count == found.shape[0]:
                    return count
                known[place] = code
                found[count, 0], found[count, 1] = column, row
                count += 1
    return count


class KeySpace(NamedTuple):
    """The keys baselines are kept for: series, and slices of series.

    Args:
        mixed: (power of two,) uint64 hash of the key's parts, 0 for a free place.
        ids: (same,) int64 key id.
        parts: (k, 3) uint64 codes: service, model, version; or for a slice: slice column, 0, slice code.
        parents: (k,) int64 series of a slice, -1 for a series.
        slices: (k,) int64 number of slices of a series.
        counts: (2,) int64: keys in use; rows that found no room for their key.
    """

    mixed: Codes
    ids: Ints
    parts: Codes
    parents: Ints
    slices: Ints
    counts: Ints


@borrowing
def _find_key(space: KeySpace, mixed: np.uint64) -> int:
    """Return the place of a key in the table, or of the free place where it belongs."""
    mask = space.mixed.size - 1
    place = signed(mixed & np.uint64(mask))
    while space.mixed[place] != np.uint64(0) and space.mixed[place] != mixed:
        place = (place + 1) & mask
    return place


@borrowing
def _add_key(
    space: KeySpace, place: int, mixed: np.uint64, first: np.uint64, second: np.uint64, third: np.uint64, parent: int
) -> int:
    key = int(space.counts[KEYS])
    space.counts[KEYS] += 1
    space.mixed[place], space.ids[place] = mixed, key
    space.parts[key, 0], space.parts[key, 1], space.parts[key, 2] = first, second, third
    space.parents[key] = parent
    return key


@borrowing
def _series_key(space: KeySpace, service: np.uint64, model: np.uint64, version: np.uint64) -> int:
    mixed = mix64(service ^ mix64(model ^ mix64(version ^ np.uint64(1)))) | np.uint64(1)
    place = _find_key(space, mixed)
    if space.mixed[place] != np.uint64(0):
        return int(space.ids[place])
    if space.counts[KEYS] == space.parents.size:
        space.counts[OVERFLOWED] += 1
        return 0
    return _add_key(space, place, mixed, service, model, version, -1)


@borrowing
def _slice_key(space: KeySpace, parent: int, column: int, code: np.uint64, most: int) -> int:
    mixed = mix64(code ^ mix64(np.uint64(parent) ^ mix64(np.uint64(column + 2)))) | np.uint64(1)
    place = _find_key(space, mixed)
    if space.mixed[place] != np.uint64(0):
        return int(space.ids[place])
    if space.counts[KEYS] == space.parents.size or space.slices[parent] == most:
        space.counts[OVERFLOWED] += 1
        return -1
    space.slices[parent] += 1
    return _add_key(space, place, mixed, np.uint64(column), np.uint64(0), code, parent)


@borrowing
def assign_keys(codes: Codes, identity: Ints, slices: Ints, most_slices: int, space: KeySpace, keys: Ints) -> None:
    """Give every row the key of its series and of each of its slices.

    Args:
        codes: (t, n) uint64 code columns.
        identity: (3,) int64 columns of service, model and version.
        slices: (s,) int64 slice columns.
        most_slices: Slices a series may have.
        space: The keys, extended; key 0 is the overflow series.
        keys: (1 + s, n) int64 to fill; -1 where a row has no model, or no slice.
    """
    for row in range(codes.shape[1]):
        model = codes[identity[1], row]
        series = -1
        if model != np.uint64(0):
            series = _series_key(space, codes[identity[0], row], model, codes[identity[2], row])
        keys[0, row] = series
        for index in range(slices.size):
            code = codes[slices[index], row]
            known = series > 0 and code != np.uint64(0)
            keys[1 + index, row] = _slice_key(space, series, slices[index], code, most_slices) if known else -1


class CellTable(NamedTuple):
    """Counts by (stream, bin) while a window is open.

    Args:
        cells: (power of two, 3) int64 stream, bin and count side by side, so that a cell costs one cache line; stream -1 is a
            free place.
        used: (1,) int64 places in use.
    """

    cells: Ints
    used: Ints


def empty_table(size: int) -> CellTable:
    """Return a table without cells.

    Args:
        size: Places, a power of two.
    """
    cells = np.zeros((size, 3), np.int64)
    cells[:, 0] = -1
    return CellTable(cells, np.zeros(1, np.int64))


@inlined
def _home_of(stream: int, cell_bin: int, size: int) -> int:
    """Return the place at which the search for a cell begins."""
    return signed(mix64(np.uint64(cell_bin) ^ mix64(np.uint64(stream))) & np.uint64(size - 1))


@borrowing
def _find_cell(table: CellTable, place: int, stream: int, cell_bin: int) -> int:
    cells = table.cells
    mask = cells.shape[0] - 1
    while cells[place, 0] >= 0 and (cells[place, 0] != stream or cells[place, 1] != cell_bin):
        place = (place + 1) & mask
    return place


@borrowing
def _add_at(table: CellTable, place: int, stream: int, cell_bin: int, count: int, most: int) -> None:
    cells = table.cells
    place = _find_cell(table, place, stream, cell_bin)
    if cells[place, 0] < 0:
        if table.used[0] >= most:
            place = _find_cell(table, _home_of(stream, OTHER, cells.shape[0]), stream, OTHER)
            cell_bin = OTHER
        if cells[place, 0] < 0:
            if 8 * table.used[0] >= 7 * cells.shape[0]:
                return
            cells[place, 0], cells[place, 1] = stream, cell_bin
            table.used[0] += 1
    cells[place, 2] += count


@borrowing
def add_cell(table: CellTable, stream: int, cell_bin: int, count: int, most: int) -> None:
    """Add a count; past `most` cells a new bin goes to the stream's `OTHER`."""
    _add_at(table, _home_of(stream, cell_bin, table.cells.shape[0]), stream, cell_bin, count, most)


class Counted(NamedTuple):
    """How the features of a row are counted.

    Args:
        in_slices: (f,) bool whether slices are counted too.
        tally: (f,) int64 column of the tallies that counts bin 0, the next one counting bin 1; -1 for features with other bins,
            which are counted in the table.
    """

    in_slices: Flags
    tally: Ints


@borrowing
def add_rows(
    keys: Ints, bins: Ints, chosen: Flags, counted: Counted, most: int, table: CellTable, tallies: Ints, places: Ints
) -> None:
    """Count the chosen rows in every cell they belong to.

    A row's cells are first looked for all at once, so that the memory answers while the next is asked.

    Args:
        keys: (1 + s, n) int64 from `assign_keys`.
        bins: (f, n) int64 bin of each feature, `MISSING` where a row has none.
        chosen: (n,) bool rows of this window.
        counted: How features are counted.
        most: Cells before new bins go to `OTHER`.
        table: The window's cells, changed; the caller leaves room.
        tallies: (k, c) int64 by key, the window's cells of features that have two bins at most; changed.
        places: (1 + s, f) int64 scratch.
    """
    size = table.cells.shape[0]
    for row in range(keys.shape[1]):
        if not chosen[row]:
            continue
        for level in range(keys.shape[0]):
            key = keys[level, row]
            for feature in range(bins.shape[0]):
                cell_bin = bins[feature, row]
                places[level, feature] = -1
                if key < 0 or cell_bin == MISSING or (level > 0 and not counted.in_slices[feature]):
                    continue
                if counted.tally[feature] >= 0:
                    tallies[key, counted.tally[feature] + cell_bin] += 1
                else:
                    place = _home_of(key << FEATURE_BITS | feature, cell_bin, size)
                    places[level, feature] = place
                    prefetch(table.cells, place)
        for level in range(keys.shape[0]):
            for feature in range(bins.shape[0]):
                if places[level, feature] >= 0:
                    stream = keys[level, row] << FEATURE_BITS | feature
                    _add_at(table, places[level, feature], stream, bins[feature, row], 1, most)


@borrowing
def rehash(old: CellTable, new: CellTable) -> None:
    """Move every cell into a larger table."""
    for place in range(old.cells.shape[0]):
        if old.cells[place, 0] >= 0:
            add_cell(new, old.cells[place, 0], old.cells[place, 1], old.cells[place, 2], new.cells.shape[0])


@borrowing
def look_up(table: CellTable, stream: int, cell_bin: int) -> int:
    """Return the count of a cell, 0 where there is none."""
    place = _find_cell(table, _home_of(stream, cell_bin, table.cells.shape[0]), stream, cell_bin)
    return table.cells[place, 2] if table.cells[place, 0] >= 0 else 0


@borrowing
def keep_examples(keys: Ints, p: Floats, traces: Codes, chosen: Flags, best_p: Floats, best: Codes) -> None:
    """Remember, for every key, the trace of its most surprising row.

    Args:
        keys: (1 + s, n) int64 from `assign_keys`.
        p: (n,) float64 p-value of each row.
        traces: (n, 2) uint64 trace ids.
        chosen: (n,) bool rows of this window.
        best_p: (k,) float64 smallest p-value of each key so far, above 1 where it has no row; changed.
        best: (k, 2) uint64 trace id of that row; changed.
    """
    for row in range(keys.shape[1]):
        if chosen[row]:
            for level in range(keys.shape[0]):
                key = keys[level, row]
                if key >= 0 and p[row] < best_p[key]:
                    best_p[key] = p[row]
                    best[key, 0], best[key, 1] = traces[row, 0], traces[row, 1]
