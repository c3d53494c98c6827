"""Requests of a batch by the versions of the parts that served them: prompt templates, indexes, guardrails, the service itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.columns import SpanBatch
from spanward_processor.dora.subjects import ROLES, Part
from spanward_processor.features import Rows
from spanward_processor.kernels.jit import Codes, Flags, Ints
from spanward_processor.roles import RoleTable

MOST: Final = 256
"""Tallies of one part in one request; the requests of rarer versions count for nobody."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests that have series, version and window in common, k times.

    Args:
        part: What has the version.
        keys: (k,) int64 key of the series.
        codes: (k,) uint64 code of the version.
        times_ns: (k,) int64 event time of one of them, Unix nanoseconds.
        counts: (k,) int64 how many.
        rows: (k,) int64 the row of one of them.
    """

    part: Part
    keys: Ints
    codes: Codes
    times_ns: Ints
    counts: Ints
    rows: Ints


def columns_of(roles: RoleTable) -> tuple[tuple[Part, int], ...]:
    """Return the parts and the columns that tell their versions."""
    return tuple((part, roles.text(role)) for part, role in ROLES.items())


def tallies_of(batch: SpanBatch, rows: Rows, columns: Sequence[tuple[Part, int]], width_ns: int) -> Iterator[Tally]:
    """Yield how many requests each version of each part served; a batch that names none costs a glance.

    Args:
        batch: The decoded request.
        rows: Its rows.
        columns: See `columns_of`.
        width_ns: Length of a window, nanoseconds.
    """
    keys = rows.keys[0]
    for part, column in columns:
        codes = batch.codes[column]
        if not codes.any():
            continue
        chosen = np.flatnonzero((codes != 0) & (keys > 0))
        if chosen.size:
            yield _tally(part, chosen, keys[chosen], codes[chosen], rows.time_ns[chosen] // width_ns, rows.time_ns)


def _tally(part: Part, chosen: Ints, keys: Ints, codes: Codes, windows: Ints, time_ns: Ints) -> Tally:
    order = np.arange(chosen.size)
    new = _differs(keys) | _differs(codes) | _differs(windows)
    if new.any():  # what comes from one process is of one version, and needs no sorting
        order = np.lexsort((windows, codes, keys))
        new = _differs(keys[order]) | _differs(codes[order]) | _differs(windows[order])
    firsts = np.concatenate(([0], np.flatnonzero(new) + 1))
    counts = np.diff(firsts, append=chosen.size)
    if firsts.size > MOST:
        largest = np.argsort(-counts, kind="stable")[:MOST]
        firsts, counts = firsts[largest], counts[largest]
    at = order[firsts]
    return Tally(part, keys[at], codes[at], time_ns[chosen[at]], counts, chosen[at])


def _differs(values: Ints | Codes) -> Flags:
    return np.not_equal(values[1:], values[:-1])
