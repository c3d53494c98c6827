"""Which objectives a row counts for, and how many good and bad rows each had, by time."""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Codes, Floats, Ints, borrowing, inlined

ERROR: Final = -2  # sources; any other is the place of a number column
LATENCY: Final = -1
_LTE: Final = 0
_LT: Final = 1
_GTE: Final = 2


class Asked(NamedTuple):
    """What o objectives ask of a row.

    Args:
        sources: (o,) int64 `ERROR`, `LATENCY` or the place of a number column.
        ops: (o,) int64 as in `slo.objective.Op`.
        limits: (o,) float64; nanoseconds for latency.
    """

    sources: Ints
    ops: Ints
    limits: Floats


class Ring(NamedTuple):
    """Rows by objective and stretch of event time; a stretch gives its place to the one that comes a full turn later.

    Args:
        stretches: (t,) int64 number of the stretch in each place, -1 for none.
        counts: (o, t, 2) int64 rows, and bad ones among them.
        width_ns: (1,) int64 length of a stretch.
    """

    stretches: Ints
    counts: Ints
    width_ns: Ints


@inlined
def _is_good(value: float, op: int, limit: float) -> bool:
    if op == _LTE:
        return value <= limit
    if op == _LT:
        return value < limit
    return value >= limit if op == _GTE else value > limit


@borrowing
def mark_rows(
    keys: Ints,
    matches: Codes,
    asked: Asked,
    start_ns: Ints,
    end_ns: Ints,
    errors: Ints,
    numbers: Floats,
    counted: Codes,
    bad: Codes,
) -> None:
    """Find the objectives that each row counts for, and those it is bad for; one bit each.

    Args:
        keys: (1 + s, n) int64 from `assign_keys`.
        matches: (k,) uint64 objectives of each key.
        asked: What they ask.
        start_ns: (n,) int64 Unix nanoseconds, 0 where unknown.
        end_ns: (n,) int64.
        errors: (n,) int64, 1 for a failed row.
        numbers: (m, n) float64 number columns, NaN where absent.
        counted: (n,) uint64 to fill; a row without the value that is asked for does not count.
        bad: (n,) uint64 to fill.
    """
    for row in range(keys.shape[1]):
        wanted = np.uint64(0)
        for level in range(keys.shape[0]):
            if keys[level, row] >= 0:
                wanted |= matches[keys[level, row]]
        counted[row] = bad[row] = np.uint64(0)
        if wanted == np.uint64(0):
            continue
        for index in range(asked.sources.size):
            bit = np.uint64(1) << np.uint64(index)
            if wanted & bit == np.uint64(0):
                continue
            source = asked.sources[index]
            if source == ERROR:
                good = errors[row] == 0
            elif source == LATENCY:
                if start_ns[row] <= 0 or end_ns[row] < start_ns[row]:
                    continue
                good = _is_good(np.float64(end_ns[row] - start_ns[row]), asked.ops[index], asked.limits[index])
            else:
                if np.isnan(numbers[source, row]):
                    continue
                good = _is_good(numbers[source, row], asked.ops[index], asked.limits[index])
            counted[row] |= bit
            if not good:
                bad[row] |= bit


@borrowing
def tally_rows(time_ns: Ints, counted: Codes, bad: Codes, ring: Ring) -> None:
    """Count marked rows in their stretches; those older than a full turn are left out.

    Args:
        time_ns: (n,) int64 event times, Unix nanoseconds.
        counted: (n,) uint64 from `mark_rows`.
        bad: (n,) uint64 likewise.
        ring: Changed.
    """
    for row in range(time_ns.size):
        if counted[row] == np.uint64(0) or time_ns[row] < 0:
            continue
        stretch = time_ns[row] // ring.width_ns[0]
        place = stretch % ring.stretches.size
        if ring.stretches[place] > stretch:
            continue
        if ring.stretches[place] < stretch:
            ring.stretches[place] = stretch
            for index in range(ring.counts.shape[0]):
                ring.counts[index, place, 0] = ring.counts[index, place, 1] = 0
        for index in range(ring.counts.shape[0]):
            bit = np.uint64(1) << np.uint64(index)
            if counted[row] & bit != np.uint64(0):
                ring.counts[index, place, 0] += 1
                ring.counts[index, place, 1] += 1 if bad[row] & bit != np.uint64(0) else 0


@borrowing
def add_marks(counted: Codes, bad: Codes, totals: Ints) -> None:
    """Count marked rows, whenever they were.

    Args:
        counted: (n,) uint64 from `mark_rows`.
        bad: (n,) uint64 likewise.
        totals: (o, 2) int64 rows and bad rows, changed.
    """
    for row in range(counted.size):
        for index in range(totals.shape[0]):
            bit = np.uint64(1) << np.uint64(index)
            if counted[row] & bit != np.uint64(0):
                totals[index, 0] += 1
                totals[index, 1] += 1 if bad[row] & bit != np.uint64(0) else 0


@borrowing
def sum_stretches(ring: Ring, first: int, last: int, index: int, sums: Ints) -> None:
    """Add up the stretches `first` to `last`, both included, of one objective.

    Args:
        ring: What was counted.
        first: Number of a stretch.
        last: Number of a stretch, less than a full turn later.
        index: The objective.
        sums: (2,) int64 to fill: rows and bad rows.
    """
    sums[0] = sums[1] = 0
    for stretch in range(max(first, 0), last + 1):
        place = stretch % ring.stretches.size
        if ring.stretches[place] == stretch:
            sums[0] += ring.counts[index, place, 0]
            sums[1] += ring.counts[index, place, 1]
