"""Rows of series that are rarely seen wait until there are enough of them."""

from typing import NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Bytes, Ints, Narrow, borrowing, inlined
from spanward_processor.kernels.sampling import UNKNOWN, Shorts


class Waiters(NamedTuple):
    """Rows that wait, sorted by series, the oldest of a series first; there may be many, so they are kept narrow.

    Args:
        keys: (w,) int32 series.
        ages: (w,) uint8 windows that each has waited.
        values: (w, d) int16 numbers.
    """

    keys: Narrow
    ages: Bytes
    values: Shorts


@inlined
def _is_related(values: Shorts, row: int, fewest: int) -> bool:
    known = 0
    for index in range(values.shape[1]):
        known += 1 if values[row, index] != UNKNOWN else 0
    return known >= fewest


@inlined
def _copy(values: Shorts, row: int, to: Shorts, at: int) -> None:
    for index in range(values.shape[1]):
        to[at, index] = values[row, index]


@borrowing
def sift_rows(
    keys: Ints,
    values: Shorts,
    related: int,
    waiting: Waiters,
    fewest: int,
    longest: int,
    enough_keys: Ints,
    starts: Ints,
    enough: Shorts,
    stay: Waiters,
    sizes: Ints,
) -> None:
    """Add a window's rows to those that wait, and part the series that have enough from those that go on waiting.

    Args:
        keys: (n,) int64 series of the window's rows, ascending.
        values: (n, d) int16 their numbers, `UNKNOWN` where a row has none.
        related: Numbers that a row must have; others are left out.
        waiting: (w,) what waits.
        fewest: Rows that are enough.
        longest: Windows after which a row is forgotten.
        enough_keys: ((n + w) // fewest,) int64 to fill with the series that have enough.
        starts: (1 + (n + w) // fewest,) int64 to fill: where the rows of each begin.
        enough: (n + w, d) int16 to fill with their rows.
        stay: (n + w,) to fill with the rows of the others.
        sizes: (3,) int64 to fill: series and rows that have enough, rows in `stay`.
    """
    first = begin = groups = ready = left = 0
    starts[0] = 0
    while first < keys.size or begin < waiting.keys.size:
        key = keys[first] if first < keys.size else np.int64(waiting.keys[begin])
        if begin < waiting.keys.size and waiting.keys[begin] < key:
            key = np.int64(waiting.keys[begin])
        last, end, rows = first, begin, 0
        while last < keys.size and keys[last] == key:
            rows += 1 if _is_related(values, last, related) else 0
            last += 1
        while end < waiting.keys.size and waiting.keys[end] == key:
            rows += 1
            end += 1
        if rows >= fewest:
            for row in range(begin, end):
                _copy(waiting.values, row, enough, ready)
                ready += 1
            for row in range(first, last):
                if _is_related(values, row, related):
                    _copy(values, row, enough, ready)
                    ready += 1
            enough_keys[groups] = key
            groups += 1
            starts[groups] = ready
        else:
            for row in range(begin, end):
                if waiting.ages[row] + 1 < longest:
                    stay.keys[left], stay.ages[left] = key, waiting.ages[row] + 1
                    _copy(waiting.values, row, stay.values, left)
                    left += 1
            for row in range(first, last):
                if _is_related(values, row, related):
                    stay.keys[left], stay.ages[left] = key, 0
                    _copy(values, row, stay.values, left)
                    left += 1
        first, begin = last, end
    sizes[0], sizes[1], sizes[2] = groups, ready, left


def empty_waiters(rows: int, numbers: int) -> Waiters:
    """Return room for so many rows of so many numbers."""
    return Waiters(np.empty(rows, np.int32), np.empty(rows, np.uint8), np.empty((rows, numbers), np.int16))
