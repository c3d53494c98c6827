"""Requests of a batch by the versions of the parts that served them: prompt templates, indexes, guardrails, the service itself."""

from collections.abc import Iterator, Mapping, Sequence
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
        keys: (k,) int64 key of the series; for a service that of any of its series.
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


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a batch tells the versions of parts.

    Args:
        of_part: Column of each part.
        service: Column of the service's name.
        every: Columns among which those of all parts are.
    """

    of_part: Mapping[Part, int]
    service: int
    every: slice

    @classmethod
    def of(cls, roles: RoleTable) -> "Columns":
        """Return those of a table of roles."""
        of_part = {part: roles.text(role) for part, role in ROLES.items()}
        return cls(of_part, roles.text("service"), slice(min(of_part.values()), max(of_part.values()) + 1))


def tallies_of(batch: SpanBatch, rows: Rows, columns: Columns, width_ns: int) -> Iterator[Tally]:
    """Yield how many requests each version of each part served.

    Args:
        batch: The decoded request.
        rows: Its rows.
        columns: Where their versions are.
        width_ns: Length of a window, nanoseconds.
    """
    keys = rows.keys[0]
    for part, column in columns.of_part.items():
        codes = batch.codes[column]
        chosen = np.flatnonzero((codes != 0) & (keys > 0))
        if chosen.size:
            whose = batch.codes[columns.service] if part is Part.SERVICE else keys
            yield _tally(part, chosen, (whose[chosen], codes[chosen], rows.time_ns[chosen] // width_ns), rows)


def _tally(part: Part, chosen: Ints, columns: tuple[Ints | Codes, Codes, Ints], rows: Rows) -> Tally:
    order = np.arange(chosen.size)
    new = _differ(columns)
    if new.any():  # what comes from one process is of one version, and needs no sorting
        order = np.lexsort(columns)
        new = _differ([column[order] for column in columns])
    firsts = np.concatenate(([0], np.flatnonzero(new) + 1))
    counts = np.diff(firsts, append=chosen.size)
    if firsts.size > MOST:
        largest = np.argsort(-counts, kind="stable")[:MOST]
        firsts, counts = firsts[largest], counts[largest]
    at = order[firsts]
    own = chosen[at]
    return Tally(part, rows.keys[0, own], columns[1][at], rows.time_ns[own], counts, own)


def _differ(columns: Sequence[Ints | Codes]) -> Flags:
    """Return (n - 1,) bool whether a row differs from the one before it in any column."""
    first, *others = (np.not_equal(column[1:], column[:-1]) for column in columns)
    for other in others:
        first |= other
    return first
