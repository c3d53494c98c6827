"""Columns into bins, one per feature and row."""

import math
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Bytes, Codes, Floats, Ints, borrowing, inlined, kernel
from spanward_processor.kernels.memory import load_u64, prefetch
from spanward_processor.kernels.spans import Facts
from spanward_processor.kernels.tables import MISSING

SCALE: Final = 8  # bins per factor of two: OpenTelemetry's scale 3
UNIT_BINS: Final = 128
ZERO: Final = -(1 << 30)
_ERROR_STATUS: Final = 2
_AHEAD: Final = 8  # rows; of each one only the trace id lies in the request

# places in FEATURES; the features module's enumeration is compared with them by a test
_LATENCY, _ERROR, _INPUT_TOKENS, _SPARSITY, _SCORE, _DECISION, _REPEAT, _CLIENT = 1, 2, 3, 6, 7, 8, 9, 10


# A double's logarithm is read off its bits: the exponent says how many doublings, and the fraction is compared with the one
# border that may lie in its sixteenth of a doubling.
_FRACTION_BITS: Final = 52
_SIXTEENTH_BITS: Final = _FRACTION_BITS - 4
_EXPONENTS: Final = 0x7FF
_BIAS: Final = 1023

_BORDERS: Final = ((2.0 ** (np.arange(SCALE) / SCALE)).view(np.int64)) & ((1 << _FRACTION_BITS) - 1)
_ENDS: Final = np.arange(1, 17) << _SIXTEENTH_BITS
_BELOW: Final = np.searchsorted(_BORDERS, _ENDS - (1 << _SIXTEENTH_BITS))  # borders below each sixteenth
_WITHIN: Final = np.minimum(np.append(_BORDERS, 1 << _FRACTION_BITS)[_BELOW], _ENDS)  # the border in it, else its end


@borrowing
def exponential_bin(value: float) -> int:
    """Return the base-2 exponential bin of a number; bins keep the order of numbers, negative ones included."""
    bits = np.float64(value).view(np.int64)
    exponent = (bits >> _FRACTION_BITS) & _EXPONENTS
    if exponent == _EXPONENTS:
        return MISSING  # infinite, or not a number
    if exponent == 0:
        return _tiny_bin(value)
    fraction = bits & ((1 << _FRACTION_BITS) - 1)
    sixteenth = fraction >> _SIXTEENTH_BITS
    index = (exponent - _BIAS) * SCALE + _BELOW[sixteenth] - 1
    if fraction > _WITHIN[sixteenth]:
        index += 1
    return int(index) if value > 0.0 else int(_mirrored(index))


@borrowing
def _tiny_bin(value: float) -> int:
    """Return the bin of 0 or of a subnormal number, whose exponent is in its fraction."""
    if value == 0.0:
        return ZERO
    index = math.ceil(math.log2(abs(value)) * SCALE) - 1
    return index if value > 0.0 else _mirrored(index)


@inlined
def _mirrored(index: int) -> int:
    """Return the bin of a negative number from that of its absolute value."""
    return ZERO - 1 - (index + (1 << 20))


@borrowing
def unit_bin(value: float) -> int:
    """Return one of 128 equal bins for a number in 0..1, and an exponential bin, kept apart, for any other."""
    if value >= 0.0 and value <= 1.0:
        return min(int(value * UNIT_BINS), UNIT_BINS - 1)
    cell_bin = exponential_bin(value)
    return cell_bin + UNIT_BINS if value > 1.0 and cell_bin != MISSING else cell_bin


@kernel
def exponential_bins(values: Floats) -> Ints:
    """Return (n,) int64 `exponential_bin` of each value."""
    bins = np.empty(values.size, np.int64)
    for index in range(values.size):
        bins[index] = exponential_bin(values[index])
    return bins


@kernel
def unit_bins(values: Floats) -> Ints:
    """Return (n,) int64 `unit_bin` of each value."""
    bins = np.empty(values.size, np.int64)
    for index in range(values.size):
        bins[index] = unit_bin(values[index])
    return bins


@borrowing
def _swap_bytes(word: np.uint64) -> np.uint64:
    result = np.uint64(0)
    for _ in range(8):
        result = (result << np.uint64(8)) | (word & np.uint64(0xFF))
        word >>= np.uint64(8)
    return result


@borrowing
def bin_rows(
    data: Bytes, facts: Facts, codes: Codes, texts: Ints, numbers: Floats, repeats: Ints, bins: Ints, traces: Codes
) -> None:
    """Fill the bins of every feature.

    Args:
        data: (b,) uint8 request.
        facts: Times, status and trace id offsets.
        codes: (t, n) uint64 text columns.
        texts: (3,) int64 the columns of decision, client and error type.
        numbers: (5, n) float64 input tokens, output tokens, input size, sparsity, score.
        repeats: (n,) int64 from `mark_repeats`.
        bins: (f, n) int64 to fill.
        traces: (n, 2) uint64 zeros to fill with trace ids.
    """
    for row in range(bins.shape[1]):
        if row + _AHEAD < bins.shape[1]:
            prefetch(data, facts.trace_at[row + _AHEAD])
        bins[0, row] = 0
        lasted_ns = facts.end_ns[row] - facts.start_ns[row]
        timed = facts.start_ns[row] > 0 and lasted_ns > 0
        bins[_LATENCY, row] = exponential_bin(lasted_ns * 1e-9) if timed else MISSING
        failed = facts.status[row] == _ERROR_STATUS or codes[texts[2], row] != np.uint64(0)
        bins[_ERROR, row] = 1 if failed else 0
        for index in range(3):
            bins[_INPUT_TOKENS + index, row] = exponential_bin(numbers[index, row])
        bins[_SPARSITY, row] = unit_bin(numbers[3, row])
        bins[_SCORE, row] = unit_bin(numbers[4, row])
        decision, client = codes[texts[0], row], codes[texts[1], row]
        bins[_DECISION, row] = np.int64(decision) if decision != np.uint64(0) else MISSING
        bins[_REPEAT, row] = repeats[row] if repeats[row] >= 0 else MISSING
        bins[_CLIENT, row] = np.int64(client) if client != np.uint64(0) else MISSING
        if facts.trace_at[row] >= 0:
            traces[row, 0] = _swap_bytes(load_u64(data, facts.trace_at[row]))
            traces[row, 1] = _swap_bytes(load_u64(data, facts.trace_at[row] + 8))
