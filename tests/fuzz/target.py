"""What a fuzz target is: inputs made, inputs changed, and one input judged."""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Target:
    """One piece of code that takes bytes of strangers, beside what it must equal.

    Args:
        name: Also the folder of its regressions.
        fresh: Returns a new input that is taken, or nearly so.
        mutate: Returns a changed input.
        check: Returns whether the input was taken; False when it was refused by both sides. Raises on any disagreement.
        smaller: Returns inputs with a part left out that has a meaning; any run of bytes is tried besides.
        mirror: A twin that a guided run follows, where `check` itself asks it only in doubt.
    """

    name: str
    fresh: Callable[[Random], bytes]
    mutate: Callable[[bytes, Random], bytes]
    check: Callable[[bytes], bool]
    smaller: Callable[[bytes], Iterable[bytes]] = lambda data: ()
    mirror: Callable[[bytes], object] = lambda data: None


def choices_of(data: bytes) -> Random:
    """Return the choices a check makes beside its input, the same for the same input."""
    return Random(zlib.crc32(data))
