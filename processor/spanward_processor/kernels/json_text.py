"""The lexical parts of JSON: space, strings, numbers and the three words.

Every reader returns a position, or a negative error. Source: RFC 8259.
"""

from typing import Final

import numpy as np

from spanward_processor.kernels.bits import trailing_zeros
from spanward_processor.kernels.jit import Bytes, Ints, borrowing, inlined
from spanward_processor.kernels.memory import load_u64
from spanward_processor.kernels.wire import valid_utf8

CUT_SHORT: Final = -1
BAD_CONTROL: Final = -2
BAD_ESCAPE: Final = -3
BAD_TEXT: Final = -4
BAD_NUMBER: Final = -5
BAD_WORD: Final = -6

QUOTE: Final = 0x22
MINUS: Final = 0x2D
BACKSLASH: Final = 0x5C
REPLACEMENT: Final = 0xFFFD  # U+FFFD, for half a surrogate pair: a cut emoji must not cost the request

_ONES: Final = np.uint64(0x0101010101010101)
_HIGH_BITS: Final = np.uint64(0x8080808080808080)
_QUOTES: Final = np.uint64(0x2222222222222222)
_BACKSLASHES: Final = np.uint64(0x5C5C5C5C5C5C5C5C)
_SPACES: Final = np.uint64(0x2020202020202020)


def _hex_values() -> Ints:
    values = np.full(256, -1, np.int64)
    for value, digit in enumerate("0123456789abcdef"):
        values[[ord(digit), ord(digit.upper())]] = value
    return values


def _escapes() -> Ints:
    escapes = np.full(256, -1, np.int64)
    for letter, meaning in zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True):
        escapes[ord(letter)] = ord(meaning)
    return escapes


_HEX: Final = _hex_values()
_ESCAPES: Final = _escapes()


@inlined
def hex_value(digit: int) -> int:
    """Return the value of a hexadecimal digit below 256, -1 for another character."""
    value: int = _HEX[digit]
    return value


@inlined
def _meaning(letter: int) -> int:
    """Return the character that a letter after a backslash stands for, -1 for a letter that JSON does not have."""
    character: int = _ESCAPES[letter]
    return character


@inlined
def after_space(data: Bytes, at: int) -> int:
    """Return the position of the next character that is not white space."""
    while at < data.size:
        byte = data[at]
        if byte > 0x20 or not (byte == 0x20 or byte == 0x0A or byte == 0x0D or byte == 0x09):
            return at
        at += 1
    return at


@inlined
def _special(word: np.uint64) -> np.uint64:
    """Return a word whose lowest set bit lies in the first byte that is not plain text: quote, escape, control, non-ASCII."""
    quote = word ^ _QUOTES
    slash = word ^ _BACKSLASHES
    found = ((quote - _ONES) & ~quote) | ((slash - _ONES) & ~slash) | ((word - _SPACES) & ~word) | word
    return found & _HIGH_BITS


@borrowing
def _after_escape(data: Bytes, at: int) -> int:
    """Return the position after the escape that begins at a backslash."""
    if at + 1 >= data.size:
        return CUT_SHORT
    if data[at + 1] != 0x75:
        return at + 2 if _meaning(data[at + 1]) >= 0 else BAD_ESCAPE
    if at + 6 > data.size:
        return CUT_SHORT
    for place in range(at + 2, at + 6):
        if hex_value(data[place]) < 0:
            return BAD_ESCAPE
    return at + 6


@borrowing
def _after_other_text(data: Bytes, at: int) -> int:
    """Return the position after a run of non-ASCII bytes, which must be UTF-8."""
    stop = at
    while stop < data.size and data[stop] >= 128:
        stop += 1
    return stop if valid_utf8(data, at, stop) else BAD_TEXT


@borrowing
def string_end(data: Bytes, at: int) -> tuple[int, bool]:
    """Return where the closing quote of a string is, and whether it holds escapes.

    Args:
        data: (b,) uint8 document.
        at: The position after the opening quote.
    """
    escaped = False
    while at < data.size:
        if at + 8 <= data.size:
            special = _special(load_u64(data, at))
            if special == np.uint64(0):
                at += 8
                continue
            at += trailing_zeros(special) >> 3
        byte = data[at]
        if byte == QUOTE:
            return at, escaped
        if byte == BACKSLASH:
            escaped = True
            at = _after_escape(data, at)
        elif byte < 0x20:
            return BAD_CONTROL, escaped
        elif byte < 128:
            at += 1
        else:
            at = _after_other_text(data, at)
        if at < 0:
            return at, escaped
    return CUT_SHORT, escaped


