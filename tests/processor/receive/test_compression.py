"""Compressed messages: whole, damaged, and made to hurt."""

import contextlib
import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from spanward_processor.receive.compression import CompressionError, TooLargeError, compress_gzip, decompress

MOST = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    """Compress without zlib's header, as some senders do."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def streamed_zstd(data: bytes) -> bytes:
    """Compress without the size in the frame's header."""
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(data) + stream.flush()


PEERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "zstd of unknown size": ("zstd", streamed_zstd),
}
peers = pytest.mark.parametrize(("encoding", "pack"), list(PEERS.values()), ids=list(PEERS))


@peers
@given(data=st.binary(min_size=1, max_size=5000))
def test_what_other_libraries_pack_is_unpacked(encoding: str, pack: Callable[[bytes], bytes], data: bytes) -> None:
    """Every encoding gives back what went in."""
    assert decompress(encoding, pack(data), MOST, 1000) == data


@pytest.mark.parametrize(("encoding", "pack"), [PEERS[name] for name in PEERS if name != "raw deflate"])
def test_streams_one_after_the_other_are_one_message(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Concatenated members and frames unpack to the concatenation, as their standards say."""
    assert decompress(encoding, pack(b"one") + pack(b"two"), MOST, 1000) == b"onetwo"


@peers
def test_cut_message_is_damaged(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """A message that ends early is refused, not taken in part."""
    whole = pack(bytes(range(256)) * 20)
    for cut in (1, 5, len(whole) // 2):
        with pytest.raises(CompressionError):
            decompress(encoding, whole[:-cut], MOST, 1000)


@peers
@given(data=st.binary(min_size=1, max_size=200))
def test_garbage_is_damaged_or_harmless(encoding: str, pack: Callable[[bytes], bytes], data: bytes) -> None:
    """Whatever bytes come, the answer is a result within bounds or an error of ours."""
    del pack
    with contextlib.suppress(CompressionError, TooLargeError):
        assert len(decompress(encoding, data, MOST, 1000)) <= MOST


@peers
def test_result_beyond_the_bound_is_refused(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """One byte more than allowed is too large; the limit is named."""
    data = bytes(range(256)) * 400
    packed = pack(data)

    assert decompress(encoding, packed, len(data), 1e6) == data
    with pytest.raises(TooLargeError, match=r"limits\.message_bytes"):
        decompress(encoding, packed, len(data) - 1, 1e6)


@peers
def test_ratio_beyond_the_bound_is_refused(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Zeros pack a thousandfold; that is refused although the result would fit."""
    with pytest.raises(TooLargeError, match=r"limits\.compression_ratio"):
        decompress(encoding, pack(bytes(1 << 20)), 16 << 20, 200)


@peers
def test_small_result_may_have_any_ratio(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Repetitive small requests are ordinary."""
    assert decompress(encoding, pack(bytes(60_000)), MOST, 2) == bytes(60_000)


_BOMB = """
import resource, sys, zlib, zstandard
from spanward_processor.receive.compression import TooLargeError, decompress
encoding = sys.argv[1]
pack = zstandard.ZstdCompressor().compressobj() if encoding == "zstd" else zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
block = bytes(1 << 24)
bomb = b"".join([pack.compress(block) for _ in range(64)] + [pack.flush()])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decompress(encoding, bomb, 16 << 20, 1e9)
except TooLargeError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_bomb_takes_no_more_memory_than_the_bound(encoding: str) -> None:
    """A gigabyte of zeros costs no more than what a message may hold, twice at the most."""
    done = subprocess.run([sys.executable, "-c", _BOMB, encoding], check=True, capture_output=True, text=True)

    assert int(done.stdout) < 40 << 10  # kilobytes


def test_unknown_encoding_is_named() -> None:
    """The error says which encodings there are."""
    with pytest.raises(CompressionError, match="must be one of identity, gzip, deflate, zstd, got 'br'"):
        decompress("br", b"x", MOST, 1000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_nothing_is_nothing(encoding: str) -> None:
    """An empty body is an empty message."""
    assert decompress(encoding, b"", MOST, 1000) == b""


@given(parts=st.lists(st.binary(max_size=2000), min_size=1, max_size=5))
def test_what_is_packed_others_unpack(parts: list[bytes]) -> None:
    """Our gzip is read by Python's."""
    assert gzip.decompress(compress_gzip(parts)) == b"".join(parts)
