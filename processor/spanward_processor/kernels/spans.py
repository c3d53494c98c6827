"""The spans of a request into columns, one row each.

Source: opentelemetry-proto, trace/v1.
"""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.attributes import RESERVED, Names, Values, read_attribute, read_resource_attribute
from spanward_processor.kernels.frames import Frames
from spanward_processor.kernels.jit import Bytes, Ints, borrowing, inlined
from spanward_processor.kernels.memory import load_u64
from spanward_processor.kernels.validate import EVENT, LINK, message_field
from spanward_processor.kernels.wire import (
    FIXED64,
    LENGTH,
    VARINT,
    read_length,
    read_tag,
    read_varint,
    step_over,
    text_field,
)

RESOURCE_RANK: Final = 1 << 20  # what a resource says yields to what a span says
FREE_RANK: Final = 1 << 40


class Facts(NamedTuple):
    """Per-span facts that are no attribute.

    Args:
        start_ns: (n,) int64 Unix nanoseconds, 0 where absent.
        end_ns: (n,) int64.
        status: (n,) int64 status code: 0 unset, 1 ok, 2 error.
        trace_at: (n,) int64 offset of the 16-byte trace id, -1 where it is absent or of another length.
        reserved: (n,) int64 how many attributes under the processor's own prefix came in.
    """

    start_ns: Ints
    end_ns: Ints
    status: Ints
    trace_at: Ints
    reserved: Ints


@borrowing
def _read_status(data: Bytes, at: int, end: int, row: int, facts: Facts) -> int:
    start, stop = read_length(data, at, end)
    if start < 0:
        return start
    at = start
    while at < stop:
        number, wire, at = read_tag(data, at, stop)
        if at < 0:
            return at
        if number == 3 and wire == VARINT:
            code, at = read_varint(data, at, stop)
            facts.status[row] = np.int64(code)
        elif number == 2 and wire == LENGTH:
            at = text_field(data, at, stop)
        else:
            at = step_over(data, at, stop, wire)
        if at < 0:
            return at
    return stop


@inlined
def _read_time(data: Bytes, at: int, end: int, number: int, row: int, facts: Facts) -> int:
    after = step_over(data, at, end, FIXED64)
    if after < 0:
        return after
    time = np.int64(load_u64(data, at))
    if number == 7:
        facts.start_ns[row] = time
    elif number == 8:
        facts.end_ns[row] = time
    return after


@borrowing
def _read_span_part(data: Bytes, at: int, end: int, number: int, row: int, facts: Facts, stack: Ints) -> int:
    """Read one length-delimited field of a span that is not an attribute."""
    if number == 1:
        start, stop = read_length(data, at, end)
        facts.trace_at[row] = start if stop - start == 16 else -1
        return stop if start >= 0 else start
    if number == 3 or number == 5:
        return text_field(data, at, end)
    if number == 11:
        return message_field(data, at, end, EVENT, stack)
    if number == 13:
        return message_field(data, at, end, LINK, stack)
    if number == 15:
        return _read_status(data, at, end, row, facts)
    return step_over(data, at, end, LENGTH)


@inlined
def _begin_row(row: int, values: Values) -> None:
    """Start a span with what its resource says."""
    base = values.numbers.shape[1] - 1
    for role in range(values.codes.shape[0]):
        values.codes[role, row] = values.codes[role, base]
        values.text_at[role, row] = values.text_at[role, base]
        values.text_size[role, row] = values.text_size[role, base]
    for role in range(values.numbers.shape[0]):
        values.numbers[role, row] = values.numbers[role, base]
    for role in range(values.ranks.shape[1]):
        values.ranks[0, role] = RESOURCE_RANK if values.ranks[1, role] < FREE_RANK else FREE_RANK


@inlined
def _read_span(data: Bytes, at: int, end: int, row: int, names: Names, values: Values, facts: Facts) -> int:
    _begin_row(row, values)
    facts.trace_at[row] = -1
    index = 0
    while at < end:
        number, wire, at = read_tag(data, at, end)
        if at < 0:
            return at
        if wire == LENGTH and number == 9:
            start, stop = read_length(data, at, end)
            if start < 0:
                return start
            role = read_attribute(data, start, stop, index, row, 0, names, values)
            if role < RESERVED:
                return role + 10
            facts.reserved[row] += 1 if role == RESERVED else 0
            index += 1
            at = stop
        elif wire == LENGTH:
            at = _read_span_part(data, at, end, number, row, facts, values.stack)
        elif wire == FIXED64:
            at = _read_time(data, at, end, number, row, facts)
        else:
            at = step_over(data, at, end, wire)
        if at < 0:
            return at
    return end


@borrowing
def _read_resource(data: Bytes, frame: Ints, names: Names, values: Values) -> None:
    """Read the attributes of a resource, which `locate_frames` has found well formed, into the last column."""
    base = values.numbers.shape[1] - 1
    values.codes[:, base] = np.uint64(0)
    values.numbers[:, base] = np.nan
    values.ranks[1, :] = FREE_RANK
    at, end = frame[2], frame[3]
    while at < end:
        number, wire, at = read_tag(data, at, end)
        if number == 1 and wire == LENGTH:
            start, stop = read_length(data, at, end)
            inner = start
            while inner < stop:
                field, kind, inner = read_tag(data, inner, stop)
                if field == 1 and kind == LENGTH:
                    first, last = read_length(data, inner, stop)
                    read_resource_attribute(data, first, last, base, names, values)
                inner = step_over(data, inner, stop, kind)
        at = step_over(data, at, end, wire)


@borrowing
def read_spans(data: Bytes, names: Names, values: Values, facts: Facts, frames: Frames, done: Ints) -> int:
    """Fill the columns of a request whose frames were located.

    Args:
        data: (b,) uint8 encoded ExportTraceServiceRequest.
        names: Role table.
        values: Attribute columns, one longer than the number of spans.
        facts: Columns of what is no attribute.
        frames: Where each message lies.
        done: (1,) int64 zero; counts the spans read.

    Returns:
        0, or a negative error of `wire`.
    """
    current = -1
    for row in range(frames.spans.shape[0]):
        resource = frames.scopes[frames.spans[row, 4], 4]
        if resource != current:
            _read_resource(data, frames.resources[resource], names, values)
            current = resource
        error = _read_span(data, frames.spans[row, 2], frames.spans[row, 3], row, names, values, facts)
        if error < 0:
            return error
        done[0] += 1
    return 0
