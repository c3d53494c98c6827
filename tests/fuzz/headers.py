"""Header blocks: a decoder that remembers blocks says what one says that remembers nothing."""

from random import Random
from typing import Final

import hpack

from fuzz.damage import damaged
from fuzz.target import Target
from spanward_processor.h2.frames import ConnectionFault
from spanward_processor.h2.headers import Fields, HeaderDecoder, encode_fields, parse_fields

_MOST_BYTES: Final = 500
_LENGTH: Final = 2  # bytes before each block
_NAMES: Final = (":path", ":method", "te", "grpc-timeout", "content-type", "x", "connection", "X", "a" * 40)
_VALUES: Final = ("", "/x", "POST", "trailers", "1S", "application/grpc", "\0", " v", "é", "v" * 130)
_TELLING: Final = (
    b"\x20",
    b"\x3f\xe1\x1f",
    b"\x3f\x11",
    b"\xbe",
    b"\xff\x00",
    b"\x40\x01a\x01b",
    b"\x80",
    b"\x82",
    b"\x10\x81\xff\x00",
)


def check(data: bytes) -> bool:
    """Decode the blocks of one connection, each of them twice, beside the library on its own."""
    ours, theirs = HeaderDecoder(_MOST_BYTES), hpack.Decoder(max_header_list_size=_MOST_BYTES)
    for block in _blocks(data):
        for _ in range(2):
            expected = _by_library(theirs, block)
            try:
                fields = ours.decode(block)
            except ConnectionFault as fault:
                assert expected is None, str(fault)
                return False
            assert fields == expected
    return True


def _by_library(decoder: hpack.Decoder, block: bytes) -> Fields | None:
    """Return the fields of a block; the library lets a few kinds of exceptions through that are not its own."""
    try:
        return parse_fields(decoder.decode(block, raw=True))
    except (hpack.HPACKError, IndexError, ValueError):
        return None


def _blocks(data: bytes) -> list[bytes]:
    """Return the blocks, each of which stands behind its length."""
    blocks: list[bytes] = []
    while data:
        size = int.from_bytes(data[:_LENGTH], "big")
        blocks.append(data[_LENGTH : _LENGTH + size])
        data = data[_LENGTH + size :]
    return blocks


def _joined(blocks: list[bytes]) -> bytes:
    return b"".join(len(block).to_bytes(_LENGTH, "big") + block for block in blocks)


def _fresh(rng: Random) -> bytes:
    encoder = hpack.Encoder()
    return _joined([_block(encoder, rng) for _ in range(rng.randint(1, 4))])


def _block(encoder: hpack.Encoder, rng: Random) -> bytes:
    fields = [(rng.choice(_NAMES), rng.choice(_VALUES)) for _ in range(rng.randint(0, 4))]
    if rng.random() < 0.3:
        return encode_fields(fields)
    if rng.random() < 0.2:
        encoder.header_table_size = rng.choice((0, 64, 4096))
    return bytes(encoder.encode(fields, huffman=rng.random() < 0.5))


def _mutated(data: bytes, rng: Random) -> bytes:
    """Return the blocks with one repeated, exchanged, made from telling pieces, or damaged."""
    if rng.random() < 0.1:
        return damaged(data, rng)
    blocks = _blocks(data) or [b""]
    action, at = rng.randrange(5), rng.randrange(len(blocks))
    if action == 0:
        blocks.insert(rng.randint(0, len(blocks)), blocks[at])
    elif action == 1:
        blocks.append(_block(hpack.Encoder(), rng))
    elif action == 2:
        blocks[at] = b"".join(rng.choices(_TELLING, k=rng.randint(1, 3))) + blocks[at]
    elif action == 3:
        blocks[at] = damaged(blocks[at], rng, 2)
    else:
        del blocks[at]
    return _joined(blocks[:8])


HEADERS: Final = Target("headers", _fresh, _mutated, check)
