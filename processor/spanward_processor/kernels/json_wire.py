"""A tape written as protobuf, backwards: when a message begins, its length is known, so that one pass is enough.

Backwards, the last of several equal names comes first, and it is the one that counts.
"""

from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Bytes, Codes, Ints, borrowing, inlined
from spanward_processor.kernels.json_numbers import INFINITY, decimal, double_bits, integer
from spanward_processor.kernels.json_tape import (
    ABSENT,
    BIT,
    BOOL,
    BYTES,
    CHILD,
    CHOICE,
    CLOSE,
    CLOSE_LIST,
    DOUBLE,
    EMPTY,
    ENUM,
    IDENTITY,
    KIND,
    MOST_DEPTH,
    OPEN,
    OPEN_LIST,
    OPS,
    PACKED,
    PRESENCE,
    STRING,
    TAG,
    Schema,
    Tape,
    find_escaped_name,
    find_name,
)
from spanward_processor.kernels.json_text import MINUS, hex_value, next_character, unescape, unescaped_size
from spanward_processor.kernels.memory import copy_bytes
from spanward_processor.kernels.wire import FIXED32, FIXED64, VARINT

BAD_HEX: Final = -20
BAD_BASE64: Final = -21
OUT_OF_RANGE: Final = -22
TWO_CHOICES: Final = -23

_ZERO: Final = np.uint64(0)
_NOT_A_NUMBER: Final = np.uint64(0x7FF8000000000000)
_SIGN: Final = np.uint64(1 << 63)
_END: Final = 0  # rows of the stack
_SEEN: Final = 1
_CHOSEN: Final = 2
_PLAIN: Final = 3  # whether a message, not a list

_SIGNED_ROW, _BITS_ROW, _WIRE_ROW = 0, 1, 2
_TABLE_SIZE: Final = 20


def _integers() -> Ints:
    """Return whether an integer kind has a sign, its bits, and its wire type; kinds are protobuf's field types."""
    table = np.zeros((3, _TABLE_SIZE), np.int64)
    for kind, (has_sign, bits, wire) in {
        3: (1, 64, VARINT),  # int64
        4: (0, 64, VARINT),  # uint64
        5: (1, 32, VARINT),  # int32
        6: (0, 64, FIXED64),  # fixed64
        7: (0, 32, FIXED32),  # fixed32
        13: (0, 32, VARINT),  # uint32
        14: (1, 32, VARINT),  # enum
        15: (1, 32, FIXED32),  # sfixed32
        16: (1, 64, FIXED64),  # sfixed64
        17: (1, 32, VARINT),  # sint32
        18: (1, 64, VARINT),  # sint64
    }.items():
        table[:, kind] = has_sign, bits, wire
    return table


def _base64_values() -> Ints:
    values = np.full(128, -1, np.int64)
    for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"):
        values[ord(digit)] = value
    for digit, value in {"+": 62, "-": 62, "/": 63, "_": 63}.items():
        values[ord(digit)] = value
    return values


_INTEGERS: Final = _integers()
_BASE64: Final = _base64_values()


@inlined
def _put_varint(out: Bytes, to: int, value: np.uint64) -> int:
    """Write a varint that ends before a position; return where it begins."""
    if value < np.uint64(128):
        out[to - 1] = value
        return to - 1
    size = 1
    rest = value >> np.uint64(7)
    while rest != _ZERO:
        size += 1
        rest >>= np.uint64(7)
    at = to - size
    for place in range(size - 1):
        out[at + place] = (value & np.uint64(127)) | np.uint64(128)
        value >>= np.uint64(7)
    out[to - 1] = value
    return at


@inlined
def _put_fixed(out: Bytes, to: int, value: np.uint64, size: int) -> int:
    for place in range(size):
        out[to - size + place] = (value >> np.uint64(8 * place)) & np.uint64(255)
    return to - size


@inlined
def _put_integer(data: Bytes, at: int, end: int, kind: int, always: bool, out: Bytes, to: int) -> int:
    """Write an integer; nothing at all for a zero that nobody needs."""
    negative = data[at] == MINUS
    size, good = integer(data, at + 1 if negative else at, end)
    bits = np.uint64(_INTEGERS[_BITS_ROW, kind])
    has_sign = _INTEGERS[_SIGNED_ROW, kind] == 1
    largest = (np.uint64(1) << (bits - np.uint64(1))) if has_sign else _ZERO
    if has_sign:
        largest -= _ZERO if negative else np.uint64(1)
    elif not negative:
        largest = ((np.uint64(1) << (bits - np.uint64(1))) - np.uint64(1)) * np.uint64(2) + np.uint64(1)
    if not good or size > largest:
        return OUT_OF_RANGE
    if size == _ZERO and not always:
        return to
    word = _ZERO - size if negative else size
    if kind >= 17:  # sint: zigzag
        word = size * np.uint64(2) - (np.uint64(1) if negative and size != _ZERO else _ZERO)
    wire = _INTEGERS[_WIRE_ROW, kind]
    if wire == VARINT:
        return _put_varint(out, to, word)
    return _put_fixed(out, to, word, 8 if wire == FIXED64 else 4)


