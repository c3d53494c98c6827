"""Where every resource, scope and span of a request lies.

Source: opentelemetry-proto, collector/trace/v1 and trace/v1. A field with an unexpected wire type is an unknown field,
as it is for the official parsers.
"""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.attributes import key_is_reserved
from spanward_processor.kernels.jit import Bytes, Ints, borrowing
from spanward_processor.kernels.memory import prefetch
from spanward_processor.kernels.validate import RESOURCE, SCOPE, message_field
from spanward_processor.kernels.wire import LENGTH, read_length, read_tag, step_over, text_field

TAG_AT: Final = 0
LENGTH_AT: Final = 1
START: Final = 2
END: Final = 3
PARENT: Final = 4

RESOURCE_ATTRIBUTES: Final = 1
SCOPE_ATTRIBUTES: Final = 3

_AHEAD: Final = 4  # spans; one tells where the next begins, and where later ones do if they are as long

_CHILD: Final = np.array([1, 2, 2], np.int64)  # request.resource_spans, resource_spans.scope_spans, scope_spans.spans


class Frames(NamedTuple):
    """Rows of (tag offset, length offset, payload start, payload end, parent row).

    Args:
        resources: (r, 5) int64.
        scopes: (s, 5) int64; parent is a row of `resources`.
        spans: (n, 5) int64; parent is a row of `scopes`.
    """

    resources: Ints
    scopes: Ints
    spans: Ints


@borrowing
def _record(rows: Ints, row: int, tag_at: int, length_at: int, start: int, end: int, parent: int) -> None:
    if row < rows.shape[0]:
        rows[row, 0], rows[row, 1], rows[row, 2], rows[row, 3], rows[row, 4] = tag_at, length_at, start, end, parent


@borrowing
def _reserved_in(data: Bytes, at: int, end: int, field: int) -> int:
    """Return how many attributes of a well-formed Resource or InstrumentationScope are under the processor's own prefix."""
    found = 0
    at, end = read_length(data, at, end)
    while at < end:
        number, wire, at = read_tag(data, at, end)
        if number == field and wire == LENGTH:
            start, stop = read_length(data, at, end)
            found += 1 if key_is_reserved(data, start, stop) else 0
        at = step_over(data, at, end, wire)
    return found


@borrowing
def _step_beside(data: Bytes, at: int, end: int, level: int, number: int, wire: int, stack: Ints) -> int:
    """Step over a field that is not the child frame; check it where it is a string or a message."""
    if wire != LENGTH or level == 0:
        return step_over(data, at, end, wire)
    if number == 1:
        return message_field(data, at, end, RESOURCE if level == 1 else SCOPE, stack)
    if number == 3:  # schema_url
        return text_field(data, at, end)
    return step_over(data, at, end, wire)


@borrowing
def locate_frames(data: Bytes, frames: Frames, found: Ints, stack: Ints) -> int:
    """Count the frames of a request and note those for which there is room.

    Where there was not room for all, call it again with arrays of the sizes found.

    Args:
        data: (b,) uint8 encoded ExportTraceServiceRequest.
        frames: Arrays to fill.
        found: (5,) int64 to fill: resources, scopes and spans; where the field begins that was read last; how many
            attributes under the processor's own prefix resources and scopes have.
        stack: (2, MAX_DEPTH) int64 room for `validate`.

    Returns:
        0, or a negative error of `wire`.
    """
    found[:] = 0
    ends = (data.size, 0, 0)
    level, at = 0, 0
    while True:
        while at == ends[level]:
            if level == 0:
                return 0
            level -= 1
        end = ends[level]
        found[3] = tag_at = at
        number, wire, at = read_tag(data, at, end)
        if at < 0:
            return at
        if wire != LENGTH or number != _CHILD[level]:
            after = _step_beside(data, at, end, level, number, wire, stack)
            if after < 0:
                return after
            if number == 1 and wire == LENGTH and level > 0:
                found[4] += _reserved_in(data, at, end, RESOURCE_ATTRIBUTES if level == 1 else SCOPE_ATTRIBUTES)
            at = after
            continue
        start, stop = read_length(data, at, end)
        if start < 0:
            return start
        rows = frames.resources if level == 0 else frames.scopes if level == 1 else frames.spans
        _record(rows, found[level], tag_at, at, start, stop, found[level - 1] - 1 if level else -1)
        found[level] += 1
        at = start if level < 2 else stop
        if level == 2:
            prefetch(data, stop + _AHEAD * (stop - tag_at))
        if level == 0:
            ends = (ends[0], stop, 0)
            level = 1
        elif level == 1:
            ends = (ends[0], ends[1], stop)
            level = 2
