"""Open-addressing tables: known texts, series keys, and counts by stream and bin."""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Bytes, Codes, Ints, Narrow, borrowing, inlined, signed
from spanward_processor.kernels.memory import prefetch
from spanward_processor.kernels.siphash import mix64

MISSING: Final = -(1 << 62)  # bin of a row that says nothing about a feature
OTHER: Final = (1 << 62) + 1  # bin of what found no room of its own

_APART: Final = np.uint64(
    0x9E3779B97F4A7C15
)  # keeps the bins of two streams from lying side by side; an odd number near 2^64 / phi

# what the parts of a key are multiplied by before they are added up, odd; its codes are keyed hashes, evenly spread already
_FIRST: Final = np.uint64(0x9E3779B97F4A7C15)
_SECOND: Final = np.uint64(0xBF58476D1CE4E5B9)
_THIRD: Final = np.uint64(0x94D049BB133111EB)

FEATURE_BITS: Final = 4  # a stream is `key << FEATURE_BITS | feature`

KEYS: Final = 0  # counters of `KeySpace.counts`
OVERFLOWED: Final = 1
LIVE: Final = 2

_AHEAD: Final = 8  # rows; with their slices about as many keys as the memory answers at once

EVICTED: Final = 255  # in place of the rounds in which a key was not seen


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
            if row + _AHEAD < codes.shape[1]:
                prefetch(known, signed(codes[column, row + _AHEAD] & np.uint64(mask)))
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
        places: (power of two, 2) uint64 hash of the parts of each live key, 0 for a free place, and the key; at most half full.
        parts: (k, 3) uint64 codes: service, model, version; or for a slice: slice column, 0, slice code.
        parents: (k,) int32 series of a slice, -1 for a series.
        slices: (k,) int32 number of live slices of a series.
        idle: (k,) uint8 rounds since a key was seen, or `EVICTED`.
        counts: (3,) int64: keys ever given; rows that found no room for their key; keys that are live.
    """

    places: Codes
    parts: Codes
    parents: Narrow
    slices: Narrow
    idle: Bytes
    counts: Ints


@inlined
def _home(places: Codes, mixed: np.uint64) -> int:
    return signed(mixed >> np.uint64(32) & np.uint64(places.shape[0] - 1))


@borrowing
def _find_key(places: Codes, mixed: np.uint64) -> int:
    """Return the place of a key in the table, or of the free place where it belongs."""
    mask = places.shape[0] - 1
    place = _home(places, mixed)
    while places[place, 0] != np.uint64(0) and places[place, 0] != mixed:
        place = (place + 1) & mask
    return place


@inlined
def _mixed_series(codes: Codes, identity: Ints, row: int) -> np.uint64:
    service, model, version = codes[identity[0], row], codes[identity[1], row], codes[identity[2], row]
    return np.uint64(service * _FIRST + model * _SECOND + version * _THIRD) | np.uint64(1)


@inlined
def _mixed_slice(series: np.uint64, column: int, code: np.uint64) -> np.uint64:
    """Return the hash of a slice, from that of its series: so nobody has to find the one to look for the other."""
    return np.uint64(code * _FIRST + series * _SECOND + np.uint64(column + 2) * _THIRD) | np.uint64(1)


@borrowing
def _add_key(
    space: KeySpace, place: int, mixed: np.uint64, first: np.uint64, second: np.uint64, third: np.uint64, parent: int
) -> int:
    key = int(space.counts[KEYS])
    space.counts[KEYS] += 1
    space.counts[LIVE] += 1
    space.places[place, 0], space.places[place, 1] = mixed, np.uint64(key)
    space.parts[key, 0], space.parts[key, 1], space.parts[key, 2] = first, second, third
    space.parents[key] = parent
    return key


@borrowing
def _series_key(
    space: KeySpace, mixed: np.uint64, service: np.uint64, model: np.uint64, version: np.uint64, most: int
) -> int:
    place = _find_key(space.places, mixed)
    if space.places[place, 0] != np.uint64(0):
        return signed(space.places[place, 1])
    if space.counts[LIVE] > most:
        space.counts[OVERFLOWED] += 1
        return 0
    return _add_key(space, place, mixed, service, model, version, -1)


@borrowing
def _slice_key(
    space: KeySpace, mixed: np.uint64, parent: int, column: int, code: np.uint64, most: int, most_slices: int
) -> int:
    place = _find_key(space.places, mixed)
    if space.places[place, 0] != np.uint64(0):
        return signed(space.places[place, 1])
    if space.counts[LIVE] > most or space.slices[parent] == most_slices:
        space.counts[OVERFLOWED] += 1
        return -1
    space.slices[parent] += 1
    return _add_key(space, place, mixed, np.uint64(column), np.uint64(0), code, parent)


@inlined
def _ask_ahead(codes: Codes, identity: Ints, slices: Ints, space: KeySpace, row: int) -> None:
    """Ask the memory for the places in which a later row will look for its keys."""
    if row < codes.shape[1]:
        mixed = _mixed_series(codes, identity, row)
        prefetch(space.places, _home(space.places, mixed))
        for index in range(slices.size):
            part = _mixed_slice(mixed, slices[index], codes[slices[index], row])
            prefetch(space.places, _home(space.places, part))


@borrowing
def find_keys_again(old: Codes, idle: Bytes, new: Codes) -> None:
    """Move every live key into another table; see `KeySpace.places` and `KeySpace.idle`."""
    for place in range(old.shape[0]):
        if old[place, 0] != np.uint64(0) and idle[signed(old[place, 1])] != EVICTED:
            found = _find_key(new, old[place, 0])
            new[found, 0], new[found, 1] = old[place, 0], old[place, 1]


@borrowing
def assign_keys(
    codes: Codes, identity: Ints, slices: Ints, most: int, most_slices: int, space: KeySpace, keys: Ints
) -> None:
    """Give every row the key of its series and of each of its slices.

    Args:
        codes: (t, n) uint64 code columns.
        identity: (3,) int64 columns of service, model and version.
        slices: (s,) int64 slice columns.
        most: Live keys besides the overflow series.
        most_slices: Live slices a series may have.
        space: The keys, extended; key 0 is the overflow series. The caller leaves room for a new key in every place of `keys`.
        keys: (1 + s, n) int64 to fill; -1 where a row has no model, or no slice.
    """
    for row in range(codes.shape[1]):
        _ask_ahead(codes, identity, slices, space, row + _AHEAD)
        model, mixed = codes[identity[1], row], _mixed_series(codes, identity, row)
        series = -1
        if model != np.uint64(0):
            series = _series_key(space, mixed, codes[identity[0], row], model, codes[identity[2], row], most)
        keys[0, row] = series
        if series > 0:
            space.idle[series] = 0
        for index in range(slices.size):
            code = codes[slices[index], row]
            known = series > 0 and code != np.uint64(0)
            part = -1
            if known:
                found = _mixed_slice(mixed, slices[index], code)
                part = _slice_key(space, found, series, slices[index], code, most, most_slices)
            keys[1 + index, row] = part
            if part > 0:
                space.idle[part] = 0


class CellTable(NamedTuple):
    """Counts by (stream, bin).

    Args:
        cells: (power of two, 2) int64 stream and count in one word, bin in the other, so that a cell costs a quarter of a cache
            line; 0 in the first is a free place.
        used: (1,) int64 places in use.
    """

    cells: Ints
    used: Ints


def empty_table(size: int) -> CellTable:
    """Return a table without cells.

    Args:
        size: Places, a power of two.
    """
    return CellTable(np.zeros((size, 2), np.int64), np.zeros(1, np.int64))


COUNT_BITS: Final = 32
COUNT_MASK: Final = (1 << COUNT_BITS) - 1


@inlined
def home_of(stream: int, cell_bin: int, size: int) -> int:
    """Return the place at which the search for a cell begins."""
    return signed(mix64(np.uint64(cell_bin) + np.uint64(stream) * _APART) & np.uint64(size - 1))


@borrowing
def find_cell(table: CellTable, place: int, stream: int, cell_bin: int) -> int:
    """Return the place of a cell, or the free place where it belongs, from where the search begins."""
    cells = table.cells
    mask = cells.shape[0] - 1
    while cells[place, 0] != 0 and (cells[place, 0] >> COUNT_BITS != stream or cells[place, 1] != cell_bin):
        place = (place + 1) & mask
    return place


@borrowing
def add_at(table: CellTable, place: int, stream: int, cell_bin: int, count: int, most: int) -> None:
    """Add a count, as `add_cell`, with the search beginning at a place."""
    cells = table.cells
    place = find_cell(table, place, stream, cell_bin)
    if cells[place, 0] == 0:
        if table.used[0] >= most:
            place = find_cell(table, home_of(stream, OTHER, cells.shape[0]), stream, OTHER)
            cell_bin = OTHER
        if cells[place, 0] == 0:
            if 8 * table.used[0] >= 7 * cells.shape[0]:
                return
            cells[place, 0], cells[place, 1] = stream << COUNT_BITS, cell_bin
            table.used[0] += 1
    cells[place, 0] += count


@borrowing
def add_cell(table: CellTable, stream: int, cell_bin: int, count: int, most: int) -> None:
    """Add a count of at least 1; past `most` cells a new bin goes to the stream's `OTHER`."""
    add_at(table, home_of(stream, cell_bin, table.cells.shape[0]), stream, cell_bin, count, most)


@borrowing
def rehash(old: CellTable, new: CellTable) -> None:
    """Move every cell into a larger table."""
    for place in range(old.cells.shape[0]):
        word = old.cells[place, 0]
        if word != 0:
            add_cell(new, word >> COUNT_BITS, old.cells[place, 1], word & COUNT_MASK, new.cells.shape[0])


@borrowing
def look_up(table: CellTable, stream: int, cell_bin: int) -> int:
    """Return the count of a cell, 0 where there is none."""
    place = find_cell(table, home_of(stream, cell_bin, table.cells.shape[0]), stream, cell_bin)
    return int(table.cells[place, 0] & COUNT_MASK)
