"""What goes wrong in the demo, one after the other. All of it happens outside the service: in what customers send.

The tuple `INCIDENTS` is the table of contents. Each incident says how the traffic changes and which findings name it;
others may open beside them, as consequences.
"""

from dataclasses import dataclass, replace
from typing import Final

from spanward_processor.demo.customers import Customers, Ticket
from spanward_processor.demo.feed import Finding
from spanward_processor.demo.traffic import Stream

RATE_PER_S: Final = 40.0
FLOOD_PER_S: Final = 3 * RATE_PER_S
POISONED_CHANNEL: Final = "partner-feed"
POISON: Final = "Account login password. Profile username account. Change account password login."
FLOODING_CLIENT: Final = "client-17"


@dataclass(frozen=True, slots=True)
class Sign:
    """What a finding must say to name an incident.

    Args:
        aspect: What moved.
        channel: The channel it must blame, if any.
    """

    aspect: str
    channel: str | None = None

    def __str__(self) -> str:
        return self.aspect if self.channel is None else f"{self.aspect} of {self.channel}"

    def shown_by(self, finding: Finding) -> bool:
        """Tell whether a finding says this."""
        return finding.aspect == self.aspect and (self.channel is None or finding.blames(self.channel))


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that goes wrong.

    Args:
        name: A few words.
        announcement: What the outside world does now.
        streams: The traffic while it lasts.
        signs: What must be found; all of them.
    """

    name: str
    announcement: str
    streams: tuple[Stream, ...]
    signs: tuple[Sign, ...]


def usual(customers: Customers) -> Ticket:
    """Return a ticket like any other."""
    return customers.ticket()


def longer(customers: Customers) -> Ticket:
    """Return a ticket six times as long, as when whole mail threads are pasted."""
    return customers.ticket(times_longer=6)


def poisoned(customers: Customers) -> Ticket:
    """Return a ticket; a billing ticket of the poisoned channel carries words that pull it to the account desk."""
    ticket = customers.ticket()
    if (ticket.channel, ticket.label) != (POISONED_CHANNEL, "billing"):
        return ticket
    return replace(ticket, text=f"{ticket.text} {POISON}")


def flooding(customers: Customers) -> Ticket:
    """Return the flooding client's ticket: always the same text, with another number."""
    number = customers.rng.randint(100_000, 999_999)
    text = f"The app crashes with error {number} after the update and the screen stays white."
    return Ticket(label="technical", text=text, channel="web", client=FLOODING_CLIENT)


USUAL: Final = (Stream(RATE_PER_S, usual),)
"""The traffic when all is well."""

INCIDENTS: Final = (
    Incident(
        name="longer texts",
        announcement="texts of every client get six times longer, so the model works longer on each",
        streams=(Stream(RATE_PER_S, longer),),
        signs=(Sign("input_size"), Sign("latency")),
    ),
    Incident(
        name="poisoned channel",
        announcement=f"billing tickets that come through {POISONED_CHANNEL} carry words that pull them to account",
        streams=(Stream(RATE_PER_S, poisoned),),
        signs=(Sign("decision", POISONED_CHANNEL),),
    ),
    Incident(
        name="flood by one client",
        announcement=f"one client sends {FLOOD_PER_S:.0f} near-identical requests per second on top of the usual traffic",
        streams=(*USUAL, Stream(FLOOD_PER_S, flooding)),
        signs=(Sign("client"), Sign("repeat")),
    ),
)
"""Everything that goes wrong, in order."""
