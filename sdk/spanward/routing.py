"""Which version of a model answers: a call goes to the stable one or to the canary, by a flag that may change at any time.

The flag is one of flagd's, in a JSON file that a roll-back rewrites. A client stays with one version as long as the shares stay, and
where the canary's share grows, those that have it keep it.

Source: flagd, "Flag definitions" and "Fractional operation".
"""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from random import random
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast

from xxhash import xxh64_intdigest

from spanward._guard import Guard
from spanward.request import current_request

P = ParamSpec("P")
R = TypeVar("R")

STABLE: Final = "stable"
CANARY: Final = "canary"

_reading: Final = Guard("reading the flag of a canary")
_asking: Final = Guard("finding the client of a call")


class Flag:
    """The canary's share, as a flag in a file says; the file is looked at for each call, and read when it has changed.

    Where the file or the flag is missing or makes no sense, everybody gets the stable version.

    Args:
        file: JSON file of flagd's flag definitions.
        name: Name of the flag; its variants are called `stable` and `canary`.
    """

    def __init__(self, file: str | os.PathLike[str], name: str) -> None:
        self._file = Path(file)
        self._name = name
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._share = 0.0

    @property
    def share(self) -> float:
        """The canary's share of the clients, 0 to 1."""
        try:
            found = self._file.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            return 0.0
        if seen != self._seen:
            with self._lock:
                self._share, self._seen = self._read(), seen
        return self._share

    def _read(self) -> float:
        try:
            return share_of(json.loads(self._file.read_text(encoding="utf-8"))["flags"][self._name])
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            _reading.swallow(error)
            return 0.0


def share_of(flag: dict[str, Any]) -> float:
    """Return the canary's share that a flag says.

    Args:
        flag: One of flagd's flag definitions.

    Raises:
        KeyError: It lacks something.
        TypeError: It is of another form.
        ValueError: It is of another form.
    """
    if flag.get("state", "ENABLED") != "ENABLED":
        return 0.0
    targeting = cast("dict[str, list[object]]", flag.get("targeting") or {})
    if "fractional" not in targeting:
        return float(flag["defaultVariant"] == CANARY)
    weights = dict(
        _weight_of(cast("list[str | float]", part)) for part in targeting["fractional"] if isinstance(part, list)
    )
    total = sum(weights.values())
    return weights.get(CANARY, 0.0) / total if total > 0 else 0.0


def _weight_of(part: list[str | float]) -> tuple[str, float]:
    """Return a variant and its weight; one without a number counts one."""
    return str(part[0]), float(part[1]) if len(part) > 1 else 1.0


class Routed(Generic[P, R]):
    """Calls the stable version or the canary; `spanward.canary` makes it."""

    def __init__(
        self,
        flag: Flag,
        name: str,
        stable: Callable[P, R],
        canary: Callable[P, R],
        client: Callable[..., object] | None,
    ) -> None:
        self._flag = flag
        self._salt = name
        self._stable, self._canary = stable, canary
        self._client = client

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call one of them and return what it returns."""
        chosen = self._canary if self.variant(self._client_of(*args, **kwargs)) == CANARY else self._stable
        return chosen(*args, **kwargs)

    def variant(self, client: object) -> str:
        """Return `stable` or `canary`; a client of whom nothing is known gets any, anew each time."""
        share = self._flag.share
        if not share:
            return STABLE
        if client is None:
            place = random()  # noqa: S311 - a share, no secret
        else:
            place = xxh64_intdigest(f"{self._salt}\0{client}".encode("utf-8", "surrogatepass")) / 2.0**64
        return CANARY if place < share else STABLE

    def _client_of(self, *args: P.args, **kwargs: P.kwargs) -> object:
        try:
            if self._client is not None:
                return self._client(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - a user's function
            _asking.swallow(error)
        request = current_request()
        return request.client if request is not None else None


def canary(
    name: str,
    *,
    stable: Callable[P, R],
    canary: Callable[P, R],
    flags: str | os.PathLike[str],
    client: Callable[..., object] | None = None,
) -> Routed[P, R]:
    """Return what calls the stable version of a model, or the canary for the share of clients that a flag says.

    Args:
        name: Name of the flag.
        stable: Calls the stable version; a coroutine function as well as a function.
        canary: Calls the version on trial, by the same arguments.
        flags: JSON file of flagd's flag definitions; a change holds from the next call on.
        client: Says of a call's arguments whose call it is; default the request context's client.
    """
    return Routed(Flag(flags, name), name, stable, canary, client)
