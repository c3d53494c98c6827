"""One request in the journal, and how it lies on disk.

A record is a 32-byte header and the request's bytes. The header, little-endian: length of the request (u32), signal (u8), format
version (u8), two zero bytes, spans (u32), four zero bytes, then an XXH3-64 of request and all of the above (u64) and the record's
own position (u64), by which a record that an older use of the same disk block left behind is recognised.
"""

import struct
from dataclasses import dataclass
from typing import Final

import xxhash

from spanward_processor.signals import Encoded, Signal

HEADER: Final = struct.Struct("<IBBHIIQQ")
LARGEST: Final = 64 << 20  # bytes of one request
_VERSION: Final = 1
_SIGNALS: Final = tuple(Signal)


@dataclass(frozen=True, slots=True)
class Record:
    """One acknowledged request.

    Args:
        at: Its position: bytes of all records ever written before it.
        end: Position after it.
        signal: Which kind it is.
        spans: Spans in it; 0 for other signals.
        payload: The encoded request.
    """

    at: int
    end: int
    signal: Signal
    spans: int
    payload: Encoded


class TornError(Exception):
    """The bytes at a position are no whole record.

    Args:
        resume: Position after the record where its header is whole, else None.
    """

    def __init__(self, resume: int | None = None) -> None:
        self.resume = resume
        super().__init__("no whole record")


def header_of(at: int, signal: Signal, spans: int, payload: Encoded) -> bytes:
    """Return the header of a record that is to be written at a position."""
    kind = _SIGNALS.index(signal)
    digest = _digest(at, kind, spans, payload)
    return HEADER.pack(len(payload), kind, _VERSION, 0, spans, 0, digest, at)


def size_of(payload: Encoded) -> int:
    """Return how many bytes a record takes."""
    return HEADER.size + len(payload)


def length_in(header: bytes, at: int) -> int:
    """Return the length of the request that follows a header.

    Raises:
        TornError: It is no header of a record at this position.
    """
    if len(header) < HEADER.size:
        raise TornError
    length, kind, version, _, _, _, _, position = HEADER.unpack(header)
    if position != at or version != _VERSION or kind >= len(_SIGNALS) or length > LARGEST:
        raise TornError
    return int(length)


def record_of(header: bytes, payload: Encoded, at: int) -> Record:
    """Return the record of a header and the bytes after it.

    Raises:
        TornError: The bytes are not those that were written.
    """
    fields: tuple[int, ...] = HEADER.unpack(header)
    length, kind, _, _, spans, _, digest, _ = fields
    if len(payload) != length or digest != _digest(at, kind, spans, payload):
        raise TornError(at + HEADER.size + length)
    return Record(at, at + HEADER.size + length, _SIGNALS[kind], spans, payload)


def _digest(at: int, kind: int, spans: int, payload: Encoded) -> int:
    digest: int = xxhash.xxh3_64_intdigest(payload, seed=(at ^ (spans << 40) ^ kind) & 0xFFFF_FFFF_FFFF_FFFF)
    return digest
