"""SipHash-1-3: the keyed 64-bit hash by which strings become codes.

The senders choose the strings, so an unkeyed hash would let them collide codes at will. Source: Aumasson and Bernstein,
"SipHash: a fast short-input PRF", 2012; the reduced-round variant that Python and Rust use for their dictionaries.
"""

import numpy as np

from spanward_processor.kernels.jit import Bytes, borrowing, inlined
from spanward_processor.kernels.memory import check_run, peek_u64
from spanward_processor.kernels.runs import short_word

_Words = tuple[np.uint64, np.uint64, np.uint64, np.uint64]


@inlined
def _rotate(word: np.uint64, bits: int) -> np.uint64:
    return np.uint64((word << np.uint64(bits)) | (word >> np.uint64(64 - bits)))


@inlined
def _round(v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64) -> _Words:
    v0 += v1
    v1 = _rotate(v1, 13) ^ v0
    v0 = _rotate(v0, 32)
    v2 += v3
    v3 = _rotate(v3, 16) ^ v2
    v0 += v3
    v3 = _rotate(v3, 21) ^ v0
    v2 += v1
    v1 = _rotate(v1, 17) ^ v2
    v2 = _rotate(v2, 32)
    return v0, v1, v2, v3


@borrowing
def siphash13(data: Bytes, start: int, end: int, k0: np.uint64, k1: np.uint64) -> np.uint64:
    """Return the keyed hash of `data[start:end]`; never 0, which means "absent" in a column.

    Args:
        data: (b,) uint8.
        start: First byte.
        end: One past the last byte.
        k0: Low half of the 128-bit key.
        k1: High half of the 128-bit key.
    """
    v0 = k0 ^ np.uint64(0x736F6D6570736575)
    v1 = k1 ^ np.uint64(0x646F72616E646F6D)
    v2 = k0 ^ np.uint64(0x6C7967656E657261)
    v3 = k1 ^ np.uint64(0x7465646279746573)
    check_run(data, start, end)
    at = start
    while at + 8 <= end:
        word = peek_u64(data, at)
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
        at += 8
    word = short_word(data, at, end) | (np.uint64((end - start) & 0xFF) << np.uint64(56))
    v3 ^= word
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= word
    v2 ^= np.uint64(0xFF)
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    digest = v0 ^ v1 ^ v2 ^ v3
    return digest if digest != np.uint64(0) else np.uint64(1)


@inlined
def mix64(word: np.uint64) -> np.uint64:
    """Return a word with its bits spread; the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.uint64(word ^ (word >> np.uint64(31)))
