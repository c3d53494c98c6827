"""One attribute: which role its key plays, and its value as a code or a number."""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Bytes, Codes, Floats, Ints, borrowing, inlined, signed
from spanward_processor.kernels.memory import load_f64, load_u64, same_bytes
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

NO_ROLE: Final = -1
RESERVED: Final = -2  # spanward.anomaly.*: only the processor may write it

NOTHING: Final = 0
STRING: Final = 1
BOOL: Final = 2
INT: Final = 3
DOUBLE: Final = 4
OPAQUE: Final = 5  # array or key-value list: no role is read from one
BYTES: Final = 7

PREDICTED: Final = 64  # positions whose key is remembered from the span before

_KEY_TAG: Final = 0x0A  # KeyValue.key, length-delimited
_VALUE_TAG: Final = 0x12  # KeyValue.value, length-delimited
_STRING_TAG: Final = 0x0A  # AnyValue.string_value

_RESERVED_WORDS: Final = np.frombuffer(b"spanward.anomaly.", np.uint8).copy()
_TRUE: Final = np.frombuffer(b"true", np.uint8).copy()
_FALSE: Final = np.frombuffer(b"false", np.uint8).copy()
_SPANWARD: Final = np.uint64(int.from_bytes(b"spanward", "little"))


class Names(NamedTuple):
    """The role table as an open-addressing hash table over attribute names.

    Args:
        hashes: (c,) uint64 keyed hash of the name, 0 for a free place; c is a power of two.
        roles: (c,) int64 column; text columns first, number columns after them.
        ranks: (c,) int64 place of the name in its role's list; a lower one wins.
        texts: (1,) int64 number of text columns.
        key: (2,) uint64 hash key.
    """

    hashes: Codes
    roles: Ints
    ranks: Ints
    texts: Ints
    key: Codes


class Values(NamedTuple):
    """Columns being filled; the last column holds what the resource says.

    Args:
        codes: (t, n + 1) uint64 keyed hash of a text, 0 where absent.
        text_at: (t, n + 1) int64 offset of its AnyValue in the request.
        text_size: (t, n + 1) int64 length of that AnyValue.
        numbers: (m, n + 1) float64, NaN where absent.
        holders: (2, t + m) int64 column in which each role was filled last, by a span (row 0) and by the resource (row 1).
        ranks: (2, t + m) int64 rank by which it did.
        digits: (20,) uint8 room to write an integer's decimal text.
        stack: (2, MAX_DEPTH) int64 room for `validate`.
        seen: (3, PREDICTED) int64 key offset, key length and place in `Names` by position in the previous span.
    """

    codes: Codes
    text_at: Ints
    text_size: Ints
    numbers: Floats
    holders: Ints
    ranks: Ints
    digits: Bytes
    stack: Ints
    seen: Ints


class AnyValue(NamedTuple):
    """One decoded value: its kind, where its payload lies, and the integer it holds."""

    kind: int
    start: int
    end: int
    integer: np.uint64


@borrowing
def _is_reserved(data: Bytes, start: int, end: int) -> bool:
    if end - start < _RESERVED_WORDS.size or load_u64(data, start) != _SPANWARD:
        return False
    same = True
    for index in range(8, _RESERVED_WORDS.size):
        same &= data[start + index] == _RESERVED_WORDS[index]
    return same


@borrowing
def _find_name(data: Bytes, start: int, end: int, names: Names) -> int:
    """Return the place of a name in the table, or `NO_ROLE` or `RESERVED`."""
    code = siphash13(data, start, end, names.key[0], names.key[1])
    mask = names.hashes.size - 1
    place = signed(code & np.uint64(mask))
    while names.hashes[place] != np.uint64(0):
        if names.hashes[place] == code:
            return place
        place = (place + 1) & mask
    return RESERVED if _is_reserved(data, start, end) else NO_ROLE


@inlined
def _predicted(data: Bytes, at: int, end: int, index: int, seen: Ints) -> int:
    """Return where the value's tag lies when the key is the one at this place in the span before, else -1.

    Senders repeat one order of attributes, so this mostly holds; such a key was checked and looked up before.
    """
    if index >= PREDICTED or at + 2 > end or data[at] != _KEY_TAG:
        return -1
    size = int(seen[1, index])
    after = at + 2 + size
    if data[at + 1] != size or after > end or not same_bytes(data, seen[0, index], at + 2, size):
        return -1
    return after


@inlined
def _place_of(data: Bytes, start: int, end: int, index: int, names: Names, seen: Ints) -> int:
    """Return the key's place, and remember it for the same place in the next span where its length takes one byte."""
    place = _find_name(data, start, end, names)
    if index < PREDICTED:
        seen[0, index], seen[1, index], seen[2, index] = start, end - start if end - start < 128 else -1, place
    return place


@inlined
def read_any_value(data: Bytes, at: int, end: int, stack: Ints) -> tuple[int, AnyValue]:
    """Return `end` (or a negative error) and the value; of several kinds in one message the last counts."""
    if at < end and data[at] == _STRING_TAG:  # the common case: one string and nothing else
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
def _text_code(data: Bytes, value: AnyValue, key: Codes, digits: Bytes) -> np.uint64:
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
def _number(data: Bytes, value: AnyValue) -> float:
    """Return the value in a number role; NaN for kinds that are no number."""
    if value.kind == DOUBLE:
        return load_f64(data, value.start)
    if value.kind == INT:
        return np.float64(np.int64(value.integer))
    if value.kind == BOOL:
        return 1.0 if value.integer != np.uint64(0) else 0.0
    return np.nan


