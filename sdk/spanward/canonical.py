r"""Values as canonical bytes, so that equal inputs hash equally in every process.

The form, one tag byte and then:

    N                 None
    T / F             True / False
    i <len> <digits>  integer, decimal
    d <8 bytes>       float, big-endian IEEE 754; -0.0 as 0.0, every NaN as one NaN
    s <len> <bytes>   text, Unicode NFC, UTF-8
    b <len> <bytes>   bytes
    [ <n> <items>     list or tuple
    { <n> <pairs>     mapping, pairs sorted by the canonical bytes of their keys
    a <dtype> <ndim> <shape> <bytes>   array: little-endian, contiguous, row-major; zeros and NaN as in floats

Lengths and counts are eight bytes, big-endian. An array of no dimension is the number it holds. A value of any other type has no canonical form: it is not hashed, since its
`repr` may differ between processes, or tell what it should not.
"""

import math
import struct
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

_DEEPEST: Final = 32
_NAN: Final = struct.pack(">d", math.nan)
_CONSTANTS: Final = {None: b"N", True: b"T", False: b"F"}


class NotCanonicalError(TypeError):
    """A value has no canonical form; only its type is named."""


def canonical(value: object) -> bytes:
    """Return the canonical bytes of a value.

    Raises:
        NotCanonicalError: The value, or something inside it, has no canonical form.
    """
    parts: list[bytes] = []
    _append(value, parts, 0)
    return b"".join(parts)


def _append(value: object, parts: list[bytes], depth: int) -> None:
    if depth > _DEEPEST:
        msg = f"values nested more than {_DEEPEST} deep have no canonical form"
        raise NotCanonicalError(msg)
    if value is None or value is True or value is False:
        parts.append(_CONSTANTS[value])
    elif isinstance(value, str):
        _append_sized(b"s", unicodedata.normalize("NFC", value).encode("utf-8", "surrogatepass"), parts)
    elif isinstance(value, int):
        _append_sized(b"i", str(int(value)).encode(), parts)
    elif isinstance(value, float):
        parts.append(b"d" + (_NAN if value != value else struct.pack(">d", value + 0.0)))  # noqa: PLR0124 - NaN
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _append_sized(b"b", bytes(cast("bytes", value)), parts)
    elif isinstance(value, (list, tuple)):
        _append_items(cast("list[object] | tuple[object, ...]", value), parts, depth)
    elif isinstance(value, Mapping):
        _append_mapping(cast("Mapping[object, object]", value), parts, depth)
    elif hasattr(value, "dtype") and hasattr(value, "shape") and hasattr(value, "tobytes"):
        _append_array(value, parts, depth)
    else:
        msg = f"a {type(value).__qualname__} has no canonical form"
        raise NotCanonicalError(msg)


def _append_sized(tag: bytes, body: bytes, parts: list[bytes]) -> None:
    parts.append(tag + _size(len(body)))
    parts.append(body)


def _append_items(items: list[object] | tuple[object, ...], parts: list[bytes], depth: int) -> None:
    parts.append(b"[" + _size(len(items)))
    kinds = set(map(type, items))
    if kinds == {float} and not math.isnan(sum(cast("list[float]", items))):
        parts.append(_floats(cast("list[float]", items)))
    elif kinds == {int}:
        parts.extend(
            [b"i" + _size(len(digits)) + digits for digits in [b"%d" % item for item in cast("list[int]", items)]]
        )
    else:
        for item in items:
            _append(item, parts, depth + 1)


def _floats(numbers: Sequence[float]) -> bytes:
    """Return what appending each would give: a vector of features as a list must not cost a call per number."""
    if 0.0 in numbers:
        numbers = [number + 0.0 for number in numbers]  # -0.0 becomes 0.0
    packed = struct.pack(f">{len(numbers)}d", *numbers)
    form = bytearray(9 * len(numbers))
    form[0::9] = b"d" * len(numbers)
    for byte in range(8):
        form[byte + 1 :: 9] = packed[byte::8]
    return bytes(form)


def _append_mapping(value: Mapping[object, object], parts: list[bytes], depth: int) -> None:
    pairs: list[tuple[bytes, object]] = []
    for key, item in value.items():
        key_parts: list[bytes] = []
        _append(key, key_parts, depth + 1)
        pairs.append((b"".join(key_parts), item))
    parts.append(b"{" + _size(len(pairs)))
    for key_bytes, item in sorted(pairs, key=lambda pair: pair[0]):
        parts.append(key_bytes)
        _append(item, parts, depth + 1)


def _append_array(value: Any, parts: list[bytes], depth: int) -> None:
    kind, item_size = getattr(value.dtype, "kind", ""), int(getattr(value.dtype, "itemsize", 0))
    if kind not in {"b", "i", "u", "f"}:
        msg = f"an array of {value.dtype} has no canonical form"
        raise NotCanonicalError(msg)
    if not value.shape:
        _append(value.item(), parts, depth + 1)
        return
    little = value.astype(f"<{kind}{item_size}", copy=False)
    if kind == "f":
        little = little + 0.0  # -0.0 becomes 0.0
        little[little != little] = math.nan  # noqa: PLR0124 - one NaN for all
    _append_sized(b"a", f"{kind}{item_size}".encode(), parts)
    parts.append(_size(len(value.shape)))
    parts.extend(_size(int(length)) for length in value.shape)
    parts.append(little.tobytes())


def _size(number: int) -> bytes:
    return number.to_bytes(8, "big")
