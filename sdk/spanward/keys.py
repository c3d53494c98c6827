"""Keys of hashes: where they come from, what they must be, and what they are called.

A key shows nowhere: not in a `repr`, a log, an error. Its id does.
"""

import hashlib
import hmac
import logging
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast

_log = logging.getLogger("spanward")

SHORTEST_KEY: Final = 16  # bytes
LONGEST_KEY: Final = 64  # bytes, BLAKE2b's own limit
_OTHERS: Final = stat.S_IWGRP | stat.S_IRWXO

Algorithm = Literal["blake2b", "hmac-sha256"]
KeySource = bytes | str | Callable[[], bytes | str]
"""A key, or a function that fetches it, as from a key management service; it is asked once."""


@dataclass(frozen=True, slots=True)
class Key:
    """A secret and its name.

    Args:
        secret: 16 to 64 bytes.
        id: Name of the key in spans.
        algorithm: What it is used with; values of two algorithms are never equal.
    """

    secret: bytes = field(repr=False)
    id: str
    algorithm: Algorithm = "blake2b"

    @classmethod
    def of(cls, secret: bytes, given_id: str | None, algorithm: Algorithm) -> "Key":
        """Return a key under the id it was given, else under one derived from it."""
        if algorithm == "blake2b":
            derived = hashlib.blake2b(key=secret, person=b"spanward key id", digest_size=4).hexdigest()
        else:
            derived = hmac.digest(secret, b"spanward key id", "sha256")[:4].hex()
        return cls(secret, given_id or derived, algorithm)


def read_key(name: str, argument: KeySource | None, environment: Mapping[str, str]) -> bytes | None:
    """Return a key from the argument, else from the environment, else from the file that the environment names.

    Args:
        name: Of the argument; in capitals after `SPANWARD_` that of the variable.
        argument: What the user passed.
        environment: Where the variables are.

    Raises:
        TypeError: The key is neither bytes nor text.
        ValueError: The key is too short or too long, or its file or function does not give it.
    """
    variable = f"SPANWARD_{name.upper()}"
    if argument is not None:
        return _checked(name, _asked(name, argument) if callable(argument) else argument)
    if given := environment.get(variable):
        return _checked(variable, given)
    if path := environment.get(f"{variable}_FILE"):
        return _checked(f"{variable}_FILE {path!r}", _content(f"{variable}_FILE", Path(path)))
    return None


def read_algorithm(argument: str | None, environment: Mapping[str, str]) -> Algorithm:
    """Return what keys are used with: the argument, else `SPANWARD_HASHING_ALGORITHM`, else BLAKE2b.

    Raises:
        ValueError: It is neither of the two.
    """
    source = "SPANWARD_HASHING_ALGORITHM" if argument is None else "hashing_algorithm"
    chosen = argument if argument is not None else environment.get(source) or "blake2b"
    if chosen not in {"blake2b", "hmac-sha256"}:
        msg = f"{source}: must be blake2b or hmac-sha256, got {chosen!r}"
        raise ValueError(msg)
    return cast("Algorithm", chosen)


def _asked(name: str, fetch: Callable[[], bytes | str]) -> bytes | str:
    try:
        return fetch()
    except Exception as error:
        msg = f"{name}: its function must return the key, got {type(error).__name__}"
        raise ValueError(msg) from error


def _content(variable: str, path: Path) -> bytes:
    """Return what a file holds without the end of its last line; say so where others may read it."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                _log.warning("%s: %s should be its owner's alone; chmod 600", variable, path)
            content = file.read(LONGEST_KEY + 3)
    except OSError as error:
        msg = f"{variable}: must name a readable file, got {str(path)!r} ({error.strerror})"
        raise ValueError(msg) from error
    return content.removesuffix(b"\n").removesuffix(b"\r")


def _checked(source: str, key: object) -> bytes:
    """Return a key as bytes; the error says where it came from and never what it is."""
    encoded = key.encode() if isinstance(key, str) else key
    if not isinstance(encoded, bytes):
        msg = f"{source}: must be bytes or text, got {type(key).__name__}"
        raise TypeError(msg)
    if not SHORTEST_KEY <= len(encoded) <= LONGEST_KEY:
        msg = f"{source}: must be {SHORTEST_KEY} to {LONGEST_KEY} bytes, got {len(encoded)}"
        raise ValueError(msg)
    return encoded
