"""What the journal is told, apart from how an operator writes it (`journal/section.py`)."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Fsync(StrEnum):
    """When written records are forced to the medium; a killed process loses nothing under any of them."""

    ALWAYS = "always"
    INTERVAL = "interval"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """How the journal is kept.

    Args:
        folder: Where; made when absent.
        most_bytes: Size on disk, bytes, beyond which requests are refused.
        recent_bytes: Bytes of records kept in memory for backends that are up to date.
        fsync: When records are forced to the medium.
    """

    folder: Path
    most_bytes: int
    recent_bytes: int
    fsync: Fsync
