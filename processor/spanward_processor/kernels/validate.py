"""Whether a nested OTLP message is well formed, for every part that no column is made of.

A table says which field of which message is a string or a message; an explicit stack walks it, so that the depth a
sender chooses never becomes our call stack. Source: opentelemetry-proto 1.x, trace, common and resource.
"""

from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Bytes, Ints, borrowing
from spanward_processor.kernels.wire import LENGTH, TOO_DEEP, read_length, read_tag, step_over, text_field

KEY_VALUE: Final = 1
ANY_VALUE: Final = 2
ARRAY: Final = 3
KEY_VALUES: Final = 4
EVENT: Final = 5
LINK: Final = 6
STATUS: Final = 7
ENTITY: Final = 8
SCOPE: Final = 9
RESOURCE: Final = 10
SPAN: Final = 11

_STRING: Final = -1
FIELDS: Final = 16
MAX_DEPTH: Final = 88  # with the levels above, under the official parsers' 100


def _schema() -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    schema = np.zeros((SPAN + 1, FIELDS), np.int64)
    schema[KEY_VALUE, [1, 2]] = _STRING, ANY_VALUE
    schema[ANY_VALUE, [1, 5, 6]] = _STRING, ARRAY, KEY_VALUES
    schema[ARRAY, 1] = ANY_VALUE
    schema[KEY_VALUES, 1] = KEY_VALUE
    schema[EVENT, [2, 3]] = _STRING, KEY_VALUE
    schema[LINK, [3, 4]] = _STRING, KEY_VALUE
    schema[STATUS, 2] = _STRING
    schema[ENTITY, [1, 2, 3, 4]] = _STRING
    schema[SCOPE, [1, 2, 3]] = _STRING, _STRING, KEY_VALUE
    schema[RESOURCE, [1, 3]] = KEY_VALUE, ENTITY
    schema[SPAN, [3, 5, 9, 11, 13, 15]] = _STRING, _STRING, KEY_VALUE, EVENT, LINK, STATUS
    return schema


SCHEMA: Final = _schema()


@borrowing
def validate(data: Bytes, at: int, end: int, message: int, stack: Ints) -> int:
    """Return `end` when the message of the given type is well formed, else a negative error.

    Args:
        data: (b,) uint8 request.
        at: First byte of the message.
        end: One past its last byte.
        message: Message type, one of this module's constants.
        stack: (2, MAX_DEPTH) int64 room for the ends and types of the open messages.
    """
    stack[0, 0], stack[1, 0] = end, message
    depth = 0
    while True:
        while at == stack[0, depth]:
            if depth == 0:
                return end
            depth -= 1
        limit = stack[0, depth]
        number, wire, at = read_tag(data, at, limit)
        if at < 0:
            return at
        kind = SCHEMA[stack[1, depth], number] if wire == LENGTH and number < FIELDS else 0
        if kind <= 0:
            at = text_field(data, at, limit) if kind == _STRING else step_over(data, at, limit, wire)
            if at < 0:
                return at
            continue
        at, stop = read_length(data, at, limit)
        if at < 0:
            return at
        if depth + 1 == MAX_DEPTH:
            return TOO_DEEP
        depth += 1
        stack[0, depth], stack[1, depth] = stop, kind


@borrowing
def message_field(data: Bytes, at: int, end: int, message: int, stack: Ints) -> int:
    """Return the position after a message field, or a negative error when it is malformed."""
    start, stop = read_length(data, at, end)
    if start < 0:
        return start
    return validate(data, start, stop, message, stack)
