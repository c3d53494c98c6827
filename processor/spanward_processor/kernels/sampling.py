"""The rows that an open window keeps of each series: those with the smallest ranks, so that samples of shards merge exactly.

Source: Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kernels.binning import ZERO
from spanward_processor.kernels.jit import Codes, Flags, Floats, Ints, Narrow, Singles, borrowing, inlined
from spanward_processor.kernels.memory import prefetch
from spanward_processor.kernels.siphash import mix64
from spanward_processor.kernels.tables import MISSING

Shorts = NDArray[np.int16]

TOLD: Final = 9
"""Numbers of roles that are kept of a row as they are, beside its duration."""

SAMPLED: Final = 32
"""Rows of one series that a window keeps at most."""

UNKNOWN: Final = -(1 << 15)
"""Number of a row that says nothing about a feature."""

_AHEAD: Final = 12  # rows; about as many as the memory answers at once
_HALF: Final = -8  # zero of a count stands where one half would
_LEAST: Final = -512
_MOST: Final = 639
_SMALLEST_NEGATIVE: Final = 64  # negative numbers below 2^-8 are all the same


class Drawn(NamedTuple):
    """The rows that are kept; r of them are in use.

    Args:
        heads: (s, 2) int32 by track: rows kept, and the newest of them.
        worst: (s,) uint64 by track: the largest rank, once no more rows are taken in.
        ranks: (r,) uint64.
        values: (r, d) int16 numbers of a row, `UNKNOWN` where it has none.
        marks: (r, m) int64 what else is kept of a row: the keys of its slices, and some bins; m may be 0.
        measured: (r, 1 + TOLD) float32 seconds from start to end, and what it told; NaN where it did not.
        routes: (r,) int32 key of the row's first slice, -1 for none.
        before: (r,) int32 the row of the same track before it, -1 for none.
        used: (1,) int64 rows in use.
    """

    heads: Narrow
    worst: Codes
    ranks: Codes
    values: Shorts
    marks: Ints
    measured: Singles
    routes: Narrow
    before: Narrow
    used: Ints


class Spoken(NamedTuple):
    """What rows say beside their bins.

    Args:
        start_ns: (n,) int64 when each began, 0 where that is not told; (0,) where rows say nothing beside their bins.
        numbers: (m, n) float64 roles of numbers, NaN where a row does not say.
        roles: (TOLD,) int64 which of them are kept.
    """

    start_ns: Ints
    numbers: Floats
    roles: Ints


@borrowing
def coordinate(cell_bin: int) -> int:
    """Return the bin of a number as a small one of the same order; near-logarithmic, as bins are."""
    if cell_bin == MISSING:
        return UNKNOWN
    if cell_bin == ZERO:
        return _HALF
    if cell_bin < ZERO:
        return -1 - min(max(ZERO - 1 - cell_bin - (1 << 20) + _SMALLEST_NEGATIVE, 0), -_LEAST - 1)
    return int(min(max(cell_bin, _LEAST), _MOST))


@inlined
def _largest(drawn: Drawn, row: int) -> np.uint64:
    """Return the largest rank among a row and those before it."""
    largest = np.uint64(0)
    while row >= 0:
        largest = max(largest, drawn.ranks[row])
        row = drawn.before[row]
    return largest


@inlined
def _room_for(drawn: Drawn, track: int) -> int:
    """Return where a row goes: a place of its own, or that of its track's row with the largest rank; -1 for none."""
    if drawn.heads[track, 0] < SAMPLED:
        place = int(drawn.used[0])
        if place == drawn.ranks.size:
            return -1
        drawn.used[0] += 1
        drawn.before[place] = drawn.heads[track, 1] if drawn.heads[track, 0] > 0 else -1
        drawn.heads[track, 0], drawn.heads[track, 1] = drawn.heads[track, 0] + 1, place
        return place
    place = int(drawn.heads[track, 1])
    while drawn.ranks[place] != drawn.worst[track]:
        place = int(drawn.before[place])
    return place


@inlined
def _write_spoken(spoken: Spoken, time_ns: Ints, row: int, place: int, drawn: Drawn) -> None:
    for index in range(drawn.measured.shape[1]):
        drawn.measured[place, index] = np.nan
    if spoken.start_ns.size == 0:
        return
    if spoken.start_ns[row] > 0 and time_ns[row] > spoken.start_ns[row]:
        drawn.measured[place, 0] = (time_ns[row] - spoken.start_ns[row]) * 1e-9
    for index in range(spoken.roles.size):
        drawn.measured[place, 1 + index] = spoken.numbers[spoken.roles[index], row]


