"""Which spans of a decoded request are over a limit of ours."""

from typing import Final

from spanward_processor.kernels.frames import END, START
from spanward_processor.kernels.jit import Bytes, Ints, borrowing
from spanward_processor.kernels.validate import FIELDS, MAX_DEPTH, SCHEMA, SPAN
from spanward_processor.kernels.wire import LENGTH, read_length, read_tag, step_over

ATTRIBUTES: Final = 1
VALUE: Final = 2

WALK_DEPTH: Final = MAX_DEPTH + 4  # a span, its attribute and that one's value lie above what `validate` counts


@borrowing
def longest_value(data: Bytes, at: int, end: int, stack: Ints) -> int:
    """Return the bytes of the longest text, bytes value or unknown field of a well-formed span, however deep it lies.

    Args:
        data: (b,) uint8 request.
        at: First byte of the span.
        end: One past its last byte.
        stack: (2, WALK_DEPTH) int64 room for the ends and types of the open messages.
    """
    stack[0, 0], stack[1, 0] = end, SPAN
    depth = longest = 0
    while True:
        while at == stack[0, depth]:
            if depth == 0:
                return longest
            depth -= 1
        limit = stack[0, depth]
        number, wire, at = read_tag(data, at, limit)
        if wire != LENGTH:
            at = step_over(data, at, limit, wire)
            continue
        at, stop = read_length(data, at, limit)
        kind = SCHEMA[stack[1, depth], number] if number < FIELDS else 0
        if kind > 0:
            depth += 1
            stack[0, depth], stack[1, depth] = stop, kind
        else:
            longest = max(longest, stop - at)
            at = stop


@borrowing
def find_excess(
    data: Bytes, spans: Ints, attributes: Ints, most_attributes: int, most_bytes: int, stack: Ints, excess: Ints
) -> int:
    """Find the spans that are over a limit.

    Args:
        data: (b,) uint8 request.
        spans: (n, 5) int64 span frames.
        attributes: (n,) int64 how many attributes each span has.
        most_attributes: Attributes a span may have.
        most_bytes: Bytes its longest value may have.
        stack: (2, WALK_DEPTH) int64 room.
        excess: (2, n) int64 to fill: `ATTRIBUTES`, `VALUE` or 0, and what was found.

    Returns:
        How many there are.
    """
    over = 0
    for row in range(spans.shape[0]):
        excess[0, row], excess[1, row] = 0, 0
        if attributes[row] > most_attributes:
            excess[0, row], excess[1, row] = ATTRIBUTES, attributes[row]
        elif spans[row, END] - spans[row, START] > most_bytes:
            longest = longest_value(data, spans[row, START], spans[row, END], stack)
            if longest > most_bytes:
                excess[0, row], excess[1, row] = VALUE, longest
        over += 1 if excess[0, row] > 0 else 0
    return over
