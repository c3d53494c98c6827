"""Header blocks: HPACK in and out, and the rules every field must keep.

We encode without state: every field is a literal that is never indexed, so encoded blocks can be kept for ever, the peer's
table size does not matter, and no proxy puts a credential into a table. We decode with the `hpack` library, behind a cache:
senders repeat the same few blocks for every call.

Source: RFC 7541 (HPACK); RFC 9113, sections 8.2 and 8.3 (fields).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from hpack import Decoder, HPACKError, OversizedHeaderListError

from spanward_processor.h2.frames import ConnectionFault, ErrorCode

_NEVER_INDEXED: Final = b"\x10"
_LARGEST_PREFIX: Final = 127  # of a length in seven bits
_CACHED_BLOCKS: Final = 32  # per connection; with the next two at most 100 KB of them
_CACHED_BLOCK_BYTES: Final = 1024
_CACHED_LIST_BYTES: Final = 2048
_FIELD_BYTES: Final = 32  # what RFC 9113, 6.5.2 adds for each field
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")  # RFC 9110 token, lower case
_FORBIDDEN_IN_VALUE: Final = re.compile(r"[\0\r\n]")
_OF_A_CONNECTION: Final = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})

_TableState: TypeAlias = tuple[int, int, object]


@dataclass(frozen=True, slots=True)
class Fields:
    """A decoded header block.

    Args:
        pseudo: Pseudo-headers such as `:path`.
        headers: All others; repeated ones joined with a comma.
        size: Its length as RFC 9113 counts it, bytes.
        fault: The rule it breaks; empty when it is well-formed.
    """

    pseudo: Mapping[str, str]
    headers: Mapping[str, str]
    size: int
    fault: str = ""


class HeaderDecoder:
    """Decodes the header blocks of one connection.

    A block that leaves the dynamic table as it was means the same as long as the table stays so; it is kept until the table
    changes.

    Args:
        most_bytes: Longest header list, decoded, as RFC 9113 counts it.
    """

    __slots__ = ("_cache", "_decoder", "_most_bytes")

    def __init__(self, most_bytes: int) -> None:
        self._decoder = Decoder(max_header_list_size=most_bytes)
        self._most_bytes = most_bytes
        self._cache: dict[bytes, Fields] = {}

    def decode(self, block: bytes) -> Fields:
        """Return the fields of a block.

        Raises:
            ConnectionFault: It cannot be decoded; the tables of both ends no longer agree.
        """
        fields = self._cache.get(block)
        if fields is not None:
            return fields
        before = self._table_state()
        try:
            fields = parse_fields(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError:
            reason = f"header list longer than the limit of {self._most_bytes} bytes"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, reason) from None
        except (HPACKError, IndexError, ValueError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"header block cannot be decoded: {error}") from None
        after = self._table_state()
        if before[:2] != after[:2] or before[2] is not after[2]:
            self._cache.clear()
        elif len(block) <= _CACHED_BLOCK_BYTES and fields.size <= _CACHED_LIST_BYTES:
            if len(self._cache) >= _CACHED_BLOCKS:
                self._cache.clear()
            self._cache[block] = fields
        return fields

    def _table_state(self) -> _TableState:
        """Return what changes whenever an entry comes or goes; the newest entry is compared by identity."""
        table = self._decoder.header_table
        entries = table.dynamic_entries
        return table.maxsize, len(entries), entries[0] if entries else None


def parse_fields(raw: Iterable[tuple[bytes | str, bytes | str]]) -> Fields:
    """Return decoded fields with their rules checked.

    Args:
        raw: Names and values as bytes, in the order they came.
    """
    pseudo: dict[str, str] = {}
    headers: dict[str, str] = {}
    fault = ""
    size = 0
    for raw_name, raw_value in raw:
        name, value = _text(raw_name), _text(raw_value)
        size += len(name) + len(value) + _FIELD_BYTES
        if name.startswith(":"):
            if headers or name in pseudo:
                fault = fault or f"pseudo-header {name} is repeated or comes after other fields"
            pseudo[name] = value
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        fault = fault or _fault_of(name, value)
    return Fields(pseudo, headers, size, fault)


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("latin-1")  # any byte is allowed in a value


def _fault_of(name: str, value: str) -> str:
    if not _NAME.fullmatch(name.removeprefix(":")):
        return f"field name must be a token in lower case, got {name[:64]!r}"
    if _FORBIDDEN_IN_VALUE.search(value) or value != value.strip(" \t"):
        return f"field {name} has a forbidden character"
    if name in _OF_A_CONNECTION or (name == "te" and value != "trailers"):
        return f"field {name} belongs to HTTP/1.1"
    return ""


def encode_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return a header block; values are ASCII or raw UTF-8."""
    return b"".join(_literal(name.encode("ascii"), value.encode()) for name, value in fields)


def _literal(name: bytes, value: bytes) -> bytes:
    return b"".join((_NEVER_INDEXED, _length(name), name, _length(value), value))


def _length(text: bytes) -> bytes:
    """Return a length as HPACK writes it, without Huffman coding. Source: RFC 7541, 5.1."""
    size = len(text)
    if size < _LARGEST_PREFIX:
        return bytes((size,))
    size -= _LARGEST_PREFIX
    encoded = bytearray((_LARGEST_PREFIX,))
    while size > _LARGEST_PREFIX:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)