@inlined
def _ask_ahead(keys: Ints, places: Narrow, drawn: Drawn, row: int) -> None:
    """Ask the memory for what a later row will be compared with."""
    if row < keys.shape[1] and keys[0, row] > 0 and places[keys[0, row]] >= 0:
        prefetch(drawn.heads, places[keys[0, row]])
        prefetch(drawn.worst, places[keys[0, row]])


@borrowing
def sample_rows(
    keys: Ints,
    bins: Ints,
    numbers: Ints,
    marked: Ints,
    time_ns: Ints,
    traces: Codes,
    spoken: Spoken,
    chosen: Flags,
    places: Narrow,
    drawn: Drawn,
) -> None:
    """Keep the chosen rows of series whose ranks are among the smallest; a rank is a hash of trace and time.

    Args:
        keys: (1 + s, n) int64 key of the series, -1 for rows of none, then of each slice; rows of key 0, many series in one, are
            left out, and so are rows without a number.
        bins: (f, n) int64.
        numbers: (d,) int64 the features that are numbers.
        marked: (m - s,) int64 the features whose bins stand in the marks behind the keys of slices, where there are marks.
        time_ns: (n,) int64 event time.
        traces: (n, 2) uint64 trace ids.
        spoken: What rows say beside their bins.
        chosen: (n,) bool rows of this window.
        places: (k,) int32 the track of each key.
        drawn: What is kept, changed; a row that finds no room left is not kept.
    """
    slices = keys.shape[0] - 1
    for row in range(keys.shape[1]):
        _ask_ahead(keys, places, drawn, row + _AHEAD)
        if not chosen[row] or keys[0, row] <= 0:
            continue
        track = int(places[keys[0, row]])
        rank = mix64(traces[row, 0] ^ mix64(traces[row, 1] ^ np.uint64(time_ns[row])))
        if drawn.heads[track, 0] == SAMPLED and rank >= drawn.worst[track]:
            continue
        known = False
        for index in range(numbers.size):
            known |= bins[numbers[index], row] != MISSING
        if not known:
            continue
        place = _room_for(drawn, track)
        if place < 0:
            continue
        drawn.ranks[place] = rank
        for index in range(numbers.size):
            drawn.values[place, index] = coordinate(bins[numbers[index], row])
        for index in range(drawn.marks.shape[1]):
            drawn.marks[place, index] = keys[1 + index, row] if index < slices else bins[marked[index - slices], row]
        drawn.routes[place] = keys[1, row] if keys.shape[0] > 1 else -1
        _write_spoken(spoken, time_ns, row, place, drawn)
        if drawn.heads[track, 0] == SAMPLED:
            drawn.worst[track] = _largest(drawn, drawn.heads[track, 1])


@inlined
def _copy(drawn: Drawn, row: int, to: Drawn, at: int) -> None:
    to.ranks[at], to.routes[at] = drawn.ranks[row], drawn.routes[row]
    for index in range(drawn.values.shape[1]):
        to.values[at, index] = drawn.values[row, index]
    for index in range(drawn.measured.shape[1]):
        to.measured[at, index] = drawn.measured[row, index]
    for index in range(drawn.marks.shape[1]):
        to.marks[at, index] = drawn.marks[row, index]


@borrowing
def order_sample(places: Narrow, drawn: Drawn, keys: Ints, to: Drawn) -> None:
    """Write the rows that are kept, sorted by (key, rank).

    Args:
        places: (k,) int32 the track of each key, -1 for none.
        drawn: What is kept.
        keys: (r,) int64 to fill; r rows are in use.
        to: Room for r rows, to fill.
    """
    size = 0
    for key in range(places.size):
        track = int(places[key])
        if track < 0 or drawn.heads[track, 0] == 0:
            continue
        first, row = size, int(drawn.heads[track, 1])
        while row >= 0:
            at = size
            while at > first and to.ranks[at - 1] > drawn.ranks[row]:
                _copy(to, at - 1, to, at)
                at -= 1
            keys[size] = key
            _copy(drawn, row, to, at)
            size += 1
            row = int(drawn.before[row])
