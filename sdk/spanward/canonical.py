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
    a <dtype> <ndim> <shape> <bytes>   array: little-endian, contiguous, row-major

Lengths and counts are eight bytes, big-endian. A value of any other type has no canonical form: it is not hashed, since its
`repr` may differ between processes, or tell what it should not.
"""

import math
import struct
import unicodedata
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast, runtime_checkable

_DEEPEST: Final = 32
_NAN: Final = struct.pack(">d", math.nan)


class NotCanonicalError(TypeError):
    """A value has no canonical form; only its type is named."""


@runtime_checkable
class _Array(Protocol):
    """What numpy arrays, and tensors that give one, have in common."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> object: ...
    def tobytes(self) -> bytes: ...


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
        parts.append({None: b"N", True: b"T", False: b"F"}[value])
    elif isinstance(value, str):
        _append_sized(b"s", unicodedata.normalize("NFC", value).encode("utf-8", "surrogatepass"), parts)
    elif isinstance(value, int):
        _append_sized(b"i", str(int(value)).encode(), parts)
    elif isinstance(value, float):
        parts.append(b"d" + (_NAN if value != value else struct.pack(">d", value + 0.0)))  # noqa: PLR0124 - NaN
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _append_sized(b"b", bytes(cast("bytes", value)), parts)
    elif isinstance(value, (list, tuple)):
        items = cast("list[object] | tuple[object, ...]", value)
        parts.append(b"[" + _size(len(items)))
        for item in items:
            _append(item, parts, depth + 1)
    elif isinstance(value, Mapping):
        _append_mapping(cast("Mapping[object, object]", value), parts, depth)
    elif isinstance(value, _Array):
        _append_array(value, parts)
    else:
        msg = f"a {type(value).__qualname__} has no canonical form"
        raise NotCanonicalError(msg)


def _append_sized(tag: bytes, body: bytes, parts: list[bytes]) -> None:
    parts.append(tag + _size(len(body)))
    parts.append(body)


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


def _append_array(value: _Array, parts: list[bytes]) -> None:
    kind, item_size = getattr(value.dtype, "kind", ""), int(getattr(value.dtype, "itemsize", 0))
    if kind not in "biuf" or not kind:
        msg = f"an array of {value.dtype} has no canonical form"
        raise NotCanonicalError(msg)
    little: Any = cast("Any", value).astype(f"<{kind}{item_size}", copy=False)
    if kind == "f":
        little = little + 0.0  # -0.0 becomes 0.0
        little[little != little] = math.nan  # noqa: PLR0124 - one NaN for all
    _append_sized(b"a", f"{kind}{item_size}".encode(), parts)
    parts.append(_size(len(value.shape)))
    parts.extend(_size(int(length)) for length in value.shape)
    parts.append(cast("bytes", little.tobytes()))


def _size(number: int) -> bytes:
    return number.to_bytes(8, "big")
