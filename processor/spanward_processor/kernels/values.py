"""One value: its kind, and what it is as a code or a number."""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Bytes, Codes, Ints, borrowing, inlined
from spanward_processor.kernels.memory import load_f64
from spanward_processor.kernels.siphash import siphash13
from spanward_processor.kernels.validate import ARRAY, KEY_VALUES, validate
from spanward_processor.kernels.wire import (
    BAD_UTF8,
    FIXED64,
    LENGTH,
    VARINT,
    read_length,
    read_tag,
    read_varint,
    step_over,
    valid_utf8,
)

NOTHING: Final = 0
STRING: Final = 1
BOOL: Final = 2
INT: Final = 3
DOUBLE: Final = 4
OPAQUE: Final = 5  # array or key-value list: no role is read from one
BYTES: Final = 7

STRING_TAG: Final = 0x0A  # AnyValue.string_value
BOOL_TAG: Final = 0x10  # AnyValue.bool_value
INT_TAG: Final = 0x18  # AnyValue.int_value
DOUBLE_TAG: Final = 0x21  # AnyValue.double_value

_TRUE: Final = np.frombuffer(b"true", np.uint8).copy()
_FALSE: Final = np.frombuffer(b"false", np.uint8).copy()


class AnyValue(NamedTuple):
    """One decoded value: its kind, where its payload lies, and the integer it holds."""

    kind: int
    start: int
    end: int
    integer: np.uint64


@borrowing
def read_any_value(data: Bytes, at: int, end: int, stack: Ints) -> tuple[int, AnyValue]:
    """Return `end` (or a negative error) and the value; of several kinds in one message the last counts."""
    if at < end and data[at] == STRING_TAG:  # the common case: one string and nothing else
        start, stop = read_length(data, at + 1, end)
        if start >= 0 and stop == end:
            return (end if valid_utf8(data, start, stop) else BAD_UTF8), AnyValue(STRING, start, stop, np.uint64(0))
    kind, start, stop, integer = NOTHING, at, at, np.uint64(0)
    while at < end:
        number, wire, at = read_tag(data, at, end)
        if at < 0:
            return at, AnyValue(NOTHING, 0, 0, np.uint64(0))
        if wire == LENGTH and (number == 1 or 5 <= number <= 7):
            start, stop = read_length(data, at, end)
            if start < 0:
                return start, AnyValue(NOTHING, 0, 0, np.uint64(0))
            if number == 1 and not valid_utf8(data, start, stop):
                return BAD_UTF8, AnyValue(NOTHING, 0, 0, np.uint64(0))
            if number == 5 or number == 6:
                checked = validate(data, start, stop, ARRAY if number == 5 else KEY_VALUES, stack)
                if checked < 0:
                    return checked, AnyValue(NOTHING, 0, 0, np.uint64(0))
            kind = OPAQUE if number == 5 or number == 6 else number
            at = stop
        elif wire == VARINT and 2 <= number <= 3:
            integer, at = read_varint(data, at, end)
            kind = number
        elif wire == FIXED64 and number == 4:
            start, stop = at, at + 8
            at = step_over(data, at, end, wire)
            kind = DOUBLE
        else:
            kind = OPAQUE if wire == VARINT and number == 8 else kind  # a reference into a table that spans do not have
            at = step_over(data, at, end, wire)
        if at < 0:
            return at, AnyValue(NOTHING, 0, 0, np.uint64(0))
    return end, AnyValue(kind, start, stop, integer)


@borrowing
def _code_of_integer(value: np.uint64, key: Codes, digits: Bytes) -> np.uint64:
    """Return the code of the decimal text, so that version 2 and version "2" are one."""
    negative = value >> np.uint64(63) == np.uint64(1)
    left = np.uint64(0) - value if negative else value
    at = digits.size
    while True:
        at -= 1
        digits[at] = np.uint8(48) + np.uint8(left % np.uint64(10))
        left //= np.uint64(10)
        if left == np.uint64(0):
            break
    if negative:
        at -= 1
        digits[at] = 45
    return siphash13(digits, at, digits.size, key[0], key[1])


@borrowing
def _code_of_bool(value: np.uint64, key: Codes) -> np.uint64:
    if value != np.uint64(0):
        return siphash13(_TRUE, 0, _TRUE.size, key[0], key[1])
    return siphash13(_FALSE, 0, _FALSE.size, key[0], key[1])


@inlined
def text_code(data: Bytes, value: AnyValue, key: Codes, digits: Bytes) -> np.uint64:
    """Return the code of a value in a text role; 0 for kinds that have no text."""
    if value.kind == STRING or value.kind == BYTES:
        if value.end == value.start:
            return np.uint64(0)
        return siphash13(data, value.start, value.end, key[0], key[1])
    if value.kind == INT:
        return _code_of_integer(value.integer, key, digits)
    if value.kind == BOOL:
        return _code_of_bool(value.integer, key)
    return np.uint64(0)


@inlined
def number_of(data: Bytes, value: AnyValue) -> float:
    """Return the value in a number role; NaN for kinds that are no number."""
    if value.kind == DOUBLE:
        return load_f64(data, value.start)
    if value.kind == INT:
        return np.float64(np.int64(value.integer))
    if value.kind == BOOL:
        return 1.0 if value.integer != np.uint64(0) else 0.0
    return np.nan
