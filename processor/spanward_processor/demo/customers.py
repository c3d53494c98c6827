"""The outside world: who writes, through which channel, and about what."""

from dataclasses import dataclass
from random import Random
from typing import Final

from spanward_processor.demo.corpus import load_corpus
from spanward_processor.demo.writer import Writer

CHANNELS: Final = {"web": 0.22, "mobile": 0.20, "email": 0.18, "partner-feed": 0.40}
"""Share of the tickets by channel."""

LABEL_SHARES: Final = {"billing": 0.35, "delivery": 0.30, "technical": 0.20, "account": 0.15}
"""Share of the tickets by what they are about."""

CLIENTS: Final = tuple(f"client-{number:02}" for number in range(1, 31))
CLIENT_WEIGHTS: Final = tuple(1 / (number + 9) for number in range(1, 31))
"""The busiest of 30 sends 7 %, the quietest 2 %."""

SENTENCES: Final = (1, 2)
"""Lengths of a text, equally frequent."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request to the service, and the desk it is truly meant for."""

    label: str
    text: str
    channel: str
    client: str


class Customers:
    """Draws tickets.

    Args:
        rng: Source of randomness.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self._writer = Writer(load_corpus(), rng)

    def ticket(self, times_longer: int = 1) -> Ticket:
        """Return a ticket as any customer might send it.

        Args:
            times_longer: Factor on the usual number of sentences.
        """
        label = _drawn(self.rng, LABEL_SHARES)
        return Ticket(
            label=label,
            text=self._writer.write(label, times_longer * self.rng.choice(SENTENCES)),
            channel=_drawn(self.rng, CHANNELS),
            client=self.rng.choices(CLIENTS, CLIENT_WEIGHTS)[0],
        )


def _drawn(rng: Random, shares: dict[str, float]) -> str:
    return rng.choices(tuple(shares), tuple(shares.values()))[0]
