"""The spans of a request into columns, one row each.

Source: opentelemetry-proto, trace/v1.
"""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.attributes import (
    ATTRIBUTE_TAG,
    PREDICTED,
    RESERVED,
    Names,
    Room,
    Values,
    read_attribute,
    read_familiar,
)
from spanward_processor.kernels.frames import END, PARENT, START, Frames
from spanward_processor.kernels.jit import Bytes, Ints, borrowing, inlined, signed
from spanward_processor.kernels.memory import load_u64
from spanward_processor.kernels.runs import after_ascii
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

# tags of fields in a span, as those are mostly written
_TRACE_TAG: Final = 0x0A  # trace_id, length-delimited, as the next two
_SPAN_TAG: Final = 0x12
_PARENT_TAG: Final = 0x22
_NAME_TAG: Final = 0x2A  # name, a string
_TAKEN: Final = (_SPAN_TAG, _PARENT_TAG, _NAME_TAG)  # of no interest once they are well formed
_KIND_TAG: Final = 0x30  # kind, a varint
_START_TAG: Final = 0x39  # start_time_unix_nano, fixed64
_END_TAG: Final = 0x41


class Facts(NamedTuple):
    """Per-span facts that are no attribute.

    Args:
        start_ns: (n,) int64 Unix nanoseconds, 0 where absent.
        end_ns: (n,) int64.
        status: (n,) int64 status code: 0 unset, 1 ok, 2 error.
        trace_at: (n,) int64 offset of the 16-byte trace id, -1 where it is absent or of another length.
        reserved: (n,) int64 how many attributes under the processor's own prefix came in.
        attributes: (n,) int64 how many attributes came in.
    """

    start_ns: Ints
    end_ns: Ints
    status: Ints
    trace_at: Ints
    reserved: Ints
    attributes: Ints


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
            facts.status[row] = np.int64(np.int32(code))  # an enumeration has 32 bits, as for the official parsers
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


@borrowing
def _fill_from_resource(first: int, last: int, resource: Values, values: Values) -> None:
    """Start the spans `first` to `last` with what their resource says; columns are absent before."""
    texts = values.codes.shape[0]
    for role in range(values.holders.size):
        if resource.holders[role] < 0:
            continue
        for row in range(first, last):
            if role < texts:
                values.codes[role, row] = resource.codes[role, 0]
                values.text_at[role, row] = resource.text_at[role, 0]
                values.text_size[role, row] = resource.text_size[role, 0]
            else:
                values.numbers[role - texts, row] = resource.numbers[role - texts, 0]


@inlined
def _read_plain(data: Bytes, at: int, end: int, head: np.uint64, row: int, facts: Facts) -> int:
    """Read a field as spans mostly have it: short, and of the length that the specification gives it.

    Args:
        data: (b,) uint8 request.
        at: First byte of the field's tag.
        end: One past the span's last byte.
        head: The eight bytes at `at`.
        row: Row to fill.
        facts: Columns being filled.

    Returns:
        The position after it; 0 for one that is to be read field by field.
    """
    tag, size = signed(head & np.uint64(0xFF)), signed(head >> np.uint64(8) & np.uint64(0xFF))
    if tag == _START_TAG and at + 9 <= end:
        facts.start_ns[row] = signed(load_u64(data, at + 1))
        return at + 9
    if tag == _END_TAG and at + 9 <= end:
        facts.end_ns[row] = signed(load_u64(data, at + 1))
        return at + 9
    stop = at + 2 + size
    if size >= 128 or stop > end:
        return 0
    if tag == _TRACE_TAG and size == 16:
        facts.trace_at[row] = at + 2
        return stop
    if tag == _NAME_TAG and after_ascii(data, at + 2, stop) < stop:
        return 0
    if tag == _KIND_TAG:
        return at + 2
    return stop if tag in _TAKEN else 0


