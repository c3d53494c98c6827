"""Real HTTP requests at the times they are due, however long the service takes: an open loop, as customers are.

Only when the service cannot keep up at all do customers turn away; else a backlog would outlast the incident.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

import httpx

from spanward_processor.demo.customers import Customers, Ticket

_TIMEOUT_S: Final = 10.0
_CONNECTIONS: Final = 64  # requests under way; more customers turn away


@dataclass(frozen=True, slots=True)
class Stream:
    """Tickets that arrive as a Poisson process.

    Args:
        rate_per_s: Mean arrivals per second.
        ticket: Draws the next one.
    """

    rate_per_s: float
    ticket: Callable[[Customers], Ticket]


class Arrivals:
    """When the next ticket arrives, and from which stream; the streams may be exchanged at any time.

    Args:
        streams: The traffic to begin with.
        rng: Source of randomness.
    """

    def __init__(self, streams: tuple[Stream, ...], rng: Random) -> None:
        self.streams = streams
        self._rng = rng

    def __iter__(self) -> Iterator[tuple[float, Stream]]:
        """Yield seconds since the arrival before, and the stream; for ever."""
        while True:
            rates = [stream.rate_per_s for stream in self.streams]
            yield self._rng.expovariate(sum(rates)), self._rng.choices(self.streams, rates)[0]


class Traffic:
    """Drives the service.

    Args:
        url: Where tickets are posted.
        arrivals: When.
        customers: By whom.
        hear: Told of every answer.
    """

    def __init__(
        self, url: str, arrivals: Arrivals, customers: Customers, hear: Callable[[bytes], None] = lambda _: None
    ) -> None:
        self._hear = hear
        self._url = url
        self._arrivals = arrivals
        self._customers = customers
        self._stopped = False
        self._under_way = 0
        self.answered = 0
        self.failed = 0
        self.turned_away = 0

    def become(self, streams: tuple[Stream, ...]) -> None:
        """Change the traffic from the next arrival on."""
        self._arrivals.streams = streams

    def stop(self) -> None:
        """Send no more; requests under way are still answered."""
        self._stopped = True

    async def run(self) -> None:
        """Send until stopped."""
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, limits=limits) as http, asyncio.TaskGroup() as requests:
            clock = asyncio.get_running_loop().time
            due = clock()
            for gap, stream in self._arrivals:
                due += gap
                await asyncio.sleep(max(0.0, due - clock()))
                if self._stopped:
                    return
                ticket = stream.ticket(self._customers)
                if self._under_way < _CONNECTIONS:
                    self._under_way += 1
                    requests.create_task(self._send(http, ticket))
                else:
                    self.turned_away += 1

    async def _send(self, http: httpx.AsyncClient, ticket: Ticket) -> None:
        body = {"text": ticket.text, "channel": ticket.channel, "client": ticket.client}
        try:
            response = await http.post(self._url, json=body)
            response.raise_for_status()
        except httpx.HTTPError:
            self.failed += 1
        else:
            self.answered += 1
            self._hear(response.content)
        finally:
            self._under_way -= 1
