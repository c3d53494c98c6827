"""Whether an input nearly repeats a recent one, from keyed hashes alone.

A row repeats when at least half of its fingerprint's hashes were last seen together, in one and the same earlier row of its
key. The memory is one direct-mapped table from hash to the newest row that had it: a newer hash takes the place of an older
one. Source: Li et al., "Blacklight: Scalable Defense for Neural Networks against Query-Based Black-Box Attacks", USENIX
Security 2022, section 4 (match on hashes shared with a single stored query).
"""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Bytes, Codes, Ints, borrowing, inlined, signed
from spanward_processor.kernels.memory import load_u64, prefetch
from spanward_processor.kernels.siphash import mix64
from spanward_processor.kernels.wire import LENGTH, read_length, read_tag

MOST_HASHES: Final = 50  # of one fingerprint; further ones are not looked at
_WORD: Final = 8
_AHEAD: Final = 12  # rows; about as many as the memory answers at once


class Memory(NamedTuple):
    """Hashes of recent inputs.

    Args:
        newest: (power of two, 2) uint64 a hash and the number of the newest row that had it, side by side in one cache line.
        seen: (1,) int64 rows seen so far.
        found: (MOST_HASHES,) int64 scratch: the earlier row of each hash of the current one.
    """

    newest: Codes
    seen: Ints
    found: Ints


@inlined
def _mixed(word: np.uint64, key: int) -> np.uint64:
    """Return a hash as it is remembered: of one key, so that keys do not repeat each other's inputs."""
    return np.uint64(mix64(word ^ mix64(np.uint64(key + 1))))


@inlined
def _place_of(mixed: np.uint64, memory: Memory) -> int:
    return signed(mixed & np.uint64(memory.newest.shape[0] - 1))


@borrowing
def _recall(word: np.uint64, key: int, memory: Memory) -> int:
    """Return the newest earlier row of the key that had the hash, -1 if none is remembered; remember the current one."""
    mixed = _mixed(word, key)
    place = _place_of(mixed, memory)
    row = signed(memory.newest[place, 1]) if memory.newest[place, 0] == mixed else -1
    memory.newest[place, 0], memory.newest[place, 1] = mixed, np.uint64(memory.seen[0])
    return row if row != memory.seen[0] else -1  # a hash that a row holds twice is no repeat of an earlier row


@inlined
def _ask_ahead(row: int, keys: Ints, hashes: Codes, memory: Memory) -> None:
    """Ask the memory for what a later row without a fingerprint will look at; rows lie anywhere in megabytes."""
    if row < keys.size and keys[row] >= 0 and hashes[row] != np.uint64(0):
        prefetch(memory.newest, _place_of(_mixed(hashes[row], keys[row]), memory))


@borrowing
def _most_together(found: Ints, count: int) -> int:
    """Return how many hashes the row has that occurs most often among the first `count`."""
    most = 0
    for index in range(count):
        same = 0
        for other in range(count):
            same += 1 if found[index] >= 0 and found[other] == found[index] else 0
        most = max(most, same)
    return most


@borrowing
def _fingerprint_range(data: Bytes, at: int, size: int) -> tuple[int, int]:
    """Return where the bytes of an AnyValue's bytes value lie; an empty range for any other value."""
    if size > 0:
        number, wire, payload = read_tag(data, at, at + size)
        if wire == LENGTH and number == 7:
            return read_length(data, payload, at + size)
    return 0, 0


@borrowing
def mark_repeats(
    data: Bytes, keys: Ints, hashes: Codes, print_at: Ints, print_size: Ints, memory: Memory, repeats: Ints
) -> None:
    """Mark the rows that nearly repeat a recent input.

    Args:
        data: (b,) uint8 request.
        keys: (n,) int64 series key, -1 for rows of no series.
        hashes: (n,) uint64 code of the input hash, used for rows without a fingerprint; 0 where absent.
        print_at: (n,) int64 offset of the fingerprint's AnyValue.
        print_size: (n,) int64 its length, 0 where absent.
        memory: Recent inputs, changed.
        repeats: (n,) int64 to fill: 1 repeats, 0 does not, -1 unknown.
    """
    for row in range(keys.size):
        _ask_ahead(row + _AHEAD, keys, hashes, memory)
        repeats[row] = -1
        if keys[row] < 0:
            continue
        start, stop = _fingerprint_range(data, print_at[row], print_size[row])
        words = min((stop - start) // _WORD, MOST_HASHES)
        for index in range(words):
            memory.found[index] = _recall(load_u64(data, start + index * _WORD), keys[row], memory)
        if words > 0:
            repeats[row] = 1 if 2 * _most_together(memory.found, words) >= words else 0
        elif hashes[row] != np.uint64(0):
            repeats[row] = 1 if _recall(hashes[row], keys[row], memory) >= 0 else 0
        memory.seen[0] += 1
