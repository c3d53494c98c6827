"""Bearer tokens: a file with one token a line, read anew when it changes.

Source: RFC 6750, section 2.1.
"""

import hmac
import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0
_SCHEME: Final = "bearer "
SHORTEST: Final = 16  # characters; a shorter token can be guessed


class TokenFileError(ValueError):
    """A token file cannot be used; says why, never what is in it."""


class Tokens:
    """The tokens a sender may show.

    Args:
        path: The file; empty lines and lines that begin with `#` are passed over.
        monotonic_s: Returns a clock that never steps, seconds.

    Raises:
        TokenFileError: The file cannot be read, or holds no token or too short a one.
    """

    def __init__(self, path: Path, monotonic_s: Callable[[], float]) -> None:
        self._path = path
        self._monotonic_s = monotonic_s
        self._digests, self._stamp = _read(path)
        self._looked_at = monotonic_s()

    def accepts(self, authorization: str) -> bool:
        """Return whether an Authorization header shows one of the tokens; takes equally long for any wrong one."""
        self._look()
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        shown = sha256(authorization[len(_SCHEME) :].strip().encode("utf-8", "surrogateescape")).digest()
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(shown, digest)
        return found

    def _look(self) -> None:
        """Read the file again when it has changed; one that cannot be used leaves the old tokens in force."""
        now = self._monotonic_s()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        try:
            if _stamp(self._path) != self._stamp:
                self._digests, self._stamp = _read(self._path)
                _log.info("tokens read anew count=%d", len(self._digests))
        except (OSError, TokenFileError) as error:
            _log.error("tokens stay as they were reason=%r", str(error))


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> tuple[tuple[bytes, ...], tuple[int, int, int]]:
    try:
        stamp, text = _stamp(path), path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenFileError(f"must be a readable text file, got {path}") from error
    tokens = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not tokens or min(map(len, tokens)) < SHORTEST:
        raise TokenFileError(f"must hold tokens of at least {SHORTEST} characters, one a line, got {path}")
    return tuple(sha256(token.encode()).digest() for token in tokens), stamp
