"""Keyed hashes of inputs: equal inputs can be recognised, their content cannot.

This is pseudonymisation, not anonymisation: who holds the key can test a guess, and equal inputs stay linkable by design.
Source: RFC 7693 (BLAKE2), keyed mode with personalisation; Broder, "On the resemblance and containment of documents",
1997, for the fingerprint.
"""

import hashlib
import logging
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import xxhash

from spanward.canonical import canonical
from spanward.config import Settings

_log = logging.getLogger("spanward")

FINGERPRINT_HASHES: Final = 16
FINGERPRINT_CHARACTERS: Final = 16_384  # of a longer text the first ones are fingerprinted
_SHINGLE_WORDS: Final = 3
_LETTERS: Final = frozenset(b"_0123456789abcdefghijklmnopqrstuvwxyz")
_APART: Final = bytes(byte if byte in _LETTERS or byte >= 0x80 else 0x20 for byte in range(256))
"""Leaves words apart by spaces when lower-case UTF-8 is translated by it; text beyond ASCII counts as letters."""


@dataclass(frozen=True, slots=True)
class Hasher:
    """Hashes under one key.

    Args:
        key: 16 to 64 secret bytes; it never leaves the process.
        key_id: Name of the key in spans; equal hashes mean equal inputs only under one key id.
        seed: Secret seed that picks which shingles stand for a text.
    """

    key: bytes = field(repr=False)
    key_id: str
    seed: int = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the hasher of the settings; without a key, one of a random key, and a warning."""
        key = settings.hashing_key
        if key is None:
            key = secrets.token_bytes(32)
            _log.warning(
                "no hashing key: input hashes use a random key of this process and cannot be compared with others; "
                "set SPANWARD_HASHING_KEY or spanward.configure(hashing_key=...)"
            )
        derived = _keyed(b"", key, b"spanward key id", 4).hex()
        seed = int.from_bytes(_keyed(b"", key, b"spanward shingle", 8), "big")
        return cls(key, settings.key_id or derived, seed)

    def hash(self, value: object, domain: str) -> str:
        """Return the keyed BLAKE2b-128 of a value, hex.

        Args:
            value: The input.
            domain: What the input is for; equal values in different domains do not link.

        Raises:
            NotCanonicalError: The value has no canonical form.
        """
        return _keyed(canonical(value), self.key, _person(domain), 16).hex()

    def fingerprint(self, text: str) -> bytes:
        """Return up to 16 keyed 64-bit hashes that mostly survive small edits of a text, packed big-endian.

        Shingles of three words are ordered by a seeded hash and the smallest sixteen stand for the text. What is exported
        of each is a keyed BLAKE2b-64, so that nobody without the key can enumerate shingles.

        Args:
            text: Any text.
        """
        words = text[:FINGERPRINT_CHARACTERS].lower().encode("utf-8", "surrogatepass").translate(_APART).split()
        if not words:
            return b""
        seed, digest = self.seed, xxhash.xxh3_64_intdigest
        shingles = {digest(shingle, seed) for shingle in _shingles(words)}
        chosen = sorted(shingles)[:FINGERPRINT_HASHES]
        keyed = hashlib.blake2b(key=self.key, person=b"spanward shingle", digest_size=8)
        return b"".join([_continued(keyed, value.to_bytes(8, "big")) for value in chosen])


def _shingles(words: Sequence[bytes]) -> Iterator[bytes]:
    """Return every run of three words; all words when they are fewer."""
    runs = zip(words, words[1:], words[2:], strict=False) if len(words) >= _SHINGLE_WORDS else (words,)
    return map(b" ".join, runs)


def _keyed(data: bytes, key: bytes, person: bytes, size: int) -> bytes:
    return hashlib.blake2b(data, key=key, person=person, digest_size=size).digest()


def _continued(keyed: "hashlib.blake2b", data: bytes) -> bytes:
    """Return the hash of some data under a key that is set up already, which is half of the cost of a short one."""
    begun = keyed.copy()
    begun.update(data)
    return begun.digest()


def _person(domain: str) -> bytes:
    """Return a domain as BLAKE2b's 16-byte personalisation; a longer one by its hash."""
    encoded = domain.encode()
    return encoded if len(encoded) <= 16 else hashlib.blake2b(encoded, digest_size=16).digest()
