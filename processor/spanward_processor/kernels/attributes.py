"""One attribute: which role its key plays, and where its value goes."""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Bytes, Codes, Floats, Ints, borrowing, inlined, signed
from spanward_processor.kernels.memory import load_f64, load_u64
from spanward_processor.kernels.runs import same_run
from spanward_processor.kernels.siphash import siphash13
from spanward_processor.kernels.values import (
    DOUBLE_TAG,
    INT_TAG,
    NOTHING,
    STRING_TAG,
    AnyValue,
    number_of,
    read_any_value,
    text_code,
)
from spanward_processor.kernels.wire import BAD_UTF8, LENGTH, read_length, read_tag, read_varint, step_over, valid_utf8

NO_ROLE: Final = -1
RESERVED: Final = -2  # spanward.anomaly.*: only the processor may write it

PREDICTED: Final = 64  # positions whose key is remembered from the span before
RECENT: Final = 16  # values of a text role that are remembered

ATTRIBUTE_TAG: Final = 0x4A  # Span.attributes, length-delimited
_KEY_TAG: Final = 0x0A  # KeyValue.key, length-delimited
_VALUE_TAG: Final = 0x12  # KeyValue.value, length-delimited
_HEAD: Final = ATTRIBUTE_TAG | _KEY_TAG << 16  # an attribute's first four bytes: tag, length, key's tag, key's length
_HEAD_MASK: Final = 0xFFFF80FF  # all but a length below 128
_KEY_SIZE_AT: Final = 24  # bits

_RESERVED_WORDS: Final = np.frombuffer(b"spanward.anomaly.", np.uint8).copy()
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
    """Columns being filled, of a request's spans or, a single row, of one resource.

    Args:
        codes: (t, n) uint64 keyed hash of a text, 0 where absent.
        text_at: (t, n) int64 offset of its AnyValue in the request.
        text_size: (t, n) int64 length of that AnyValue.
        numbers: (m, n) float64, NaN where absent.
        holders: (t + m,) int64 row in which each role was filled last.
        ranks: (t + m,) int64 rank by which it was.
    """

    codes: Codes
    text_at: Ints
    text_size: Ints
    numbers: Floats
    holders: Ints
    ranks: Ints


class Room(NamedTuple):
    """Room to work in while one request is read.

    Args:
        digits: (20,) uint8 room to write an integer's decimal text.
        stack: (2, MAX_DEPTH) int64 room for `validate`.
        seen: (3, PREDICTED) int64 by position in the previous span: offset of the key; how the attribute began, as `_HEAD` says,
            0 where it did not; place in `Names`.
        recent: (RECENT t, 3) int64 by text role: offset, length and code of AnyValues that were read lately.
    """

    digits: Bytes
    stack: Ints
    seen: Ints
    recent: Ints


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
def _remember(data: Bytes, start: int, end: int, stop: int, index: int, place: int, seen: Ints) -> None:
    """Remember the key at `start` of an attribute that ends at `stop` where the next span's can be compared with it."""
    if index >= PREDICTED:
        return
    size = end - start
    known = size < 128 and start >= 2 and end < stop and data[end] == _VALUE_TAG
    seen[0, index], seen[2, index] = start, place
    seen[1, index] = _HEAD | size << _KEY_SIZE_AT if known else 0


@inlined
def _is_taken(place: int, row: int, names: Names, values: Values) -> bool:
    """Return whether the role of a name was filled in this row by a name that ranks as high."""
    role = names.roles[place]
    return bool(values.holders[role] == row and names.ranks[place] >= values.ranks[role])


@inlined
def _hold(place: int, row: int, names: Names, values: Values) -> None:
    role = names.roles[place]
    values.holders[role], values.ranks[role] = row, names.ranks[place]


@inlined
def _hold_text(code: np.uint64, at: int, end: int, place: int, row: int, names: Names, values: Values) -> None:
    role = names.roles[place]
    values.codes[role, row] = code
    values.text_at[role, row], values.text_size[role, row] = at, end - at
    _hold(place, row, names, values)


@inlined
def _hold_number(number: float, place: int, row: int, names: Names, values: Values) -> None:
    values.numbers[names.roles[place] - names.texts[0], row] = number
    _hold(place, row, names, values)


@inlined
def _store(
    data: Bytes, at: int, end: int, value: AnyValue, place: int, row: int, names: Names, values: Values, digits: Bytes
) -> None:
    if _is_taken(place, row, names, values):
        return
    if names.roles[place] < names.texts[0]:
        code = text_code(data, value, names.key, digits)
        if code != np.uint64(0):
            _hold_text(code, at, end, place, row, names, values)
    else:
        number = number_of(data, value)
        if not np.isnan(number):
            _hold_number(number, place, row, names, values)


@borrowing
def key_is_reserved(data: Bytes, at: int, end: int) -> bool:
    """Return whether a well-formed KeyValue's key, of several the last, is under the processor's own prefix."""
    reserved = False
    while at < end:
        number, wire, at = read_tag(data, at, end)
        if wire == LENGTH and number == 1:
            start, stop = read_length(data, at, end)
            reserved = _is_reserved(data, start, stop)
        at = step_over(data, at, end, wire)
    return reserved


@borrowing
def _take(data: Bytes, at: int, end: int, place: int, row: int, names: Names, values: Values, room: Room) -> int:
    """Check a value and store it where its key has a role."""
    checked, value = read_any_value(data, at, end, room.stack)
    if checked < 0:
        return checked - 10
    if place >= 0:
        _store(data, at, end, value, place, row, names, values, room.digits)
        return 0
    return place


