"""Where requests come from: what model calls inside of them are told of channel, client and further slices.

Source: ASGI TLS Extension 0.2 (`client_cert_name`, `client_cert_error`).
"""

from collections.abc import Callable, Mapping, MutableMapping
from contextvars import Token
from dataclasses import dataclass
from threading import get_ident
from time import perf_counter_ns
from typing import Any, Final, cast

from spanward._guard import Guard
from spanward.outcome import Tokens
from spanward.request import AUTHENTICATED, CLAIMED, Request, RequestContext, receive

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]

OfScope = str | Callable[[Scope], object] | None
"""A constant, or a function of the request's ASGI scope."""

_asking: Final = Guard("asking where a request comes from")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests come from.

    Functions are asked whenever a model call inside the request begins: by then the router and the application's own authentication
    have put into the scope what they found, as `scope["user"]`.

    Args:
        channel: Ingestion channel of the data.
        client: Who asks; only a keyed hash of it leaves. By default the name in the certificate that the transport has verified.
        trust: `authenticated` where `client` says what the application has verified, else `claimed`.
        dimensions: Further slices of low cardinality.
        tokens: Token counts, where a gateway before the application has counted them, as in a header.
    """

    channel: OfScope = None
    client: OfScope = None
    trust: str = CLAIMED
    dimensions: Mapping[str, str] | Callable[[Scope], Mapping[str, str]] | None = None
    tokens: Callable[[Scope], Tokens | None] | None = None

    def tell(self, scope: Scope) -> Token[Request] | None:
        """Say it for all model calls in this context; return how to take it back, or None where nothing is known.

        Args:
            scope: Of the request.
        """
        if self is TRANSPORT and not _tls_of(scope):
            return None
        return receive(lambda: self._of(scope))

    def _of(self, scope: Scope) -> RequestContext:
        client, trust = _asked(self.client, scope), self.trust
        if client is None and (client := _certified(scope)) is not None:
            trust = AUTHENTICATED
        dimensions, tokens = _asked(self.dimensions, scope), _asked(self.tokens, scope)
        return RequestContext(
            channel=_text(_asked(self.channel, scope)),
            client=_text(client),
            trust=trust,
            dimensions=cast("Mapping[str, str]", dimensions) if isinstance(dimensions, Mapping) else {},
            tokens=tokens if isinstance(tokens, Tokens) else None,
            # As if it came now: what passes before a call is not all a wait for a thread, least of all in a websocket.
            received_ns=perf_counter_ns(),
            thread=get_ident(),
        )


TRANSPORT: Final = Origin()
"""Of those who say nothing: what the transport vouches for."""


def _asked(given: Any, scope: Scope) -> object:
    if not callable(given):
        return given
    try:
        return given(scope)
    except Exception as error:  # noqa: BLE001 - a user's function
        _asking.swallow(error)
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _tls_of(scope: Scope) -> Mapping[str, Any] | None:
    extensions: dict[str, Any] | None = scope.get("extensions")
    return extensions.get("tls") if extensions else None


def _certified(scope: Scope) -> str | None:
    """Return the name in a client's certificate, where the server has verified it."""
    tls = _tls_of(scope)
    return None if not tls or tls.get("client_cert_error") else tls.get("client_cert_name")