@inlined
def _put_double(
    data: Bytes,
    at: int,
    end: int,
    always: bool,
    fives: Codes,
    hard: Ints,
    found: Ints,
    out: Bytes,
    to: int,
) -> int:
    """Write a double; one that takes the slow way is noted in `hard` and left for the caller."""
    negative = data[at] == MINUS
    start = at + 1 if negative else at
    known = True
    if data[start] == 0x49:
        bits = INFINITY
    elif data[start] == 0x4E:
        bits = _NOT_A_NUMBER
    else:
        digits, power, cut = decimal(data, start, end)
        bits, known = double_bits(digits, power, fives)
        if cut:  # the number lies between these two
            above, also = double_bits(digits + np.uint64(1), power, fives)
            known = known and also and bits == above
        if known and bits == INFINITY:
            return OUT_OF_RANGE
    if negative:
        bits |= _SIGN
    if known and bits == _ZERO and not always:
        return to
    to = _put_fixed(out, to, bits, 8)
    if not known:
        hard[found[0], 0], hard[found[0], 1], hard[found[0], 2] = to, at, end
        found[0] += 1
    return to


@borrowing
def _put_hex(data: Bytes, at: int, end: int, out: Bytes, to: int) -> int:
    size = 0
    place = at
    while place < end:
        _, place = next_character(data, place, end)
        size += 1
    if size & 1:
        return BAD_HEX
    start = to - (size >> 1)
    for place in range(size >> 1):
        high, at = next_character(data, at, end)
        low, at = next_character(data, at, end)
        if high > 127 or low > 127 or hex_value(high) < 0 or hex_value(low) < 0:
            return BAD_HEX
        out[start + place] = hex_value(high) << 4 | hex_value(low)
    return start


@borrowing
def _base64_digits(data: Bytes, at: int, end: int) -> int:
    """Return how many base64 digits a string has before its padding, or `BAD_BASE64`."""
    digits, padding = 0, 0
    while at < end:
        code, at = next_character(data, at, end)
        if code == 0x3D:
            padding += 1
        elif padding or code > 127 or _BASE64[code] < 0:
            return BAD_BASE64
        else:
            digits += 1
    if digits & 3 == 1 or (padding and (digits + padding) & 3) or padding > 2:
        return BAD_BASE64
    return digits


@borrowing
def _put_base64(data: Bytes, at: int, end: int, out: Bytes, to: int) -> int:
    """Write what base64 stands for; both alphabets, padded or not, as ProtoJSON parsers accept."""
    digits = _base64_digits(data, at, end)
    if digits < 0:
        return digits
    start = place = to - digits * 3 // 4
    word, bits = 0, 0
    for _ in range(digits):
        code, at = next_character(data, at, end)
        word = (word << 6 | _BASE64[code]) & 0xFFF
        bits += 6
        if bits >= 8:
            bits -= 8
            out[place] = (word >> bits) & 0xFF
            place += 1
    return start


@inlined
def _put_text(data: Bytes, at: int, end: int, escaped: bool, out: Bytes, to: int) -> int:
    if not escaped:
        copy_bytes(out, to - (end - at), data, at, end)
        return to - (end - at)
    start = to - unescaped_size(data, at, end)
    unescape(data, at, end, out, start)
    return start


@borrowing
def _put_name(
    data: Bytes, at: int, end: int, escaped: bool, enumeration: int, schema: Schema, room: Bytes, always: bool,
    out: Bytes, to: int,
) -> int:  # fmt: skip
    """Write the number that the name of an enumeration's value stands for; nothing for an unknown name."""
    if escaped:
        number = find_escaped_name(data, at, end, enumeration, schema, room)
    else:
        number = find_name(data, at, end, enumeration, schema)
    if number < 0 or (number == 0 and not always):
        return to
    return _put_varint(out, to, np.uint64(number))


