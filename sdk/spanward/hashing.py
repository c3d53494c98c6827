"""Keyed hashes of inputs: equal inputs can be recognised, their content cannot.

This is pseudonymisation, not anonymisation: who holds the key can test a guess, and equal inputs stay linkable by design.
Each purpose has a key of its own, derived from the secret, so that nothing hashed for one can be compared with another.
Source: RFC 7693 (BLAKE2, keyed mode); RFC 2104 (HMAC); NIST SP 800-108r1, section 4 (one key for each purpose).
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from spanward.canonical import canonical
from spanward.config import Settings
from spanward.fingerprint import Cutter, Form
from spanward.keys import Key

_log = logging.getLogger("spanward")

_MOST_PURPOSES: Final = 1024  # remembered; more are derived each time
_FORM: Final = "spanward 1"  # of derivation and canonical bytes; another one gives other values

Keyed = Callable[[bytes], bytes]
"""A pseudo-random function with its key."""


@dataclass(frozen=True, slots=True)
class InputHasher:
    """Hashes the inputs of one model under one key.

    Args:
        whole: Hashes an input.
        cutter: Cuts one into pieces.
        piece: Hashes each of them.
    """

    whole: Keyed
    cutter: Cutter
    piece: Keyed

    def hash(self, value: object) -> str:
        """Return 128 bits that stand for a value, hex.

        Raises:
            NotCanonicalError: The value has no canonical form.
        """
        return self.whole(canonical(value)).hex()

    def fingerprint(self, value: object) -> bytes:
        """Return up to 50 sorted 64-bit hashes that mostly survive small changes of a value; none where it has no such form."""
        pieces = self.cutter(value)
        # Sorted by what is exported: their order tells nothing of how the pieces were chosen.
        return b"".join(sorted(map(self.piece, pieces))) if pieces else b""


@dataclass(frozen=True, slots=True)
class Hasher:
    """Hashes under one key.

    Args:
        key: It never leaves the process.
        previous: Hasher under the key before, while both are in use.
    """

    key: Key
    previous: "Hasher | None" = None
    _functions: dict[tuple[int, tuple[str, ...]], Keyed] = field(
        default_factory=dict[tuple[int, tuple[str, ...]], Keyed],
        init=False,
        repr=False,
        compare=False,
    )

    _inputs: dict[tuple[str, str, str], "InputHasher"] = field(
        default_factory=dict[tuple[str, str, str], "InputHasher"], init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the hasher of the settings; without a key, one of a random key, and a warning."""
        secret = settings.hashing_key
        if secret is None:
            secret = secrets.token_bytes(32)
            _log.warning(
                "no hashing key: input hashes use a random key of this process and cannot be compared with others; "
                "set SPANWARD_HASHING_KEY or spanward.configure(hashing_key=...)"
            )
        algorithm, before = settings.hashing_algorithm, settings.previous_hashing_key
        previous = None if before is None else cls(Key.of(before, settings.previous_key_id, algorithm))
        return cls(Key.of(secret, settings.key_id, algorithm), previous)

    @property
    def key_id(self) -> str:
        """Name of the key; equal hashes mean equal inputs only under one."""
        return self.key.id

    def hash(self, value: object, domain: str, schema: str = "") -> str:
        """Return 128 bits that stand for a value, hex.

        Args:
            value: The input.
            domain: What the input is for: the model.
            schema: Version of the features, where the user gives one.

        Raises:
            NotCanonicalError: The value has no canonical form.
        """
        return self._function(16, "features", domain, schema)(canonical(value)).hex()

    def client(self, name: str) -> str:
        """Return 128 bits that stand for a caller, hex; they say the same for all models."""
        return self._function(16, "client")(canonical(name)).hex()

    def fingerprint(self, value: object, domain: str, form: Form, schema: str = "") -> bytes:
        """Return up to 50 sorted 64-bit hashes that mostly survive small changes of a value; none where it has no such form.

        Args:
            value: The input.
            domain: What the input is for: the model.
            form: How it is cut in pieces.
            schema: Version of the features, where the user gives one.
        """
        return self.of_inputs(domain, form, schema).fingerprint(value)

    def of_inputs(self, domain: str, form: Form, schema: str = "") -> "InputHasher":
        """Return what hashes the inputs of one model; looking its keys up once costs half of looking up each."""
        labels = (form.label, domain, schema)
        found = self._inputs.get(labels)
        if found is None:
            found = InputHasher(
                self._function(16, "features", domain, schema),
                form.cutter(self._function(16, "pieces", *labels)),
                self._function(8, "fingerprint", *labels),
            )
            if len(self._inputs) < _MOST_PURPOSES:
                self._inputs[labels] = found
        return found

    def _function(self, size: int, *purpose: str) -> Keyed:
        """Return the keyed function of a purpose."""
        found = self._functions.get((size, purpose))
        if found is None:
            derived = _keyed(self.key, self.key.secret, 32)(canonical((_FORM, size, *purpose)))
            found = _keyed(self.key, derived, size)
            if len(self._functions) < _MOST_PURPOSES:
                self._functions[size, purpose] = found
        return found


def _keyed(key: Key, secret: bytes, size: int) -> Keyed:
    """Return a keyed pseudo-random function to so many bytes."""
    if key.algorithm == "hmac-sha256":
        return lambda data: hmac.digest(secret, data, "sha256")[:size]
    begun = hashlib.blake2b(key=secret, digest_size=size)

    def blake2b(data: bytes) -> bytes:
        continued = begun.copy()  # taking in the key is half of the cost of a short message
        continued.update(data)
        return continued.digest()

    return blake2b
