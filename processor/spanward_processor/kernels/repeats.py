"""Whether an input repeats a recent one, from keyed hashes alone.

A row repeats when at least half of its fingerprint's hashes were seen among recent rows of the same key. The memory is
one direct-mapped table: a newer hash takes the place of an older one. Source: Li et al., "Blacklight: Scalable Defense
for Neural Networks against Query-Based Black-Box Attacks", USENIX Security 2022, section 4 (match on shared hashes).
"""

import numpy as np

from spanward_processor.kernels.jit import Bytes, Codes, Ints, borrowing
from spanward_processor.kernels.memory import load_u64
from spanward_processor.kernels.siphash import mix64
from spanward_processor.kernels.wire import LENGTH, read_length, read_tag

_WORD = 8


@borrowing
def _recall(word: np.uint64, key: int, recent: Codes) -> int:
    """Return 1 when the hash was seen for this key, and remember it."""
    mixed = mix64(word ^ mix64(np.uint64(key + 1)))
    place = np.int64(mixed & np.uint64(recent.size - 1))
    known = recent[place] == mixed
    recent[place] = mixed
    return 1 if known else 0


@borrowing
def mark_repeats(
    data: Bytes, keys: Ints, hashes: Codes, print_at: Ints, print_size: Ints, recent: Codes, repeats: Ints
) -> None:
    """Mark the rows that repeat a recent input.

    Args:
        data: (b,) uint8 request.
        keys: (n,) int64 series key, -1 for rows of no series.
        hashes: (n,) uint64 code of the input hash, used for rows without a fingerprint; 0 where absent.
        print_at: (n,) int64 offset of the fingerprint's AnyValue.
        print_size: (n,) int64 its length, 0 where absent.
        recent: (power of two,) uint64 memory, changed.
        repeats: (n,) int64 to fill: 1 repeats, 0 does not, -1 unknown.
    """
    for row in range(keys.size):
        repeats[row] = -1
        if keys[row] < 0:
            continue
        start = stop = 0
        if print_size[row] > 0:
            number, wire, at = read_tag(data, print_at[row], print_at[row] + print_size[row])
            if wire == LENGTH and number == 7:
                start, stop = read_length(data, at, print_at[row] + print_size[row])
        words = (stop - start) // _WORD
        if words > 0:
            hits = 0
            for index in range(words):
                hits += _recall(load_u64(data, start + index * _WORD), keys[row], recent)
            repeats[row] = 1 if 2 * hits >= words else 0
        elif hashes[row] != np.uint64(0):
            repeats[row] = _recall(hashes[row], keys[row], recent)
