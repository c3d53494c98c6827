"""Windows of quantised numbers, in plain Python and, where the process has numpy already, by numpy: the same bytes.

A window's place in the secret order is a polynomial of its numbers modulo 2**64, from running sums: one pass whatever the width.
Source: Karp and Rabin, "Efficient randomized pattern-matching algorithms", 1987 (polynomials with a secret base).
"""

import itertools
import math
import struct
import sys
from array import array
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple, cast

MOST_NUMBERS: Final = 4_096  # of a longer array every second, third, ... one

_KINDS: Final = ("<f8", "<i4", "<u8")  # dtypes of the numbers, of quantised ones and of the polynomial
_64_BITS: Final = (1 << 64) - 1
_FARTHEST: Final = float(2**31 - 1)  # where a quantised number beyond it is, and NaN

Seed = Callable[[bytes], bytes]
"""A keyed function to sixteen bytes."""


class _Powers(NamedTuple):
    """What each place is worth, for arrays up to a length: as lists, or as arrays of numpy.

    Args:
        offsets: Where the cells of each number begin, 0 to 1: nobody knows it who might keep close to their borders, and
            values that stand on a grid, as counts, lie on a border in few places only.
        rising: Powers of the base, modulo 2**64.
        falling: Powers of its inverse, times the factor.
    """

    offsets: Any
    rising: Any
    falling: Any


class _Constants(NamedTuple):
    """Numbers and dtypes in numpy's own form: it would make them of Python's anew each time, which takes as long as the rest.

    Args:
        double: Of the numbers.
        cell: Of quantised ones.
        word: Of the polynomial.
        steps: One, or one for each number.
        nearest: What a quantised number is at least.
        farthest: What it is at most.
        term: Of the polynomial.
    """

    double: Any
    cell: Any
    word: Any
    steps: Any
    nearest: Any
    farthest: Any
    term: Any


class WindowCutter:
    """Cuts arrays into windows, and keeps those that come first in a secret order.

    Args:
        width: Numbers in a window.
        steps: Of all numbers, or of each.
        hashes: Windows to keep.
        seed: Gives where cells begin, and the order.
    """

    def __init__(self, width: int, steps: tuple[float, ...], hashes: int, seed: Seed) -> None:
        self._width, self._steps, self._hashes, self._seed = width, steps, hashes, seed
        base, factor, term = (int.from_bytes(seed(name)[:8], "big") for name in (b"base", b"factor", b"term"))
        self._base, self._factor, self._term = base | 1, factor | 1, term
        self._constants: _Constants | None = None  # of numpy
        self._powers: dict[tuple[int, bool], _Powers] = {}  # one for each power of two

    def __call__(self, value: object) -> Collection[bytes]:
        """Return the chosen windows of an array or list, each number as a little-endian integer of 32 bits."""
        numbers = numbers_of(value)
        if numbers is None or len(self._steps) not in {1, len(numbers)}:
            return ()
        width, numpy = min(self._width, len(numbers)), sys.modules.get("numpy")
        powers = self._powers_of(1 << (len(numbers) - 1).bit_length(), numpy)
        if numpy is None:
            cells, starts = self._cut(numbers, width, powers)
        else:
            cells, starts = self._cut_by(numpy, numbers, width, powers)
        return [cells[4 * start : 4 * (start + width)] for start in starts]

    def _cut(self, numbers: Sequence[float], width: int, powers: _Powers) -> tuple[bytes, list[int]]:
        """Return the quantised numbers, and where the chosen windows begin."""
        cells = [
            math.floor(max(-_FARTHEST, min(_FARTHEST, value / step + offset)))
            for value, step, offset in zip(
                map(float, numbers), itertools.cycle(self._steps), powers.offsets, strict=False
            )
        ]
        sums = [0, *itertools.accumulate(cell * power for cell, power in zip(cells, powers.rising, strict=False))]
        places: dict[int, int] = {}
        for start in range(len(cells) - width + 1):
            order = (sums[start + width] - sums[start]) * powers.falling[start] + self._term
            places[order & _64_BITS] = start
        packed = struct.pack(f"<{len(cells)}i", *cells)
        return packed, [places[order] for order in sorted(places)[: self._hashes]]

    def _cut_by(self, numpy: Any, numbers: Sequence[float], width: int, powers: _Powers) -> tuple[bytes, list[int]]:
        """Return the same, by numpy."""
        count, made = len(numbers), self._constants or self._constants_by(numpy)
        with numpy.errstate(all="ignore"):
            scaled = numpy.asarray(numbers, made.double) / made.steps
            scaled += powers.offsets[:count]
            numpy.fmin(scaled, made.farthest, scaled)
            numpy.fmax(scaled, made.nearest, scaled)
            cells = numpy.floor(scaled, scaled).astype(made.cell)
        sums = cells.astype(made.word)
        sums *= powers.rising[:count]
        numpy.add.accumulate(sums, out=sums)
        order = sums[width - 1 :].copy()
        order[1:] -= sums[:-width]
        order *= powers.falling[: len(order)]
        order += made.term
        return cells.tobytes(), _smallest(numpy, order, self._hashes)

    def _constants_by(self, numpy: Any) -> _Constants:
        double, cell, word = map(numpy.dtype, _KINDS)
        steps = numpy.array(self._steps, double)
        made = self._constants = _Constants(
            double,
            cell,
            word,
            steps if steps.size > 1 else steps.reshape(()),
            numpy.array(-_FARTHEST, double),
            numpy.array(_FARTHEST, double),
            numpy.array(self._term, word),
        )
        return made

    def _powers_of(self, count: int, numpy: Any) -> _Powers:
        found = self._powers.get((count, numpy is None))
        if found is None:
            inverse = pow(self._base, -1, 1 << 64)
            offsets = [int.from_bytes(self._seed(b"offset %d" % place)[:8], "big") / 2**64 for place in range(count)]
            rising = [pow(self._base, exponent, 1 << 64) for exponent in range(count)]
            falling = [pow(inverse, exponent, 1 << 64) * self._factor & _64_BITS for exponent in range(count)]
            found = _Powers(offsets, rising, falling)
            if numpy is not None:
                double, _, word = _KINDS
                found = _Powers(numpy.array(offsets, double), numpy.array(rising, word), numpy.array(falling, word))
            self._powers[count, numpy is None] = found
        return found


