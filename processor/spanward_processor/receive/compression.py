"""Compressed messages, never larger than allowed: a bomb is refused while it unpacks, not after.

Source: RFC 1952 (gzip), RFC 1950 and 1951 (deflate), RFC 8878 (zstd); RFC 9110, section 8.4.1 for the names.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import zstandard
from isal import isal_zlib

_GZIP_LEVEL: Final = 1  # of igzip: the size of zlib's level 2 or so at a seventh of its time
_GZIP: Final = 31  # window bits: gzip header and checksum, 32 kB window
_ZLIB: Final = 15
_RAW: Final = -15
_FREE_BYTES: Final = 1 << 16  # an output this small is never a bomb, whatever its ratio
_LARGEST_WINDOW: Final = 8 << 20  # of zstd, as RFC 8878 recommends decoders to support


_zlib: Any = isal_zlib  # its stubs leave the type of data open
_DAMAGED: Final[tuple[type[Exception], ...]] = (_zlib.error, zstandard.ZstdError)


class CompressionError(ValueError):
    """A message is damaged, or its encoding unknown."""


class TooLargeError(ValueError):
    """A message is larger than allowed."""


def decompress(encoding: str, data: bytes, most_bytes: int, most_ratio: float) -> bytes:
    """Return what a message holds.

    Args:
        encoding: `identity`, `gzip`, `deflate` or `zstd`.
        data: The message as it came.
        most_bytes: Largest result, bytes.
        most_ratio: Largest ratio of result to message, for results beyond 64 kB.

    Raises:
        CompressionError: The message is damaged or its encoding unknown.
        TooLargeError: The result would be larger than allowed.
    """
    if encoding in {"", "identity"}:
        return data
    read = _READERS.get(encoding)
    if read is None:
        raise CompressionError(f"encoding: must be one of identity, {', '.join(_READERS)}, got {encoding[:40]!r}")
    if not data:
        return b""
    allowed = int(min(most_bytes, max(_FREE_BYTES, most_ratio * len(data))))
    try:
        result = read(data, allowed + 1)
    except _DAMAGED as error:
        raise CompressionError(f"{encoding}: must be undamaged, got {error}") from error
    if len(result) > allowed:
        limit = "limits.message_bytes" if allowed == most_bytes else "limits.compression_ratio"
        raise TooLargeError(f"{encoding}: {len(data)} bytes unpack to more than {allowed}, which {limit} allows")
    return result


def compress_gzip(parts: Sequence[bytes | memoryview]) -> bytes:
    """Return several pieces as one gzip stream."""
    if len(parts) == 1:
        return bytes(_zlib.compress(parts[0], _GZIP_LEVEL, _GZIP))
    stream = _zlib.compressobj(_GZIP_LEVEL, _zlib.DEFLATED, _GZIP)
    return b"".join([*(stream.compress(part) for part in parts), stream.flush()])


def _inflate(data: bytes, most: int, window: int) -> bytes:
    """Unpack members one after the other until the end or until there is more than `most`."""
    pieces: list[bytes] = []
    size = 0
    while data and size < most:
        stream = _zlib.decompressobj(window)
        piece: bytes = stream.decompress(data, most - size)
        pieces.append(piece)
        size += len(piece)
        if not stream.eof and size < most:
            raise CompressionError("stream: must be whole, got one that is cut short")
        data = stream.unused_data
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _gunzip(data: bytes, most: int) -> bytes:
    return _inflate(data, most, _GZIP)


def _deflate(data: bytes, most: int) -> bytes:
    """Unpack `deflate`, which is zlib's format; some senders leave its two-byte header out."""
    has_header = data[0] & 0x0F == 8 and len(data) > 1 and int.from_bytes(data[:2], "big") % 31 == 0
    return _inflate(data, most, _ZLIB if has_header else _RAW)


def _unzstd(data: bytes, most: int) -> bytes:
    """Unpack one frame that tells its size in one go; others twice: first bounded, then to see that they are whole."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    size = zstandard.frame_content_size(data)
    if 0 < size < most:  # of none the library believes the header alone
        with contextlib.suppress(zstandard.ZstdError):  # more frames may follow; what is damaged shows itself below
            return decompressor.decompress(data, allow_extra_data=False)
    with decompressor.stream_reader(data, read_across_frames=True) as stream:
        head = _read(stream, most)
    if len(head) < most:
        left = data
        while left:
            frame = decompressor.decompressobj()
            frame.decompress(left)
            if not frame.eof:
                raise CompressionError("zstd: must be whole, got a frame that is cut short")
            left = frame.unused_data
    return head


def _read(stream: zstandard.ZstdDecompressionReader, most: int) -> bytes:
    pieces: list[bytes] = []
    while most and (piece := stream.read(most)):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


_READERS: Final[dict[str, Callable[[bytes, int], bytes]]] = {"gzip": _gunzip, "deflate": _deflate, "zstd": _unzstd}