@inlined
def _read_span(data: Bytes, at: int, end: int, row: int, names: Names, values: Values, facts: Facts, room: Room) -> int:
    facts.trace_at[row] = -1
    index = 0
    while at < end:
        head = load_u64(data, at) if at + 8 <= end else np.uint64(0)
        first = signed(head & np.uint64(0xFF))
        if first == ATTRIBUTE_TAG:
            stop, role = read_familiar(data, at, end, head, index, row, names, values, room)
            if stop > 0:
                if role < RESERVED:
                    return role + 10
                facts.reserved[row] += 1 if role == RESERVED else 0
                index += 1
                at = stop
                continue
        else:
            after = _read_plain(data, at, end, head, row, facts)
            if after > 0:
                at = after
                continue
        number, wire, at = read_tag(data, at, end)
        if at < 0:
            return at
        if wire == LENGTH and number == 9:
            start, stop = read_length(data, at, end)
            if start < 0:
                return start
            role = read_attribute(data, start, stop, index, row, names, values, room)
            if role < RESERVED:
                return role + 10
            facts.reserved[row] += 1 if role == RESERVED else 0
            index += 1
            at = stop
        elif wire == LENGTH:
            at = _read_span_part(data, at, end, number, row, facts, room.stack)
        elif wire == FIXED64:
            at = _read_time(data, at, end, number, row, facts)
        else:
            at = step_over(data, at, end, wire)
        if at < 0:
            return at
    facts.attributes[row] = index
    return end


@borrowing
def _read_resource(data: Bytes, frame: Ints, names: Names, resource: Values, room: Room) -> None:
    """Read the attributes of a resource, which `locate_frames` has found well formed."""
    resource.holders[:] = -1
    at, end = frame[START], frame[END]
    while at < end:
        number, wire, at = read_tag(data, at, end)
        if number == 1 and wire == LENGTH:
            start, stop = read_length(data, at, end)
            inner = start
            while inner < stop:
                field, kind, inner = read_tag(data, inner, stop)
                if field == 1 and kind == LENGTH:
                    first, last = read_length(data, inner, stop)
                    read_attribute(data, first, last, PREDICTED, 0, names, resource, room)
                inner = step_over(data, inner, stop, kind)
        at = step_over(data, at, end, wire)


@borrowing
def _last_of(resource: int, row: int, frames: Frames) -> int:
    """Return the row after the last span of a resource, whose spans lie together."""
    while row < frames.spans.shape[0] and frames.scopes[frames.spans[row, PARENT], PARENT] == resource:
        row += 1
    return row


@borrowing
def read_spans(
    data: Bytes, names: Names, resource: Values, values: Values, facts: Facts, room: Room, frames: Frames, found: Ints
) -> int:
    """Fill the columns of a request whose frames were located.

    Args:
        data: (b,) uint8 encoded ExportTraceServiceRequest.
        names: Role table.
        resource: Columns of one row, for what a resource says.
        values: Attribute columns, a row for each span.
        facts: Columns of what is no attribute.
        room: Room to work in, whatever it holds.
        frames: Where each message lies.
        found: (4,) int64 of which the first becomes the number of spans read, the second that of attributes under the
            processor's own prefix.

    Returns:
        0, or a negative error of `wire`.
    """
    found[0] = found[1] = 0
    values.holders[:] = -1
    values.numbers[:] = np.nan
    room.heads[:] = 0
    room.recent[:] = 0
    row = 0
    while row < frames.spans.shape[0]:
        parent = frames.scopes[frames.spans[row, PARENT], PARENT]
        last = _last_of(parent, row, frames)
        _read_resource(data, frames.resources[parent], names, resource, room)
        _fill_from_resource(row, last, resource, values)
        while row < last:
            error = _read_span(data, frames.spans[row, START], frames.spans[row, END], row, names, values, facts, room)
            if error < 0:
                return error
            found[0] += 1
            found[1] += facts.reserved[row]
            row += 1
    return 0
