"""A JSON document read once, forwards: checked, and noted as a tape of the values whose field the schema knows.

The tape is what `json_wire` writes from, backwards. An explicit stack walks the document, so that the depth a sender
chooses never becomes our call stack. Source: RFC 8259; Protocol Buffers, "ProtoJSON Format".
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spanward_processor.kernels.jit import Bytes, Codes, Ints, borrowing, inlined
from spanward_processor.kernels.json_text import (
    BAD_NUMBER,
    CUT_SHORT,
    MINUS,
    QUOTE,
    after_space,
    number_end,
    string_end,
    unescape,
    unescaped_size,
    word_end,
)
from spanward_processor.kernels.memory import load_tail, load_u64

Tape = NDArray[np.int32]

BAD_SYNTAX: Final = -10
BAD_KIND: Final = -11
TOO_DEEP: Final = -12
NULL_ELEMENT: Final = -13
TAPE_FULL: Final = -14

DOUBLE: Final = 1  # kinds are protobuf's field types
BOOL: Final = 8
STRING: Final = 9
MESSAGE: Final = 11
BYTES: Final = 12
ENUM: Final = 14
IDENTITY: Final = 19  # bytes written as hex

TAG: Final = 0  # columns of `Schema.fields`
KIND: Final = 1
CHILD: Final = 2
BIT: Final = 3
CHOICE: Final = 4
REPEATED: Final = 5
PACKED: Final = 6
PRESENCE: Final = 7

SCALAR: Final = 0  # what a row of the tape is
ABSENT: Final = 1
OPEN: Final = 2
CLOSE: Final = 3
EMPTY: Final = 4
OPEN_LIST: Final = 5
CLOSE_LIST: Final = 6
OPS: Final = 8

LONGEST_NAME: Final = 40
MOST_DEPTH: Final = 256  # open objects and lists
MOST_MESSAGES: Final = 96  # under the official parsers' 100

_WORDS: Final = LONGEST_NAME // 8
_UNKNOWN: Final = -1
_GROUND: Final = 0
_IN_LIST: Final = 1  # rows of the stack
_OPENER: Final = 2
_TOKENS: Final = 0  # places of `found`
_MESSAGES: Final = 2
_DOUBLES: Final = 3


class Schema(NamedTuple):
    """Messages, and the names of their fields; enumerations, and the names of their values.

    Args:
        fields: (f, 8) int64: tag, kind, row of the message or enumeration it holds, bit in its message, bit of the
            choice (oneof) it belongs to or -1, whether it is repeated, packed, and has presence.
        first: (m, LONGEST_NAME + 1) int64: for each message and length, the first name of that length, or -1.
        names: (n, 5) uint64 text of a name, zero filled.
        values: (n, 2) int64: field (or the number of an enumeration's value), and the next name of equal length, or -1.
    """

    fields: Ints
    first: Ints
    names: Codes
    values: Ints


@inlined
def _word(data: Bytes, at: int, left: int) -> np.uint64:
    """Return up to eight bytes as a word, zero filled."""
    if left >= 8:
        return load_u64(data, at)
    if at + 8 <= data.size:
        return load_u64(data, at) & ((np.uint64(1) << np.uint64(8 * left)) - np.uint64(1))
    return load_tail(data, at, at + left)


@inlined
def find_name(data: Bytes, at: int, end: int, message: int, schema: Schema) -> int:
    """Return what a plain name means in a message or enumeration, -1 when nothing."""
    size = end - at
    if size > LONGEST_NAME:
        return -1
    name = schema.first[message, size]
    while name >= 0:
        same = True
        for place in range((size + 7) >> 3):
            if _word(data, at + 8 * place, size - 8 * place) != schema.names[name, place]:
                same = False
                break
        if same:
            meaning: int = schema.values[name, 0]
            return meaning
        name = schema.values[name, 1]
    return -1


@borrowing
def find_escaped_name(data: Bytes, at: int, end: int, message: int, schema: Schema, room: Bytes) -> int:
    """Return what a name that holds escapes means, -1 when nothing."""
    size = unescaped_size(data, at, end)
    if size > LONGEST_NAME:
        return -1
    unescape(data, at, end, room, 0)
    return find_name(room, 0, size, message, schema)


@inlined
def _note(tape: Tape, found: Ints, row: int, op: int, start: int, end: int) -> bool:
    """Write a row of the tape; return whether there was room."""
    token = found[_TOKENS]
    if token >= tape.shape[0]:
        return False
    tape[token, 0] = row * OPS + op
    tape[token, 1] = start
    tape[token, 2] = end
    found[_TOKENS] = token + 1
    return True


@borrowing
def _check_quoted_number(data: Bytes, at: int, close: int, kind: int) -> int:
    """Return 0 for the text of a number: decimal digits, or for a double any number and the three words."""
    start = at + 1 if at < close and data[at] == MINUS else at
    if kind != DOUBLE:
        for place in range(start, close):
            if not 0x30 <= data[place] <= 0x39:
                return BAD_NUMBER
        return 0 if start < close else BAD_NUMBER
    if start < close and data[start] == 0x49:  # Infinity
        return 0 if _spells(data, start, close, 0x7974696E69666E49, 8) else BAD_NUMBER
    if start == at and start < close and data[start] == 0x4E:
        return 0 if _spells(data, start, close, 0x4E614E, 3) else BAD_NUMBER
    return 0 if number_end(data, at, close) == close else BAD_NUMBER


@borrowing
def _spells(data: Bytes, at: int, end: int, word: int, size: int) -> bool:
    if end - at != size:
        return False
    for place in range(size):  # noqa: SIM110 - numba compiles no generator
        if data[at + place] != (word >> (8 * place)) & 0xFF:
            return False
    return True


@inlined
def _scalar(data: Bytes, at: int, row: int, kind: int, tape: Tape, found: Ints) -> int:
    """Note a value that is no object and no list; return the position after it."""
    byte = data[at]
    if byte == QUOTE:
        close, escaped = string_end(data, at + 1)
        if close < 0:
            return close
        if kind == BOOL:
            return BAD_KIND
        if not (kind == STRING or kind == BYTES or kind == IDENTITY or kind == ENUM):  # noqa: SIM109 - faster
            error = _check_quoted_number(data, at + 1, close, kind)
            if error:
                return error
            found[_DOUBLES] += 1 if kind == DOUBLE else 0
        return close + 1 if _note(tape, found, row, SCALAR, at + 1, -close if escaped else close) else TAPE_FULL
    if byte == 0x74 or byte == 0x66:
        end = word_end(data, at)
        if end < 0:
            return end
        if kind != BOOL:
            return BAD_KIND
    else:
        if not (byte == MINUS or 0x30 <= byte <= 0x39):
            return BAD_KIND
        end = number_end(data, at, data.size)
        if end < 0:
            return end
        if kind == BOOL or kind == STRING or kind == BYTES or kind == IDENTITY:  # noqa: SIM109 - faster
            return BAD_KIND
        found[_DOUBLES] += 1 if kind == DOUBLE else 0
    return end if _note(tape, found, row, SCALAR, at, end) else TAPE_FULL


@inlined
def _push(stack: Ints, depth: int, row: int, in_list: int, opener: int) -> int:
    """Open an object or a list; return the new depth, or `TOO_DEEP`."""
    if depth + 1 >= MOST_DEPTH:
        return TOO_DEEP
    stack[0, depth + 1], stack[_IN_LIST, depth + 1], stack[_OPENER, depth + 1] = row, in_list, opener
    return depth + 1


@borrowing
def _unknown(data: Bytes, at: int, depth: int, stack: Ints) -> tuple[int, int]:
    """Pass a value that no field takes; return the position after it, or after the bracket that opens it, and the depth."""
    byte = data[at]
    if byte == 0x7B or byte == 0x5B:
        depth = _push(stack, depth, _UNKNOWN, 1 if byte == 0x5B else 0, _UNKNOWN)
        return (at + 1, depth) if depth >= 0 else (TOO_DEEP, 0)
    if byte == QUOTE:
        close, _ = string_end(data, at + 1)
        return (close + 1 if close >= 0 else close), depth
    if byte == MINUS or 0x30 <= byte <= 0x39:
        return number_end(data, at, data.size), depth
    if byte == 0x74 or byte == 0x66 or byte == 0x6E:
        return word_end(data, at), depth
    return BAD_SYNTAX, depth


@inlined
def _value(
    data: Bytes, at: int, row: int, depth: int, schema: Schema, tape: Tape, stack: Ints, found: Ints
) -> tuple[int, int]:
    """Read one value, or the bracket that opens it; return the position after it (negative on error) and the depth."""
    if row < 0:
        return _unknown(data, at, depth, stack)
    byte, kind = data[at], schema.fields[row, KIND]
    in_list = stack[_IN_LIST, depth] == 1
    if byte == 0x6E:
        end = word_end(data, at)
        if end < 0 or in_list:
            return (end if end < 0 else NULL_ELEMENT), depth
        return (end if _note(tape, found, row, ABSENT, at, end) else TAPE_FULL), depth
    as_list = schema.fields[row, REPEATED] == 1 and not in_list
    if not as_list and kind != MESSAGE:
        return _scalar(data, at, row, kind, tape, found), depth
    if byte != (0x5B if as_list else 0x7B):
        return BAD_KIND, depth
    depth = _push(stack, depth, row, 1 if as_list else 0, found[_TOKENS])
    found[_MESSAGES] += 0 if as_list else 1
    if depth < 0 or found[_MESSAGES] > MOST_MESSAGES:
        return TOO_DEEP, 0
    return (at + 1 if _note(tape, found, row, OPEN_LIST if as_list else OPEN, at, 0) else TAPE_FULL), depth


@inlined
def _close(depth: int, tape: Tape, stack: Ints, found: Ints) -> bool:
    """Note that an object or a list ends; return whether there was room."""
    row, opener = stack[0, depth], stack[_OPENER, depth]
    if row < 0:
        return True
    as_list = stack[_IN_LIST, depth] == 1
    found[_MESSAGES] -= 0 if as_list else 1
    if found[_TOKENS] == opener + 1:
        tape[opener, 0] = row * OPS + (ABSENT if as_list else EMPTY)
        return True
    return _note(tape, found, row, CLOSE_LIST if as_list else CLOSE, opener, 0)


@inlined
def _name(data: Bytes, at: int, holder: int, schema: Schema, room: Bytes) -> tuple[int, int]:
    """Read a name and its colon; return the position of the value (negative on error) and the field, -1 if unknown."""
    if data[at] != QUOTE:
        return BAD_SYNTAX, -1
    close, escaped = string_end(data, at + 1)
    if close < 0:
        return close, -1
    field = -1
    if holder >= 0:
        message = schema.fields[holder, CHILD]
        if escaped:
            field = find_escaped_name(data, at + 1, close, message, schema, room)
        else:
            field = find_name(data, at + 1, close, message, schema)
    at = after_space(data, close + 1)
    if at >= data.size:
        return CUT_SHORT, -1
    if data[at] != 0x3A:
        return BAD_SYNTAX, -1
    at = after_space(data, at + 1)
    return (at if at < data.size else CUT_SHORT), field


@borrowing
def read_document(data: Bytes, root: int, schema: Schema, tape: Tape, stack: Ints, found: Ints, room: Bytes) -> int:
    """Check a document and write its tape.

    Args:
        data: (b,) uint8 document.
        root: Field that stands for the whole document.
        schema: What is known.
        tape: (t, 3) int32 to fill: `OPS` times field plus kind of row; where the value begins, or for a row that closes the
            row that opens; where it ends, negative when the string holds escapes.
        stack: (3, MOST_DEPTH) int64 room.
        found: (4,) int64 zeros; the rows of the tape, where reading ended, a count of its own, and how many doubles.
        room: (LONGEST_NAME,) uint8 room.

    Returns:
        0, or a negative error of this module or `json_text`.
    """
    found[1] = at = after_space(data, 0)
    if at >= data.size:
        return CUT_SHORT
    if data[at] != 0x7B:
        return BAD_KIND
    if not _note(tape, found, root, OPEN, at, _GROUND):
        return TAPE_FULL
    depth = _push(stack, _GROUND, root, _GROUND, _GROUND)
    at += 1
    found[_MESSAGES] = 1
    first, may_follow = True, False  # whether a bracket was just opened, whether a value has just ended
    while depth > 0:
        found[1] = at = after_space(data, at)
        if at >= data.size:
            return CUT_SHORT
        byte = data[at]
        in_list = stack[_IN_LIST, depth] == 1
        if byte == (0x5D if in_list else 0x7D) and (first or may_follow):
            if not _close(depth, tape, stack, found):
                return TAPE_FULL
            depth -= 1
            at += 1
            first, may_follow = False, True
            continue
        if may_follow:
            if byte != 0x2C:
                return BAD_SYNTAX
            at += 1
            may_follow = False
            continue
        row = stack[0, depth]
        if not in_list:
            at, row = _name(data, at, row, schema, room)
            if at < 0:
                return at
            found[1] = at
        before = depth
        at, depth = _value(data, at, row, depth, schema, tape, stack, found)
        if at < 0:
            return at
        first = depth > before
        may_follow = not first
    found[1] = at = after_space(data, at)
    return 0 if at == data.size else BAD_SYNTAX
