"""One attribute: which role its key plays, and where its value goes."""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Bytes, Codes, Floats, Ints, borrowing, inlined, natural, signed
from spanward_processor.kernels.memory import load_f64, load_u64
from spanward_processor.kernels.runs import same_run
from spanward_processor.kernels.siphash import siphash13
from spanward_processor.kernels.values import (
    BOOL_TAG,
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

_STRENGTH_BITS: Final = 16  # of a claim; above them is the role, or the row in which it was filled
_STRONGEST: Final = (1 << _STRENGTH_BITS) - 1

_RESERVED_WORDS: Final = np.frombuffer(b"spanward.anomaly.", np.uint8).copy()
_SPANWARD: Final = np.uint64(int.from_bytes(b"spanward", "little"))


class Names(NamedTuple):
    """The role table as an open-addressing hash table over attribute names.

    Args:
        hashes: (c,) uint64 keyed hash of the name, 0 for a free place; c is a power of two.
        claims: (c,) int64 from `claim_of`.
        key: (2,) uint64 hash key.
    """

    hashes: Codes
    claims: Ints
    key: Codes


class Values(NamedTuple):
    """Columns being filled, of a request's spans or, a single row, of one resource.

    Args:
        codes: (t, n) uint64 keyed hash of a text, 0 where absent.
        text_at: (t, n) int64 offset of its AnyValue in the request.
        text_size: (t, n) int64 length of that AnyValue.
        numbers: (m, n) float64, NaN where absent.
        holders: (t + m,) int64 row in which each role was filled last, and how strong the claim of the name was, in one number as
            in `claim_of`; -1 before.
    """

    codes: Codes
    text_at: Ints
    text_size: Ints
    numbers: Floats
    holders: Ints


class Room(NamedTuple):
    """Room to work in while one request is read.

    Args:
        digits: (20,) uint8 room to write an integer's decimal text.
        stack: (2, MAX_DEPTH) int64 room for `validate`.
        heads: (PREDICTED,) int64 by position in the previous span: how the attribute began, as `_HEAD` says, 0 where it did not.
        keys: (PREDICTED,) int64 offset of its key.
        claims: (PREDICTED,) int64 what its key claims, as `read_attribute` returns it.
        recent: (RECENT t, 3) int64 by text role: offset, length and code of AnyValues that were read lately.
    """

    digits: Bytes
    stack: Ints
    heads: Ints
    keys: Ints
    claims: Ints
    recent: Ints


def claim_of(role: int, rank: int) -> int:
    """Return what a name claims.

    Args:
        role: Its column; text columns come first, number columns after them.
        rank: Its place in the role's list; of names in one span the one with the lower rank wins, the larger claim.

    Raises:
        ValueError: A role has more names than are told apart.
    """
    if rank > _STRONGEST:
        raise ValueError(f"detection.roles: one role can have {_STRONGEST + 1} names, got more")
    return role << _STRENGTH_BITS | _STRONGEST - rank


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
    """Return what a name claims, or `NO_ROLE` or `RESERVED`."""
    code = siphash13(data, start, end, names.key[0], names.key[1])
    mask = names.hashes.size - 1
    place = signed(code & np.uint64(mask))
    while names.hashes[place] != np.uint64(0):
        if names.hashes[place] == code:
            return int(names.claims[place])
        place = (place + 1) & mask
    return RESERVED if _is_reserved(data, start, end) else NO_ROLE


@inlined
def _remember(data: Bytes, start: int, end: int, stop: int, index: int, claim: int, room: Room) -> None:
    """Remember the key at `start` of an attribute that ends at `stop` where the next span's can be compared with it."""
    if index >= PREDICTED:
        return
    size = end - start
    known = size < 128 and start >= 2 and end < stop and data[end] == _VALUE_TAG
    room.heads[index] = _HEAD | size << _KEY_SIZE_AT if known else 0
    room.keys[index], room.claims[index] = start, claim


@inlined
def _hold(claim: int, row: int, values: Values) -> bool:
    """Let a name fill its role in a row, unless one did whose claim is as strong."""
    role, held = natural(claim >> _STRENGTH_BITS), row << _STRENGTH_BITS | claim & _STRONGEST
    if values.holders[role] >= held:
        return False
    values.holders[role] = held
    return True


@inlined
def _is_text(claim: int, values: Values) -> bool:
    return bool(claim >> _STRENGTH_BITS < values.codes.shape[0])


@inlined
def _store_text(code: np.uint64, at: int, end: int, claim: int, row: int, values: Values) -> None:
    if _hold(claim, row, values):
        role, here = natural(claim >> _STRENGTH_BITS), natural(row)
        values.codes[role, here] = code
        values.text_at[role, here], values.text_size[role, here] = at, end - at


@inlined
def _store_number(number: float, claim: int, row: int, values: Values) -> None:
    if not np.isnan(number) and _hold(claim, row, values):
        values.numbers[natural((claim >> _STRENGTH_BITS) - values.codes.shape[0]), natural(row)] = number


@inlined
def _store(
    data: Bytes, at: int, end: int, value: AnyValue, claim: int, row: int, key: Codes, values: Values, digits: Bytes
) -> None:
    if not _is_text(claim, values):
        _store_number(number_of(data, value), claim, row, values)
        return
    code = text_code(data, value, key, digits)
    if code != np.uint64(0):
        _store_text(code, at, end, claim, row, values)


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
def _take(data: Bytes, at: int, end: int, claim: int, row: int, key: Codes, values: Values, room: Room) -> int:
    """Check a value and store it where its key has a role."""
    checked, value = read_any_value(data, at, end, room.stack)
    if checked < 0:
        return checked - 10
    if claim >= 0:
        _store(data, at, end, value, claim, row, key, values, room.digits)
        return 0
    return claim


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
    claim = _find_name(data, key_start, key_end, names)
    _remember(data, key_start, key_end, stop, index, claim, room)
    return _take(data, value_start, value_end, claim, row, names.key, values, room)


@inlined
def _familiar_value(data: Bytes, at: int, end: int, head: np.uint64, index: int, room: Room) -> tuple[int, int]:
    """Return where the value and the attribute end when all before it is as at this place in the span before, else 0, 0.

    Senders repeat one order of attributes, so this mostly holds; such a key was checked and looked up before.
    """
    if index >= PREDICTED or signed(head & np.uint64(_HEAD_MASK)) != room.heads[natural(index)]:
        return 0, 0
    key_size = signed(head >> np.uint64(_KEY_SIZE_AT) & np.uint64(0x7F))
    stop = at + 2 + signed(head >> np.uint64(8) & np.uint64(0x7F))
    start = at + 6 + key_size  # behind the value's tag and its length
    if stop > end or start > stop:
        return 0, 0
    if not same_run(data, room.keys[natural(index)], at + 4, key_size + 1):  # the value's tag, too
        return 0, 0
    return start, stop


@inlined
def _recent_place(data: Bytes, end: int, role: int) -> int:
    """Return where a text's code is remembered; its last eight bytes, or what lies before it, tell."""
    word = load_u64(data, end - 8) * np.uint64(0x9E3779B97F4A7C15)
    return role * RECENT + signed(word >> np.uint64(60))


@inlined
def _familiar_text(data: Bytes, at: int, end: int, role: int, key: Codes, recent: Ints) -> np.uint64:
    """Return the code of an AnyValue that holds a string and nothing else; 0 when it is not UTF-8."""
    slot = natural(_recent_place(data, end, role))
    if recent[slot, 1] == end - at and same_run(data, recent[slot, 0], at, end - at):
        return np.uint64(recent[slot, 2])
    if not valid_utf8(data, at + 2, end):
        return np.uint64(0)
    code = siphash13(data, at + 2, end, key[0], key[1])
    recent[slot, 0], recent[slot, 1], recent[slot, 2] = at, end - at, signed(code)
    return code


@inlined
def _familiar_number(data: Bytes, at: int, end: int, tag: int) -> tuple[bool, float]:
    """Return whether an AnyValue with this first byte holds a double, an integer or a truth value and nothing else, and that."""
    if tag == DOUBLE_TAG and end - at == 9:
        return True, load_f64(data, at + 1)
    if end > at and tag in (INT_TAG, BOOL_TAG):
        integer, after = read_varint(data, at + 1, end)
        truth = np.uint64(1) if integer != np.uint64(0) else np.uint64(0)
        return after == end, np.float64(signed(integer if tag == INT_TAG else truth))
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
    start, stop = _familiar_value(data, at, end, head, index, room)
    if start == 0 or start + 7 > data.size:
        return 0, 0
    word = load_u64(data, start - 1)  # the value's length, its first tag, and what may be the length of a string
    size, tag = signed(word & np.uint64(0xFF)), signed(word >> np.uint64(8) & np.uint64(0xFF))
    if size != stop - start:
        return 0, 0
    claim = int(room.claims[natural(index)])
    if size > 2 and tag == STRING_TAG and signed(word >> np.uint64(16) & np.uint64(0xFF)) == size - 2:
        if claim < 0:
            return stop, claim if valid_utf8(data, start + 2, stop) else BAD_UTF8 - 10
        if _is_text(claim, values):
            code = _familiar_text(data, start, stop, claim >> _STRENGTH_BITS, names.key, room.recent)
            if code == np.uint64(0):
                return stop, BAD_UTF8 - 10
            _store_text(code, start, stop, claim, row, values)
            return stop, 0
    elif claim < 0 or not _is_text(claim, values):
        known, number = _familiar_number(data, start, stop, tag)
        if known:
            if claim < 0:
                return stop, claim
            _store_number(number, claim, row, values)
            return stop, 0
    return stop, _take(data, start, stop, claim, row, names.key, values, room)


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
