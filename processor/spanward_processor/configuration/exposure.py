"""What a configuration leaves open beyond this machine: allowed, since an operator has said so, and told all the same."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from spanward_processor.configuration.addresses import is_loopback
from spanward_processor.configuration.config import Config

_READABLE: Final = "nothing is encrypted: what is sent, and a token with it, can be read and changed on the way"
_ANYBODY: Final = "nobody is asked for a token or a certificate: everybody who reaches it can send"
_NO_LOGIN: Final = "nobody is asked to log in: everybody who reaches it can read"


class Exposure(NamedTuple):
    """One listener that others can reach, and what that means.

    Args:
        key: Of the configuration.
        address: Where it listens.
        reason: What anybody can do.
    """

    key: str
    address: str
    reason: str


def exposures(config: Config) -> Iterator[Exposure]:
    """Yield what others than this machine can reach without being known, or can listen to."""
    receiver = config.receiver
    known = receiver.tokens_file is not None or (receiver.tls is not None and receiver.tls.client_ca_file is not None)
    for key, address in (("receiver.listen", receiver.listen), ("receiver.http_listen", receiver.http_listen)):
        if address is None or is_loopback(address):
            continue
        if receiver.tls is None:
            yield Exposure(key, address, _READABLE)
        if not known:
            yield Exposure(key, address, _ANYBODY)
    pages = (
        ("live.listen", config.live.listen if config.live else None),
        ("telemetry.listen", config.telemetry.listen),
    )
    for key, address in pages:
        if address is not None and not is_loopback(address):
            yield Exposure(key, address, _NO_LOGIN)