@inlined
def _after_digits(data: Bytes, at: int, end: int) -> int:
    """Return the position after one or more digits, or `BAD_NUMBER`."""
    start = at
    while at < end and 0x30 <= data[at] <= 0x39:
        at += 1
    return at if at > start else BAD_NUMBER


@borrowing
def number_end(data: Bytes, at: int, end: int) -> int:
    """Return the position after a number."""
    if at < end and data[at] == MINUS:
        at += 1
    if at < end and data[at] == 0x30:
        at += 1
    else:
        at = _after_digits(data, at, end)
    if 0 <= at < end and data[at] == 0x2E:
        at = _after_digits(data, at + 1, end)
    if 0 <= at < end and (data[at] | 0x20) == 0x65:
        at += 1
        if at < end and (data[at] == 0x2B or data[at] == MINUS):
            at += 1
        at = _after_digits(data, at, end)
    return at


@borrowing
def word_end(data: Bytes, at: int) -> int:
    """Return the position after `true`, `false` or `null`."""
    first = data[at]
    word = 0x65757274 if first == 0x74 else 0x6C6C756E if first == 0x6E else 0x65736C61  # true, null, (f)alse
    start = at + 1 if first == 0x66 else at
    if not (first == 0x74 or first == 0x6E or first == 0x66):
        return BAD_WORD
    if start + 4 > data.size:
        return CUT_SHORT
    for place in range(4):
        if data[start + place] != (word >> (8 * place)) & 0xFF:
            return BAD_WORD
    return start + 4


@borrowing
def _code_unit(data: Bytes, at: int) -> int:
    """Return what the four hex digits of a valid escape of a code unit say."""
    unit = 0
    for place in range(at + 2, at + 6):
        unit = unit << 4 | hex_value(data[place])
    return unit


@borrowing
def character(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the code point that an escape in a valid string stands for, and the position after it.

    Args:
        data: (b,) uint8 document.
        at: Where the backslash is.
        end: Where the string ends.
    """
    if data[at + 1] != 0x75:
        return _meaning(data[at + 1]), at + 2
    unit = _code_unit(data, at)
    if not 0xD800 <= unit <= 0xDFFF:
        return unit, at + 6
    if unit <= 0xDBFF and at + 12 <= end and data[at + 6] == BACKSLASH and data[at + 7] == 0x75:
        low = _code_unit(data, at + 6)
        if 0xDC00 <= low <= 0xDFFF:
            return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), at + 12
    return REPLACEMENT, at + 6


@inlined
def next_character(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the next byte of a valid string, or the code point of an escape, and the position after it."""
    if data[at] != BACKSLASH:
        return np.int64(data[at]), at + 1  # type: ignore[return-value] # pyright: ignore[reportReturnType] - an int
    return character(data, at, end)


@borrowing
def unescaped_size(data: Bytes, at: int, end: int) -> int:
    """Return how many bytes of UTF-8 a valid string stands for."""
    size = 0
    while at < end:
        if data[at] != BACKSLASH:
            size += 1
            at += 1
            continue
        code, at = character(data, at, end)
        size += 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
    return size


@borrowing
def unescape(data: Bytes, at: int, end: int, out: Bytes, to: int) -> int:
    """Write what a valid string stands for as UTF-8; return the position after it."""
    while at < end:
        if data[at] != BACKSLASH:
            out[to] = data[at]
            at += 1
            to += 1
            continue
        code, at = character(data, at, end)
        if code < 0x80:
            out[to] = code
            to += 1
            continue
        more = 1 if code < 0x800 else 2 if code < 0x10000 else 3
        out[to] = (0xFF00 >> (more + 1) & 0xFF) | code >> (6 * more)
        for place in range(more):
            out[to + 1 + place] = 0x80 | (code >> (6 * (more - 1 - place)) & 0x3F)
        to += 1 + more
    return to