@borrowing
def read_attribute(
    data: Bytes, at: int, end: int, index: int, row: int, names: Names, values: Values, room: Room
) -> int:
    """Read one KeyValue into the columns; its fields may come in any order and any number. The last key counts, and the last value that holds any.

    Args:
        data: (b,) uint8 request.
        at: First byte of the KeyValue.
        end: One past its last byte.
        index: Its position among the span's attributes; `PREDICTED` for those of a resource.
        row: Row to fill.
        names: Role table.
        values: Columns being filled.
        room: Room to work in.

    Returns:
        `NO_ROLE`, `RESERVED`, 0 for an attribute with a role, or a wire error below `RESERVED - 10`.
    """
    stop = end
    key_start = key_end = value_start = value_end = at
    while at < end:
        number, wire, at = read_tag(data, at, end)
        if at < 0:
            return at - 10
        if wire == LENGTH and 1 <= number <= 2:
            start, after = read_length(data, at, end)
            if start < 0:
                return start - 10
            if number == 1:
                if not valid_utf8(data, start, after):
                    return BAD_UTF8 - 10
                key_start, key_end = start, after
            else:
                checked, value = read_any_value(data, start, after, room.stack)
                if checked < 0:
                    return checked - 10
                if value.kind != NOTHING or value_start == value_end:
                    value_start, value_end = start, after
            at = after
        else:
            at = step_over(data, at, end, wire)
            if at < 0:
                return at - 10
    place = _find_name(data, key_start, key_end, names)
    _remember(data, key_start, key_end, stop, index, place, room.seen)
    return _take(data, value_start, value_end, place, row, names, values, room)


@inlined
def _familiar_value(data: Bytes, at: int, end: int, head: np.uint64, index: int, seen: Ints) -> tuple[int, int]:
    """Return where the value and the attribute end when all before it is as at this place in the span before, else 0, 0.

    Senders repeat one order of attributes, so this mostly holds; such a key was checked and looked up before.
    """
    if index >= PREDICTED or signed(head & np.uint64(_HEAD_MASK)) != seen[1, index]:
        return 0, 0
    key_size = signed(head >> np.uint64(_KEY_SIZE_AT) & np.uint64(0x7F))
    stop = at + 2 + signed(head >> np.uint64(8) & np.uint64(0x7F))
    start = at + 6 + key_size  # behind the value's tag and its length
    if stop > end or start > stop or data[start - 1] != stop - start:
        return 0, 0
    if not same_run(data, seen[0, index], at + 4, key_size + 1):  # the value's tag, too
        return 0, 0
    return start, stop


@inlined
def _recent_place(data: Bytes, end: int, role: int) -> int:
    """Return where a text's code is remembered; its last eight bytes, or what lies before it, tell."""
    word = load_u64(data, end - 8) * np.uint64(0x9E3779B97F4A7C15)
    return role * RECENT + signed(word >> np.uint64(60))


@inlined
def _familiar_text(data: Bytes, at: int, end: int, place: int, names: Names, room: Room) -> np.uint64:
    """Return the code of an AnyValue that holds a string and nothing else; 0 when it is not UTF-8."""
    role, recent = names.roles[place], room.recent
    slot = _recent_place(data, end, role)
    if recent[slot, 1] == end - at and same_run(data, recent[slot, 0], at, end - at):
        return np.uint64(recent[slot, 2])
    if not valid_utf8(data, at + 2, end):
        return np.uint64(0)
    code = siphash13(data, at + 2, end, names.key[0], names.key[1])
    recent[slot, 0], recent[slot, 1], recent[slot, 2] = at, end - at, signed(code)
    return code


@inlined
def _familiar_number(data: Bytes, at: int, end: int) -> tuple[bool, float]:
    """Return whether an AnyValue holds a double or an integer and nothing else, and that."""
    if end - at == 9 and data[at] == DOUBLE_TAG:
        return True, load_f64(data, at + 1)
    if end - at > 1 and data[at] == INT_TAG:
        integer, after = read_varint(data, at + 1, end)
        return after == end, np.float64(signed(integer))
    return False, 0.0


@inlined
def read_familiar(
    data: Bytes, at: int, end: int, head: np.uint64, index: int, row: int, names: Names, values: Values, room: Room
) -> tuple[int, int]:
    """Read an attribute that has the key of the one at its place in the span before.

    Args:
        data: (b,) uint8 request.
        at: First byte of the attribute's tag, at least the third of the request.
        end: One past the span's last byte.
        head: The eight bytes at `at`.
        index: Its position among the span's attributes.
        row: Row to fill.
        names: Role table.
        values: Columns being filled.
        room: Room to work in.

    Returns:
        Where the attribute ends, and what `read_attribute` returns; 0 and 0 for one that is to be read by that.
    """
    start, stop = _familiar_value(data, at, end, head, index, room.seen)
    if start == 0:
        return 0, 0
    place = int(room.seen[2, index])
    size = stop - start
    if size > 2 and data[start] == STRING_TAG and data[start + 1] == size - 2:
        if place < 0:
            return stop, place if valid_utf8(data, start + 2, stop) else BAD_UTF8 - 10
        if names.roles[place] < names.texts[0] and not _is_taken(place, row, names, values):
            code = _familiar_text(data, start, stop, place, names, room)
            if code == np.uint64(0):
                return stop, BAD_UTF8 - 10
            _hold_text(code, start, stop, place, row, names, values)
            return stop, 0
    elif place >= 0 and names.roles[place] >= names.texts[0]:
        known, number = _familiar_number(data, start, stop)
        if known:
            if not (np.isnan(number) or _is_taken(place, row, names, values)):
                _hold_number(number, place, row, names, values)
            return stop, 0
    return stop, _take(data, start, stop, place, row, names, values, room)


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
                if key_is_reserved(data, start, at):
                    ranges[found, 0], ranges[found, 1], ranges[found, 2] = row, tag_at, at
                    found += 1
