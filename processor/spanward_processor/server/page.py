"""A page in plain HTTP, such as the live one or the one that Prometheus scrapes; exchanged while it is in use."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from spanward_processor.configuration.reloading import Attempt
from spanward_processor.receive.listening import Lifecycle, Listener, WebServer


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is asked for.

    Args:
        wanted: HOST:PORT, as configured; None where it is not.
        bound: A socket there; None where what is served stays.
    """

    wanted: str | None
    bound: socket.socket | None = None


class Page:
    """One page.

    Args:
        server: Makes what serves it.
    """

    def __init__(self, server: Callable[[], WebServer]) -> None:
        self._server = server
        self._listener = Listener()
        self._wanted: str | None = None

    @property
    def address(self) -> str:
        """HOST:PORT where it is served; empty where it is not."""
        return self._listener.address

    def prepare(self, wanted: str | None, attempt: Attempt) -> Place:
        """Return its place in a configuration; nothing is changed yet.

        Args:
            wanted: HOST:PORT, as configured; None where it is not.
            attempt: Collects what cannot be made.
        """
        if wanted is None or wanted == self._wanted:
            return Place(wanted)
        return Place(wanted, attempt.reserve(self._listener, wanted))

    async def serve(self, place: Place) -> None:
        """Be served there, or not any more, from now on."""
        self._wanted = place.wanted
        if place.wanted is None:
            await self._listener.end()
        elif place.bound is not None:
            server = self._server()
            await self._listener.serve(place.wanted, place.bound, Lifecycle(server.begin, server.end, server.end))

    async def end(self) -> None:
        """Be served no more."""
        await self._listener.end()