@inlined
def _repeated_code(data: Bytes, at: int, size: int, role: int, row: int, values: Values) -> np.uint64:
    """Return the code the span before has in this role when its value has the same bytes, else 0."""
    if row == 0 or values.text_size[role, row - 1] != size:
        return np.uint64(0)
    if not same_bytes(data, values.text_at[role, row - 1], at, size):
        return np.uint64(0)
    return np.uint64(values.codes[role, row - 1])


@inlined
def _store(
    data: Bytes, at: int, end: int, value: AnyValue, place: int, row: int, level: int, names: Names, values: Values
) -> None:
    role, rank = names.roles[place], names.ranks[place]
    if values.holders[level, role] == row and rank >= values.ranks[level, role]:
        return
    if role < names.texts[0]:
        code = _repeated_code(data, at, end - at, role, row, values)
        if code == np.uint64(0):
            code = _text_code(data, value, names.key, values.digits)
        if code == np.uint64(0):
            return
        values.codes[role, row] = code
        values.text_at[role, row], values.text_size[role, row] = at, end - at
    else:
        number = _number(data, value)
        if np.isnan(number):
            return
        values.numbers[role - names.texts[0], row] = number
    values.holders[level, role], values.ranks[level, role] = row, rank


@borrowing
def _key_is_reserved(data: Bytes, at: int, end: int) -> bool:
    reserved = False
    while at < end:
        number, wire, at = read_tag(data, at, end)
        if wire == LENGTH and number == 1:
            start, stop = read_length(data, at, end)
            reserved = _is_reserved(data, start, stop)
        at = step_over(data, at, end, wire)
    return reserved


@inlined
def _take(data: Bytes, at: int, end: int, place: int, row: int, level: int, names: Names, values: Values) -> int:
    """Check a value and store it where its key has a role."""
    checked, value = read_any_value(data, at, end, values.stack)
    if checked < 0:
        return checked - 10
    if place >= 0:
        _store(data, at, end, value, place, row, level, names, values)
        return 0
    return place


@borrowing
def _read_any_order(
    data: Bytes, at: int, end: int, index: int, row: int, level: int, names: Names, values: Values
) -> int:
    """Read a KeyValue whose fields may come in any order and any number; the last of each counts."""
    key_start = key_end = value_start = value_end = at
    while at < end:
        number, wire, at = read_tag(data, at, end)
        if at < 0:
            return at - 10
        if wire == LENGTH and 1 <= number <= 2:
            start, stop = read_length(data, at, end)
            if start < 0:
                return start - 10
            if number == 1:
                key_start, key_end = start, stop
            else:
                value_start, value_end = start, stop
            at = stop
        else:
            at = step_over(data, at, end, wire)
            if at < 0:
                return at - 10
    if not valid_utf8(data, key_start, key_end):
        return BAD_UTF8 - 10
    place = _place_of(data, key_start, key_end, index, names, values.seen)
    return _take(data, value_start, value_end, place, row, level, names, values)


@inlined
def read_attribute(
    data: Bytes, at: int, end: int, index: int, row: int, level: int, names: Names, values: Values
) -> int:
    """Read one KeyValue into the columns.

    Args:
        data: (b,) uint8 request.
        at: First byte of the KeyValue.
        end: One past its last byte.
        index: Its position among the span's attributes.
        row: Column to fill.
        level: 0 for a span's attribute, 1 for a resource's.
        names: Role table.
        values: Columns being filled.

    Returns:
        `NO_ROLE`, `RESERVED`, 0 for an attribute with a role, or a wire error below `RESERVED - 10`.
    """
    value_at = _predicted(data, at, end, index, values.seen)
    if value_at >= 0 and value_at < end and data[value_at] == _VALUE_TAG:
        start, stop = read_length(data, value_at + 1, end)
        if stop == end and start >= 0:
            return _take(data, start, stop, int(values.seen[2, index]), row, level, names, values)
    return _read_any_order(data, at, end, index, row, level, names, values)


@borrowing
def read_resource_attribute(data: Bytes, at: int, end: int, row: int, names: Names, values: Values) -> int:
    """Read one KeyValue of a resource; as `read_attribute`."""
    return read_attribute(data, at, end, PREDICTED, row, 1, names, values)


@borrowing
def reserved_ranges(data: Bytes, spans: Ints, reserved: Ints, ranges: Ints) -> None:
    """Find the attributes under the processor's own prefix in decoded spans.

    Args:
        data: (b,) uint8 request.
        spans: (n, 5) int64 span frames.
        reserved: (n,) int64 number of such attributes per span.
        ranges: (sum of `reserved`, 3) int64 to fill: span row, first byte of the tag, one past the attribute.
    """
    found = 0
    for row in range(spans.shape[0]):
        at, end = spans[row, 2], spans[row, 3] if reserved[row] > 0 else spans[row, 2]
        while at < end:
            tag_at = at
            number, wire, at = read_tag(data, at, end)
            start = at
            at = step_over(data, at, end, wire)
            if wire == LENGTH and number == 9:
                start, _ = read_length(data, start, end)
                if _key_is_reserved(data, start, at):
                    ranges[found, 0], ranges[found, 1], ranges[found, 2] = row, tag_at, at
                    found += 1
