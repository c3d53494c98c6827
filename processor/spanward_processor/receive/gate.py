"""Who may send, decided before a message is read."""

from collections.abc import Mapping
from dataclasses import dataclass

from spanward_processor.receive.rates import PeerRates
from spanward_processor.receive.tokens import Tokens
from spanward_processor.receive.turned import Turned
from spanward_processor.status import Code


@dataclass(frozen=True, slots=True)
class Gate:
    """Asks for a token and keeps each peer to its rate.

    Args:
        tokens: Accepted tokens; None lets everybody in.
        rates: Requests per peer; None sets no bound.
    """

    tokens: Tokens | None = None
    rates: PeerRates | None = None

    def turn_away(self, headers: Mapping[str, str], peer: str) -> Turned | None:
        """Return why a sender is turned away, None when it is let in.

        Args:
            headers: Header name, in lower case, to value.
            peer: Address of the sender.
        """
        if self.rates is not None and (wait_s := self.rates.wait_s(peer)):
            return Turned(Code.UNAVAILABLE, "this peer sends more requests than limits.requests_per_s allows", wait_s)
        if self.tokens is not None and not self.tokens.accepts(headers.get("authorization", "")):
            return Turned(Code.UNAUTHENTICATED, "a bearer token of receiver.tokens_file must be shown")
        return None
