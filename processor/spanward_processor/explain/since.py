"""How long ago: 90s, 15m, 1h."""

import re
from typing import Final

LONGEST_S: Final = 86_400.0
_SHORTEST_S: Final = 10.0
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


class SinceError(ValueError):
    """It is no such length of time."""


def seconds_of(text: str) -> float:
    """Return a length of time in seconds.

    Raises:
        SinceError: It is not one, or too short or too long.
    """
    found = re.fullmatch(r"(\d{1,6})([smh])", text, re.ASCII)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if not _SHORTEST_S <= seconds <= LONGEST_S:
        raise SinceError(f"since: must be a length of time from 10s to 24h, as 15m or 1h, got {text[:32]!r}")
    return seconds
