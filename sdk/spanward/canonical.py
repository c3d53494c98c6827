"""Values as canonical bytes, so that equal inputs hash equally in every process and language.

The form is specified, with test vectors, in `docs/canonical.md`. No two inputs that differ share one, and none takes long:
size, depth and number of parts are bounded. A value of a type that is not listed there has no canonical form: it is not hashed,
since its `repr` may differ between processes, or tell what it should not.
"""

import dataclasses
import enum
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

from spanward.normal import normal_text

MOST_BYTES: Final = 16 << 20  # some 20 ms of hashing
MOST_PARTS: Final = 50_000  # some 60 ms of walking; a list of only floats or only integers is one part
MOST_BITS: Final = 4096  # of an integer: writing decimals takes quadratic time
DEEPEST: Final = 32

_NAN: Final = struct.pack(">d", math.nan)
_CONSTANTS: Final = {None: b"N", True: b"T", False: b"F"}
_WIDEST: Final = {"b": 1, "i": 8, "u": 8, "f": 8}  # bytes by kind of dtype; a longer float has padding, which is random
_BITS: Final = {
    2: (1 << 15, 0x7C00, 0x7E00),
    4: (1 << 31, 0x7F80 << 16, 0x7FC0 << 16),
    8: (1 << 63, 0x7FF << 52, 0xFFF << 51),
}
"""By bytes of a float: the sign bit, which -0.0 is; infinity, above which all are NaN; the NaN that stands for all."""
_BRAIN: Final = "bf2"  # bfloat16: the upper half of single precision
_KIND_OF_TENSOR: Final = {"bool": "b1", "bfloat16": _BRAIN} | {
    f"{word}{8 * size}": f"{word[0]}{size}" for word in ("int", "float", "uint") for size in (1, 2, 4, 8)
}
_WRITTEN: Final[dict[type, tuple[bytes, Callable[[Any], str]]]] = {
    datetime: (b"datetime", datetime.isoformat),
    date: (b"date", date.isoformat),
    time: (b"time", time.isoformat),
    timedelta: (b"timedelta", str),
    Decimal: (b"decimal", str),
    UUID: (b"uuid", str),
}


class NotCanonicalError(TypeError):
    """A value has no canonical form; only types and bounds are named."""


def canonical(value: object) -> bytes:
    """Return the canonical bytes of a value.

    Raises:
        NotCanonicalError: The value, or something inside it, has no canonical form, or there is too much of it.
    """
    # The commonest inputs, at a third of the cost.
    if type(value) is bytes and len(value) <= MOST_BYTES:
        return b"b" + len(value).to_bytes(8) + value
    if type(value) is str and value.isascii() and len(value) <= MOST_BYTES:
        return b"s" + len(value).to_bytes(8) + value.encode()
    form = _Form()
    form.add(value, 0)
    return b"".join(form.parts)


class _Form:
    """The form of one value, growing."""

    __slots__ = ("_room", "_steps", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._room = MOST_BYTES
        self._steps = MOST_PARTS

    def add(self, value: Any, depth: int) -> None:
        """Add the form of a value; most frequent types first."""
        self._step(depth)
        if value is None or value is True or value is False:
            self.parts.append(_CONSTANTS[value])
        elif isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, enum.Enum):  # before numbers: of an IntEnum too the value counts
            self.add(value.value, depth + 1)
        elif isinstance(value, int):
            self._add_integers([int(value)])
        elif isinstance(value, float):
            self.parts.append(_float(float(value)))
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self._add_sized(b"b", _bytes(cast("bytes | bytearray | memoryview", value)))
        elif isinstance(value, (list, tuple)):
            self._add_items(cast("list[object] | tuple[object, ...]", value), depth)
        elif isinstance(value, Mapping):
            self._add_pairs(b"{", cast("Mapping[object, object]", value).items(), depth)
        else:
            self._add_rarer(value, depth)

    def _add_rarer(self, value: Any, depth: int) -> None:
        kind = type(cast("object", value))
        if isinstance(value, AbstractSet):
            forms = sorted(self._apart(item, depth) for item in cast("AbstractSet[object]", value))
            self.parts.extend((b"<", _size(len(forms)), *forms))
        elif hasattr(value, "dtype") and hasattr(value, "shape"):
            self._add_array(value, depth)
        elif (written := _WRITTEN.get(kind)) is not None:
            self._add_sized(b"w", written[0] + b" " + written[1](value).encode())
        elif (fields := _fields(value, kind)) is not None:
            self._add_pairs(b"(", fields, depth)
        else:
            msg = f"a {kind.__qualname__} has no canonical form"
            raise NotCanonicalError(msg)

    def _step(self, depth: int) -> None:
        self._steps -= 1
        if depth > DEEPEST:
            msg = f"values nested more than {DEEPEST} deep have no canonical form"
            raise NotCanonicalError(msg)
        if self._steps < 0:
            msg = f"values of more than {MOST_PARTS} parts have no canonical form"
            raise NotCanonicalError(msg)

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            msg = f"values of more than {MOST_BYTES} bytes have no canonical form"
            raise NotCanonicalError(msg)

    def _add_sized(self, tag: bytes, body: bytes) -> None:
        self._take(len(body))
        self.parts.append(tag + _size(len(body)))
        self.parts.append(body)

    def _add_text(self, text: str) -> None:
        self._take(len(text))  # before any work on it
        normal = normal_text(text)
        tag, given = (b"u", text) if normal is None else (b"s", normal)
        self._add_sized(tag, given.encode("utf-8", "surrogatepass"))

    def _add_items(self, items: Sequence[object], depth: int) -> None:
        self.parts.append(b"[" + _size(len(items)))
        kinds = set(map(type, items))
        if kinds == {float} and not math.isnan(sum(cast("Sequence[float]", items))):
            self._take(9 * len(items))
            self.parts.append(_floats(cast("Sequence[float]", items)))
        elif kinds == {int}:
            self._add_integers(cast("Sequence[int]", items))
        else:
            for item in items:
                self.add(item, depth + 1)

    def _add_integers(self, numbers: Sequence[int]) -> None:
        """Add what adding each would: token ids come as lists of thousands."""
        if max(max(numbers), -min(numbers)).bit_length() > MOST_BITS:
            msg = f"integers of more than {MOST_BITS} bits have no canonical form"
            raise NotCanonicalError(msg)
        self._take(10 * len(numbers))  # the least they take
        self.parts.extend([b"i" + _size(len(digits)) + digits for digits in [b"%d" % number for number in numbers]])

    def _add_pairs(self, tag: bytes, items: Iterable[tuple[object, object]], depth: int) -> None:
        """Add pairs in the order of their forms; of the whole forms, as two keys may be written alike."""
        pairs = sorted((self._apart(key, depth), self._apart(item, depth)) for key, item in items)
        self.parts.append(tag + _size(len(pairs)))
        self.parts.extend(part for pair in pairs for part in pair)

    def _apart(self, value: object, depth: int) -> bytes:
        """Return the form of a part whose place is not known yet."""
        outside, self.parts = self.parts, []
        self.add(value, depth + 1)
        inside, self.parts = self.parts, outside
        return b"".join(inside)

    def _add_array(self, value: Any, depth: int) -> None:
        array, kind = _tensor(value) if hasattr(value, "detach") else _array(value)
        if not array.shape:
            self.add(array.item(), depth + 1)
            return
        self._take(array.nbytes)
        self._add_sized(b"a", kind.encode())
        self.parts.append(_size(len(array.shape)))
        self.parts.extend(_size(int(length)) for length in array.shape)
        self.parts.append(_content(array, kind))


