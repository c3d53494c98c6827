"""The protobuf wire format: varints, tags, and stepping over a field.

Every reader returns the next position, or a negative error: the position where it failed is the caller's. Source:
Protocol Buffers encoding specification.
"""

from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Bytes, borrowing, inlined, signed
from spanward_processor.kernels.runs import after_ascii

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
GROUP_START: Final = 3
GROUP_END: Final = 4
FIXED32: Final = 5

_LONGEST_SHORT: Final = 5  # bytes of a tag or a length, as for the official parsers in C and C++; Go's takes ten

BAD_VARINT: Final = -1
BAD_LENGTH: Final = -2
BAD_TAG: Final = -3
BAD_GROUP: Final = -4
BAD_UTF8: Final = -5
TOO_DEEP: Final = -6

REASONS: Final = {
    BAD_VARINT: "a varint is cut short or longer than ten bytes",
    BAD_LENGTH: "a field is longer than the message that holds it, or its length takes more than five bytes",
    BAD_TAG: "a field has number 0, an unknown wire type or a tag of more than five bytes",
    BAD_GROUP: "a field is a protobuf group, which OTLP does not have",
    BAD_UTF8: "a string is not valid UTF-8",
    TOO_DEEP: "values are nested too deep",
}


@borrowing
def read_varint(data: Bytes, at: int, end: int) -> tuple[np.uint64, int]:
    """Return a varint and the position after it, or `BAD_VARINT` as position."""
    if at < end:
        byte = data[at]
        if byte < 128:
            return np.uint64(byte), at + 1
    value = np.uint64(0)
    shift = np.uint64(0)
    limit = min(end, at + 10)
    while at < limit:
        byte = data[at]
        value |= np.uint64(byte & 0x7F) << shift
        at += 1
        if byte < 128:
            if shift == np.uint64(63) and byte > 1:
                return np.uint64(0), BAD_VARINT
            return value, at
        shift += np.uint64(7)
    return np.uint64(0), BAD_VARINT


@inlined
def read_tag(data: Bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return field number, wire type and next position (negative on error)."""
    value, after = read_varint(data, at, end)
    if after < 0:
        return 0, 0, after
    if value > np.uint64(0xFFFFFFFF) or value < np.uint64(8) or after - at > _LONGEST_SHORT:
        return 0, 0, BAD_TAG
    number = signed(value)
    return number >> 3, number & 7, after


@inlined
def read_length(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return start and end of a length-delimited payload; start is negative on error."""
    size, start = read_varint(data, at, end)
    if start < 0:
        return start, 0
    if size > np.uint64(end - start) or start - at > _LONGEST_SHORT:
        return BAD_LENGTH, 0
    return start, start + signed(size)


@borrowing
def step_over(data: Bytes, at: int, end: int, wire: int) -> int:
    """Return the position after a field whose tag was read, or a negative error."""
    if wire == VARINT:
        _, at = read_varint(data, at, end)
        return at
    if wire == FIXED64:
        return at + 8 if at + 8 <= end else BAD_LENGTH
    if wire == LENGTH:
        start, stop = read_length(data, at, end)
        return stop if start >= 0 else start
    if wire == FIXED32:
        return at + 4 if at + 4 <= end else BAD_LENGTH
    return BAD_GROUP if GROUP_START <= wire <= GROUP_END else BAD_TAG


@borrowing
def _continuation(data: Bytes, at: int, low: int, high: int) -> bool:
    return bool(low <= data[at] <= high)


@borrowing
def _utf8_sequence(data: Bytes, at: int, end: int) -> int:
    """Return the position after one multi-byte character, or -1 (Unicode 15, table 3-7)."""
    first = data[at]
    left = end - at
    if 0xC2 <= first <= 0xDF and left >= 2:
        return at + 2 if _continuation(data, at + 1, 0x80, 0xBF) else -1
    if 0xE0 <= first <= 0xEF and left >= 3:
        low = 0xA0 if first == 0xE0 else 0x80
        high = 0x9F if first == 0xED else 0xBF
        good = _continuation(data, at + 1, low, high) and _continuation(data, at + 2, 0x80, 0xBF)
        return at + 3 if good else -1
    if 0xF0 <= first <= 0xF4 and left >= 4:
        low = 0x90 if first == 0xF0 else 0x80
        high = 0x8F if first == 0xF4 else 0xBF
        good = _continuation(data, at + 1, low, high) and _continuation(data, at + 2, 0x80, 0xBF)
        return at + 4 if good and _continuation(data, at + 3, 0x80, 0xBF) else -1
    return -1


@borrowing
def valid_utf8(data: Bytes, start: int, end: int) -> bool:
    """Return whether a run of bytes is well-formed UTF-8; plain ASCII goes eight bytes at a time."""
    at = after_ascii(data, start, end)
    while at < end:
        if data[at] < 128:
            at += 1
        else:
            at = _utf8_sequence(data, at, end)
            if at < 0:
                return False
        if at + 8 <= end:
            at = after_ascii(data, at, end)
    return True


@borrowing
def text_field(data: Bytes, at: int, end: int) -> int:
    """Return the position after a string field, or a negative error when it is cut short or not UTF-8."""
    start, stop = read_length(data, at, end)
    if start < 0:
        return start
    return stop if valid_utf8(data, start, stop) else BAD_UTF8
