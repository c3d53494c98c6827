"""Pieces that stand for an input and mostly survive small changes of it.

An input is cut into overlapping pieces: runs of words or characters, windows of quantised numbers. A secret order picks the same
few of them wherever they occur, and what is exported of each is a keyed hash (`sdk/spanward/hashing.py`). Two inputs that share half of their
pieces share about half of these hashes.

The order comes from hashes that are quick and not strong: xxh3 with a secret seed for texts, a polynomial for numbers. It only
picks. Whether pieces are equal, and whether they can be guessed, rests on the keyed hash of their content alone; decision 0017 says
what an adversary could do with the order.

Source: Broder, "On the resemblance and containment of documents", 1997 (min-wise samples); Li et al., "Blacklight", USENIX Security
2022, section 4 (windows of quantised numbers).
"""

import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import xxhash

from spanward.normal import normal_text
from spanward.windows import Seed, WindowCutter

MOST_HASHES: Final = 50  # of one input; the processor looks at no more
MOST_CHARACTERS: Final = 16_384  # of a longer text the first ones
MOST_LETTERS: Final = 4_096  # of a text in a script where each letter counts as a word

_APART: Final = bytes(
    byte if byte in b"_0123456789abcdefghijklmnopqrstuvwxyz" or byte >= 0x80 else 0x20 for byte in range(256)
)
"""Leaves words apart by spaces when lower-case UTF-8 is translated by it; text beyond ASCII counts as letters."""
_UNSEEN: Final[dict[int, str | None]] = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))
_WORDS_OF_THEIR_OWN: Final = re.compile("([\u0e00-\u0eff\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
"""Letters of scripts that put no space between words."""

Cutter = Callable[[object], Collection[bytes]]
"""Gives the chosen pieces of a value; none where it is not of the form."""


class Form(Protocol):
    """How inputs are cut into pieces."""

    @property
    def label(self) -> str:
        """Name of the form with all its parameters; fingerprints of two forms are never equal."""
        ...

    @property
    def hashes(self) -> int:
        """How many pieces stand for an input."""
        ...

    def cutter(self, seed: Seed) -> Cutter:
        """Return what cuts, with a secret order of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Shingles:
    """Runs of words or of characters of a text.

    Args:
        width: How many are a run.
        unit: `words`, or `characters` for texts in which words tell little, as code or addresses.
        hashes: How many runs stand for a text.
    """

    width: int = 3
    unit: Literal["words", "characters"] = "words"
    hashes: int = 24
    label: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _check("Shingles", self.width, self.hashes)
        object.__setattr__(self, "label", f"{self.unit} {self.width} {self.hashes}")

    def cutter(self, seed: Seed) -> Cutter:
        """Return what cuts texts."""
        return _ShingleCutter(self, int.from_bytes(seed(b"order")[:8], "big")).cut


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of quantised numbers of an array or of a list of numbers; `spanward.calibrate` finds their parameters.

    Args:
        width: Numbers in a window.
        steps: How far apart two numbers are that never count as one: for all numbers, or for each of them.
        hashes: How many windows stand for an array.
    """

    width: int
    steps: tuple[float, ...]
    hashes: int = 16
    label: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _check("Windows", self.width, self.hashes)
        if not self.steps or not all(0.0 < step < math.inf for step in self.steps):
            msg = f"Windows.steps: must be finite and above 0, got {self.steps}"
            raise ValueError(msg)
        object.__setattr__(self, "label", f"numbers {self.width} {self.hashes} {self.steps}")

    def cutter(self, seed: Seed) -> Cutter:
        """Return what cuts arrays."""
        return WindowCutter(self.width, self.steps, self.hashes, seed)


def overlap(left: bytes, right: bytes) -> float:
    """Return the share of hashes that two fingerprints have in common, which estimates that of their pieces.

    Args:
        left: Fingerprint as exported.
        right: Another one, under the same key and of the same form.

    Returns:
        0 to 1, with a standard error of at most 0.5 / sqrt(hashes); it reads a few hundredths low.
    """
    first, second = ({prints[at : at + 8] for at in range(0, len(prints), 8)} for prints in (left, right))
    return len(first & second) / max(len(first), len(second), 1)


class _ShingleCutter:
    """Cuts texts into runs, and keeps those that come first in a seeded order."""

    def __init__(self, form: Shingles, seed: int) -> None:
        self._form = form
        self._seed = seed

    def cut(self, value: object) -> Collection[bytes]:
        if not isinstance(value, str):
            return ()
        words, width, hashes = _words(value), self._form.width, self._form.hashes
        if self._form.unit == "words":
            shingles = list(map(b" ".join, _runs(words, width)))
        else:
            text = b" ".join(words).decode("utf-8", "surrogatepass")
            shingles = ["".join(run).encode("utf-8", "surrogatepass") for run in _runs(text, width)]
        order = list(map(xxhash.xxh3_64_intdigest, shingles, itertools.repeat(self._seed)))
        limit = (2 * hashes << 64) // max(len(order), 1)  # most often enough are below: sorting all takes longer
        places = {rank: shingle for rank, shingle in zip(order, shingles, strict=True) if rank < limit}
        if len(places) < hashes:
            places = dict(zip(order, shingles, strict=True))
        return [places[rank] for rank in sorted(places)[:hashes]]


def _check(name: str, width: int, hashes: int) -> None:
    if width < 1:
        msg = f"{name}.width: must be 1 or more, got {width}"
        raise ValueError(msg)
    if not 1 <= hashes <= MOST_HASHES:
        msg = f"{name}.hashes: must be 1 to {MOST_HASHES}, got {hashes}"
        raise ValueError(msg)


def _words(text: str) -> list[bytes]:
    """Return a text's words in lower case, UTF-8; letters that look alike and letters that nobody sees make no difference."""
    text = text[:MOST_CHARACTERS]
    if not text.isascii():
        text = (normal_text(text, "NFKC") or text).translate(_UNSEEN)
        if _WORDS_OF_THEIR_OWN.search(text):
            text = _WORDS_OF_THEIR_OWN.sub(r" \1 ", text[:MOST_LETTERS])
    return text.lower().encode("utf-8", "surrogatepass").translate(_APART).split()


def _runs(items: Sequence[Any], width: int) -> Iterable[tuple[Any, ...]]:
    """Return every run of so many; all together when they are fewer."""
    if len(items) <= width:
        return (tuple(items),) if items else ()
    return zip(*(items[start:] for start in range(width)), strict=False)