def _size(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _float(number: float) -> bytes:
    return b"d" + (_NAN if math.isnan(number) else struct.pack(">d", number + 0.0))  # -0.0 becomes 0.0


def _floats(numbers: Sequence[float]) -> bytes:
    """Return what adding each would give: a vector of features as a list must not cost a call per number."""
    if 0.0 in numbers:
        numbers = [number + 0.0 for number in numbers]  # -0.0 becomes 0.0
    packed = struct.pack(f">{len(numbers)}d", *numbers)
    form = bytearray(9 * len(numbers))
    form[0::9] = b"d" * len(numbers)
    for byte in range(8):
        form[byte + 1 :: 9] = packed[byte::8]
    return bytes(form)


def _bytes(value: bytes | bytearray | memoryview) -> bytes:
    if isinstance(value, memoryview) and (value.format != "B" or value.ndim != 1):
        msg = "a memoryview of anything but bytes has no canonical form: its order of bytes is the machine's"
        raise NotCanonicalError(msg)
    if len(value) > MOST_BYTES:  # before it is copied
        msg = f"values of more than {MOST_BYTES} bytes have no canonical form"
        raise NotCanonicalError(msg)
    return bytes(value)


def _fields(value: Any, kind: Any) -> Iterable[tuple[str, object]] | None:
    """Return the fields of a dataclass or pydantic model by name, extra ones included; None of anything else."""
    if dataclasses.is_dataclass(kind):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(kind)]
    names = getattr(kind, "__pydantic_fields__", None)
    if isinstance(names, dict):
        extra = cast("dict[str, object]", getattr(value, "__pydantic_extra__", None) or {})
        return [*((name, getattr(value, name)) for name in cast("dict[str, object]", names)), *extra.items()]
    return None


def _array(value: Any) -> tuple[Any, str]:
    """Return an array and the name of its dtype, as `f4`."""
    kind, size = getattr(value.dtype, "kind", ""), int(getattr(value.dtype, "itemsize", 0))
    if kind not in _WIDEST or size > _WIDEST[kind] or not hasattr(value, "tobytes"):
        msg = f"an array of {value.dtype} has no canonical form"
        raise NotCanonicalError(msg)
    return value, f"{kind}{size}"


def _tensor(tensor: Any) -> tuple[Any, str]:
    """Return a tensor of torch's as an array, and the name of its dtype; one on a device is not fetched from there."""
    kind = _KIND_OF_TENSOR.get(str(tensor.dtype).removeprefix("torch."))
    if kind is None or tensor.device.type != "cpu" or "strided" not in str(tensor.layout):
        msg = f"a tensor of {tensor.dtype} on {tensor.device.type} has no canonical form"
        raise NotCanonicalError(msg)
    plain = tensor.detach().resolve_neg()
    return (plain.float() if kind == _BRAIN else plain).numpy(), kind  # numpy has no bfloat16


def _content(array: Any, kind: str) -> bytes:
    """Return the numbers of an array, little-endian, row by row, with one zero and one NaN."""
    little = array.astype("<f4" if kind == _BRAIN else f"<{kind}", copy=False)
    if little.dtype.kind == "f":
        little = _one_zero_one_nan(little)
    if kind == _BRAIN:
        little = (little >> 16).astype("<u2")
    content: bytes = little.tobytes()
    return content


def _one_zero_one_nan(floats: Any) -> Any:
    """Return the bits of floats, changed without arithmetic, which warns of some NaNs."""
    sign, infinity, nan = _BITS[floats.dtype.itemsize]
    bits = floats.view(f"<u{floats.dtype.itemsize}").copy()
    bits[bits & (sign - 1) > infinity] = nan
    bits[bits == sign] = 0
    return bits