@inlined
def _put_scalar(
    data: Bytes, at: int, stop: int, row: int, always: bool, schema: Schema, fives: Codes, hard: Ints, found: Ints,
    room: Bytes, out: Bytes, to: int,
) -> int:  # fmt: skip
    """Write a value without its tag; return where it begins, which is `to` when there is nothing to write."""
    kind = schema.fields[row, KIND]
    escaped = stop < 0
    end = -stop if escaped else stop
    if kind == STRING or kind == BYTES or kind == IDENTITY:  # noqa: SIM109 - faster
        if kind == STRING:
            start = _put_text(data, at, end, escaped, out, to)
        elif kind == BYTES:
            start = _put_base64(data, at, end, out, to)
        else:
            start = _put_hex(data, at, end, out, to)
        if start < 0 or (start == to and not always):
            return start
        return _put_varint(out, start, np.uint64(to - start))
    if kind == DOUBLE:
        return _put_double(data, at, end, always, fives, hard, found, out, to)
    if kind == BOOL:
        value = data[at] == 0x74
        return _put_varint(out, to, np.uint64(1 if value else 0)) if value or always else to
    if kind == ENUM and not (data[at] == MINUS or 0x30 <= data[at] <= 0x39):
        return _put_name(data, at, end, escaped, schema.fields[row, CHILD], schema, room, always, out, to)
    return _put_integer(data, at, end, kind, always, out, to)


@inlined
def _first_time(row: int, op: int, depth: int, schema: Schema, stack: Ints) -> int:
    """Return 1 when a field is met for the first time, that is the last of its name; 0 if not, or `TWO_CHOICES`."""
    bit = 1 << schema.fields[row, BIT]
    if stack[_SEEN, depth] & bit:
        return 0
    stack[_SEEN, depth] |= bit
    choice = schema.fields[row, CHOICE]
    if choice >= 0 and op != ABSENT:
        if stack[_CHOSEN, depth] & (1 << choice):
            return TWO_CHOICES
        stack[_CHOSEN, depth] |= 1 << choice
    return 1


@inlined
def _put_frame(row: int, op: int, length: int, schema: Schema, out: Bytes, to: int) -> int:
    """Write tag and length of a message or a packed list; a list that is not packed has neither."""
    if op == OPEN_LIST and not schema.fields[row, PACKED]:
        return to
    to = _put_varint(out, to, np.uint64(length))
    return _put_varint(out, to, np.uint64(schema.fields[row, TAG]))


@borrowing
def write_document(
    data: Bytes, tape: Tape, tokens: int, schema: Schema, fives: Codes, stack: Ints, hard: Ints, found: Ints, room: Bytes,
    out: Bytes,
) -> int:  # fmt: skip
    """Write the protobuf message that a tape describes.

    Args:
        data: (b,) uint8 document.
        tape: (t, 3) int32 as `json_tape.read_document` wrote it.
        tokens: Rows of it.
        schema: What is known.
        fives: `powers_of_five()`.
        stack: (4, MOST_DEPTH) int64 room.
        hard: (doubles, 3) int64 to fill: where a double is to be written, and where its text begins and ends.
        found: (2,) int64 zeros; rows of `hard`, and where in the document writing ended.
        room: (LONGEST_NAME,) uint8 room.
        out: (b + 64,) uint8 to fill from its end: no field is longer encoded than written out.

    Returns:
        Where the message begins in `out`, or a negative error.
    """
    to, depth, token = out.size, 0, tokens - 1
    stack[_PLAIN, 0] = 0
    while token >= 0:
        row, op = tape[token, 0] // OPS, tape[token, 0] % OPS
        start = tape[token, 1]
        if op == OPEN or op == OPEN_LIST:  # noqa: SIM109 - faster
            if token == 0:
                return to
            to = _put_frame(row, op, stack[_END, depth] - to, schema, out, to)
            depth -= 1
            token -= 1
            continue
        closes = op in (CLOSE, CLOSE_LIST)
        plain = stack[_PLAIN, depth] == 1
        fresh = _first_time(row, op, depth, schema, stack) if plain else 1
        if fresh <= 0:
            found[1] = tape[start, 1] if closes else start
            if fresh < 0:
                return fresh
            token = (start if closes else token) - 1
            continue
        if closes:
            depth += 1
            if depth >= MOST_DEPTH:
                raise IndexError("tape deeper than its reader allows")
            stack[_END, depth], stack[_SEEN, depth], stack[_CHOSEN, depth] = to, 0, 0
            stack[_PLAIN, depth] = 1 if op == CLOSE else 0
        elif op == EMPTY:
            if token == 0:
                return to
            to = _put_frame(row, OPEN, 0, schema, out, to)
        elif op != ABSENT:
            packed = schema.fields[row, PACKED] == 1
            always = packed or not plain or schema.fields[row, PRESENCE] == 1
            begin = _put_scalar(data, start, tape[token, 2], row, always, schema, fives, hard, found, room, out, to)
            if begin < 0:
                found[1] = start
                return begin
            if begin < to and not packed:
                begin = _put_varint(out, begin, np.uint64(schema.fields[row, TAG]))
            to = begin
        token -= 1
    return to
