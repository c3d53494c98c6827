"""Changes that know nothing of what the bytes mean."""

from random import Random
from typing import Final

_TELLING: Final = (
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff\x0f",  # varints at the borders of 32 and 64 bits
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\x80\x00",
    b"\xed\xa0\x80",  # half a surrogate pair, and the borders of UTF-8
    b"\xf4\x90\x80\x80",
    b"\xc0\x80",
    b"\xe2\x82",
    b"\x00\x00\x00\x01",
    b"\x7f\xff\xff\xff",
)


def damaged(data: bytes, rng: Random, most: int = 4) -> bytes:
    """Return bytes with up to `most` places changed, taken out, put in, doubled or exchanged."""
    changed = bytearray(data or b"\x00")
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(changed)) if changed else 0
        size = rng.choice((1, 1, 2, 3, 4, 8, 16))
        action = rng.randrange(7)
        if action == 0 or not changed:
            changed[at:at] = rng.choice(_TELLING)
        elif action == 1:
            changed[at] = rng.randrange(256)
        elif action == 2:
            changed[at] ^= 1 << rng.randrange(8)
        elif action == 3:
            del changed[at : at + size]
        elif action == 4:
            changed[at : at + 1] = rng.choice(_TELLING)
        elif action == 5:
            to = rng.randrange(len(changed))
            changed[to:to] = changed[at : at + size]
        else:
            changed[at] = (changed[at] + rng.choice((-1, 1))) & 0xFF
    return bytes(changed)