def _smallest(numpy: Any, order: Any, hashes: int) -> list[int]:
    """Return places of the smallest values that differ."""
    limit = (2 * hashes << 64) // len(order)
    if limit <= _64_BITS:  # most often enough are below: sorting all takes longer
        places = (order < numpy.array(limit, order.dtype)).nonzero()[0]
        places = places[order[places].argsort()]
        for first in (places[:hashes], places):  # more of them where windows are alike
            found: dict[int, int] = dict(zip(order[first].tolist(), first.tolist(), strict=True))
            if len(found) >= hashes:
                return list(found.values())[:hashes]
    everywhere: list[int] = numpy.unique(order, return_index=True)[1][:hashes].tolist()
    return everywhere


def numbers_of(value: Any) -> Sequence[float] | None:
    """Return the numbers of an array or list, at most so many; None of anything else."""
    if isinstance(value, (list, tuple)):
        numbers = _listed(cast("list[float] | tuple[float, ...]", value))
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        numbers = _flat(value)
    else:
        numbers = None
    if numbers is None or len(numbers) == 0:
        return None
    return numbers[:: -(-len(numbers) // MOST_NUMBERS)]


def _listed(numbers: Sequence[float]) -> Sequence[float] | None:
    """Return the numbers of a list as doubles; None where it holds anything else, or an integer that is too large for one."""
    if not set(map(type, numbers)) <= {int, float}:
        return None
    doubles = array("d")
    try:
        doubles.frombytes(struct.pack(f"{len(numbers)}d", *numbers))  # half the time of array("d", numbers)
    except (OverflowError, struct.error):
        return None
    return doubles


def _flat(value: Any) -> Any:
    """Return an array as one row; of a tensor in main memory its array."""
    if hasattr(value, "detach"):
        if value.device.type != "cpu" or value.is_complex() or "strided" not in str(value.layout):
            return None
        value = value.detach().float().numpy()
    if getattr(value.dtype, "kind", "") not in {"b", "i", "u", "f"}:
        return None
    return value.reshape(-1)
