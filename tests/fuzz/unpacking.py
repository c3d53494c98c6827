"""Compressed bodies: what the standard library and zstandard's plain reader unpack, within bounds, or refused."""

import gzip
import io
import zlib
from random import Random
from typing import Final

import zstandard

from fuzz.damage import damaged
from fuzz.target import Target, choices_of
from spanward_processor.receive.compression import CompressionError, TooLargeError, decompress

_MOST_BYTES: Final = 3000
_FREE_BYTES: Final = 1 << 16  # as `decompress` says: an output this small may have any ratio
_ENCODINGS: Final = ("gzip", "deflate", "zstd")
_GZIP, _ZLIB, _RAW = 31, 15, -15


def check(data: bytes) -> bool:
    """Unpack by the encoding that the first byte names."""
    encoding = _ENCODINGS[data[0] % len(_ENCODINGS)] if data else "gzip"
    packed = data[1:]
    ratio = choices_of(data).choice((1.0, 20.0, 1000.0))
    expected = _slow(encoding, packed)
    try:
        result = decompress(encoding, packed, _MOST_BYTES, ratio)
    except CompressionError as error:
        assert expected is None, str(error)
        return False
    except TooLargeError:
        assert expected is None or len(expected) > _MOST_BYTES  # damaged behind the bound may be told as too large
        return False
    assert result == expected or (expected is None and _is_vouched_for(encoding, packed, result))
    return True


def _is_vouched_for(encoding: str, packed: bytes, result: bytes) -> bool:
    """Return whether a body that zlib refuses has the right checksum.

    igzip takes incomplete Huffman codes and reserved flags too. What the last checksum vouches for is no damage; deflate
    may come without one, so there it is igzip's word.
    """
    if encoding == "gzip":
        last = result[len(result) - int.from_bytes(packed[-4:], "little") :]
        return packed[-8:-4] == zlib.crc32(last).to_bytes(4, "little")
    return encoding == "deflate"


def _has_header(packed: bytes) -> bool:
    """Return whether zlib's header is there, which some senders leave out."""
    return packed[0] & 0x0F == 8 and len(packed) > 1 and int.from_bytes(packed[:2], "big") % 31 == 0


def _slow(encoding: str, packed: bytes) -> bytes | None:
    """Return what a body holds, or None when it is damaged; bodies of a fuzzer are small, so without bounds."""
    if not packed:
        return b""
    try:
        if encoding == "zstd":
            return _unzstd(packed)
        return _inflate(packed, _GZIP if encoding == "gzip" else _ZLIB if _has_header(packed) else _RAW)
    except (zlib.error, zstandard.ZstdError, EOFError):
        return None


def _inflate(packed: bytes, window: int) -> bytes:
    out = b""
    while packed:
        stream = zlib.decompressobj(window)
        out += stream.decompress(packed)
        if not stream.eof:
            raise EOFError
        packed = stream.unused_data
    return out


def _unzstd(packed: bytes) -> bytes:
    out = b""
    while packed:
        frame = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj()
        out += frame.decompress(packed)
        if not frame.eof:
            raise EOFError
        packed = frame.unused_data
    return out


def _fresh(rng: Random) -> bytes:
    content = rng.choice(
        (rng.randbytes(rng.choice((0, 1, 30))), b"text " * rng.randint(0, 40), bytes(rng.choice((2999, 3000, 3001))))
    )
    encoding = rng.randrange(3)
    return bytes([encoding]) + b"".join(_packed(encoding, content, rng) for _ in range(rng.choice((1, 1, 1, 2))))


def _packed(encoding: int, content: bytes, rng: Random) -> bytes:
    level = rng.choice((1, 6, 9))
    if encoding == 0:
        out = io.BytesIO()
        name = rng.choice(("", "name"))
        with gzip.GzipFile(name, "wb", level, out, mtime=0) as file:
            file.write(content)
        return out.getvalue()
    if encoding == 1:
        stream = zlib.compressobj(level, zlib.DEFLATED, rng.choice((_ZLIB, _RAW, 9, -9)), strategy=rng.randint(0, 4))
        return stream.compress(content) + stream.flush()
    settings = zstandard.ZstdCompressor(level, write_checksum=rng.random() < 0.5, write_content_size=rng.random() < 0.5)
    if rng.random() < 0.5:
        return settings.compress(content)
    streamed = settings.compressobj()
    return streamed.compress(content) + streamed.flush()


def _mutated(data: bytes, rng: Random) -> bytes:
    return _fresh(rng) if rng.random() < 0.3 else data[:1] + damaged(data[1:], rng, 2)


UNPACKING: Final = Target("unpacking", _fresh, _mutated, check)
