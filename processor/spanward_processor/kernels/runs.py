"""Runs of bytes, eight at a time down to their last: a run's end is read as one word too, from as far back as it needs."""

from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Bytes, inlined
from spanward_processor.kernels.memory import check_run, load_tail, load_u64, peek_u64

_HIGH_BITS: Final = np.uint64(0x8080808080808080)


@inlined
def short_word(data: Bytes, start: int, end: int) -> np.uint64:
    """Return up to seven bytes as a little-endian word, zero filled."""
    if end < 8 or end == start:
        return load_tail(data, start, end)
    return np.uint64(load_u64(data, end - 8) >> np.uint64(8 * (8 - (end - start))))


@inlined
def same_run(data: Bytes, left: int, right: int, length: int) -> bool:
    """Return whether two runs of a byte array are equal."""
    if length < 8:
        return bool(short_word(data, left, left + length) == short_word(data, right, right + length))
    check_run(data, left, left + length)
    check_run(data, right, right + length)
    last = length - 8
    at = 0
    while at < last:
        if peek_u64(data, left + at) != peek_u64(data, right + at):
            return False
        at += 8
    return bool(peek_u64(data, left + last) == peek_u64(data, right + last))


@inlined
def after_ascii(data: Bytes, start: int, end: int) -> int:
    """Return `end` when a run is plain ASCII, else the beginning of the word that is not."""
    check_run(data, start, end)
    at = start
    while at + 8 <= end:
        if peek_u64(data, at) & _HIGH_BITS != np.uint64(0):
            return at
        at += 8
    return at if short_word(data, at, end) & _HIGH_BITS != np.uint64(0) else end
