"""What of a new configuration holds at once, and what waits for a restart."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, TypeVar

from spanward_processor.configuration.config import Config
from spanward_processor.journal.log import JournalError
from spanward_processor.receive.listening import Listener, PortTakenError
from spanward_processor.receive.tokens import TokenFileError
from spanward_processor.tls import TlsError

Made = TypeVar("Made")

RESTART: Final = (
    "journal.folder",
    "state.folder",
    "detection.window_s",
    "detection.half_life_s",
    "detection.slices",
    "detection.row_models",
    "detection.roles",
    "canary.window_s",
    "limits.keys",
    "limits.texts",
)
"""Keys that hold from the next start on, since what was learned or written is laid out by them."""


def settle(running: Config, wanted: Config) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration that can hold at once, and the changed keys that wait for a restart.

    Args:
        running: What holds now.
        wanted: What the operator's file says now.
    """
    held: list[str] = []
    settled = wanted
    for section in ("journal", "state"):  # OK would mean something else, and windows would be left open at the end
        before = getattr(running, section)
        if (before is None) != (getattr(wanted, section) is None):
            held.append(section)
            settled = settled.model_copy(update={section: before})
    for path in RESTART:
        section, key = path.split(".")
        before, after = getattr(running, section), getattr(settled, section)
        if before is not None and getattr(before, key) != getattr(after, key):
            held.append(path)
            kept = after.model_copy(update={key: getattr(before, key)})
            settled = settled.model_copy(update={section: kept})
    return settled, tuple(held)


class Attempt:
    """Makes what a configuration asks for, and collects what cannot be made.

    Args:
        opened: Closes what was made, should the attempt fail.
    """

    def __init__(self, opened: ExitStack) -> None:
        self.opened = opened
        self.errors: list[Exception] = []

    def make(self, make: Callable[[], Made]) -> Made | None:
        """Return what was made; None where it could not be, which is noted."""
        try:
            return make()
        except (PortTakenError, JournalError, TlsError, TokenFileError) as error:
            self.errors.append(error)
            return None

    def reserve(self, listener: Listener, address: str) -> socket.socket | None:
        """Return a socket that listens at an address, closed again should the attempt fail; None as for `make`."""
        bound = self.make(lambda: listener.reserve(address))
        if bound is not None:
            self.opened.callback(bound.close)
        return bound
