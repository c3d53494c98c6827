"""Decimal numbers into the bits of integers and doubles, correctly rounded.

Source: Lemire, "Number parsing at a gigabyte per second", Software: Practice and Experience 51 (2021), sections 5 to 9;
Mushtak and Lemire, "Fast number parsing without fallback", 2023.
"""

from typing import Final

import numpy as np

from spanward_processor.kernels.bits import high_product, leading_zeros
from spanward_processor.kernels.jit import Bytes, Codes, borrowing, signed
from spanward_processor.kernels.json_text import MINUS

SMALLEST_POWER: Final = -342
LARGEST_POWER: Final = 308

_ROUNDED_UP_FROM: Final = -27  # 5**27 is the last that 64 bits hold
_MOST_DIGITS: Final = 19  # decimal digits that always fit a 64-bit word
_FAR_AWAY: Final = 10_000_000_000  # an exponent that no digits of a document can make up for, and far from overflow
_TENTH: Final = np.uint64((2**64 - 1) // 10)
_TEN: Final = np.uint64(10)
_ZERO: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_FULL: Final = np.uint64(2**64 - 1)
_LOW_NINE: Final = np.uint64(0x1FF)
_INFINITE: Final = 0x7FF  # biased exponent
INFINITY: Final = np.uint64(_INFINITE << 52)


def powers_of_five() -> Codes:
    """Return the leading 128 bits of 5**q for q from -342 to 308.

    Returns:
        (651, 2) uint64: upper and lower half; rounded up for -27 <= q < 0, else truncated.
    """
    halves: list[tuple[int, int]] = []
    for power in range(SMALLEST_POWER, LARGEST_POWER + 1):
        five = 5 ** abs(power)
        if power >= 0:
            shift = 128 - five.bit_length()
            bits = five << shift if shift >= 0 else five >> -shift
        else:
            bits = (1 << (five.bit_length() + 127)) // five + (1 if power >= _ROUNDED_UP_FROM else 0)
        halves.append((bits >> 64, bits & (2**64 - 1)))
    return np.array(halves, np.uint64)


@borrowing
def _exponent(data: Bytes, at: int, end: int) -> int:
    """Return the exponent whose sign or first digit is at a position."""
    negative = data[at] == MINUS
    if negative or data[at] == 0x2B:
        at += 1
    value = 0
    while at < end:
        if value < _FAR_AWAY:
            value = 10 * value + (data[at] - 0x30)
        at += 1
    return -value if negative else value


@borrowing
def decimal(data: Bytes, at: int, end: int) -> tuple[np.uint64, int, bool]:
    """Return a valid number without its sign as digits times ten to an exponent, and whether digits were left out.

    Args:
        data: (b,) uint8 document.
        at: First digit.
        end: One past the number.
    """
    digits = _ZERO
    taken, exponent = 0, 0
    fraction, cut = False, False
    while at < end:
        byte = data[at]
        at += 1
        if 0x30 <= byte <= 0x39:
            if taken < _MOST_DIGITS:
                digits = digits * _TEN + np.uint64(byte - 0x30)
                taken += 1 if digits != _ZERO else 0
                exponent -= 1 if fraction else 0
            else:
                cut = cut or byte != 0x30
                exponent += 0 if fraction else 1
        elif byte == 0x2E:
            fraction = True
        else:
            exponent += _exponent(data, at, end)
            break
    return digits, exponent, cut


@borrowing
def _scaled(digits: np.uint64, exponent: int) -> tuple[np.uint64, bool]:
    """Return digits times ten to an exponent, and whether that is an integer that fits."""
    while exponent < 0 and digits != _ZERO:
        if digits % _TEN != _ZERO:
            return _ZERO, False
        digits //= _TEN
        exponent += 1
    while exponent > 0 and digits != _ZERO:
        if digits > _TENTH:
            return _ZERO, False
        digits *= _TEN
        exponent -= 1
    return digits, True


@borrowing
def integer(data: Bytes, at: int, end: int) -> tuple[np.uint64, bool]:
    """Return the size of a valid number without its sign, and whether it is an integer of 64 bits.

    With an exponent, or a fraction that is not zero, at most 19 digits count.

    Args:
        data: (b,) uint8 document.
        at: First digit.
        end: One past the number.
    """
    value = _ZERO
    place = at
    while place < end and 0x30 <= data[place] <= 0x39:
        digit = np.uint64(data[place] - 0x30)
        if value > _TENTH or (value == _TENTH and digit > np.uint64(5)):
            return _ZERO, False
        value = value * _TEN + digit
        place += 1
    if place < end and data[place] == 0x2E:
        place += 1
        while place < end and data[place] == 0x30:
            place += 1
    if place == end:
        return value, True
    digits, exponent, cut = decimal(data, at, end)
    value, whole = _scaled(digits, exponent)
    return value, whole and not cut


@borrowing
def double_bits(digits: np.uint64, power: int, fives: Codes) -> tuple[np.uint64, bool]:
    """Return the bits of the double nearest to digits times ten to a power, and whether it could be told.

    What is too small becomes zero, what is too large infinite. A few doubtful ones are left to the slow way.

    Args:
        digits: Up to 19 decimal digits.
        power: Of ten.
        fives: `powers_of_five()`.
    """
    if digits == _ZERO or power < SMALLEST_POWER:
        return _ZERO, True
    if power > LARGEST_POWER:
        return INFINITY, True
    zeros = leading_zeros(digits)
    digits <<= np.uint64(zeros)
    row = power - SMALLEST_POWER
    high, low = high_product(digits, fives[row, 0]), digits * fives[row, 0]
    if high & _LOW_NINE == _LOW_NINE:  # the next 64 bits may carry into those that count
        more = high_product(digits, fives[row, 1])
        low += more
        if low < more:
            high += _ONE
        if low == _FULL:
            return _ZERO, False
    upper = high >> np.uint64(63)
    shift = upper + np.uint64(9)
    mantissa = high >> shift
    exponent = ((152_170 + 65_536) * power >> 16) + 1086 + signed(upper) - zeros
    if low <= _ONE and -4 <= power <= 23 and mantissa & np.uint64(3) == _ONE and mantissa << shift == high:
        mantissa -= _ONE  # exactly between two doubles: the even one
    if exponent <= 0:  # subnormal: fewer bits, and the exponent of none
        mantissa = mantissa >> np.uint64(1 - exponent) if exponent > -63 else _ZERO
        exponent = 0
    mantissa = (mantissa + (mantissa & _ONE)) >> _ONE
    if exponent == 0:
        return mantissa, True  # a carry into bit 52 makes it the smallest normal one, as it should
    if mantissa >> np.uint64(53) != _ZERO:
        mantissa >>= _ONE
        exponent += 1
    if exponent >= _INFINITE:
        return INFINITY, True
    return (mantissa & np.uint64((1 << 52) - 1)) | np.uint64(exponent) << np.uint64(52), True
