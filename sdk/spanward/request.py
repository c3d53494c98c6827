"""What is known of the request in which a model is called: whoever receives it says so once, for all calls below."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from threading import get_ident
from time import perf_counter_ns
from typing import Final

from spanward.outcome import Tokens

CLAIMED: Final = "claimed"
"""A client name that no transport has authenticated."""
AUTHENTICATED: Final = "authenticated"
"""A client name that the transport vouches for: mutual TLS, or a token that was verified."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What is known of a request.

    Args:
        channel: Ingestion channel of the data.
        client: Who asks; only a keyed hash of it ever leaves the process.
        trust: Whether the transport authenticated the client: `claimed` or `authenticated`.
        dimensions: Further slices of low cardinality.
        tokens: Token counts, where a gateway has counted them.
        received_ns: When the request was received, `perf_counter_ns`.
        thread: Thread that received it.
    """

    channel: str | None = None
    client: str | None = None
    trust: str = CLAIMED
    dimensions: Mapping[str, str] = field(default_factory=dict[str, str])
    tokens: Tokens | None = None
    received_ns: int = 0
    thread: int = 0


Request = RequestContext | Callable[[], RequestContext] | None
"""What is known of a request, or a function that says so once it is known."""

_current: Final[ContextVar[Request]] = ContextVar("spanward request", default=None)


def current_request() -> RequestContext | None:
    """Return the request context in force, or None."""
    found = _current.get()
    return found() if callable(found) else found


def receive(request: Callable[[], RequestContext]) -> Token[Request]:
    """Say for all model calls in this context where their request comes from, until the token is taken back.

    Args:
        request: Says so when a call asks; a server's middleware knows less at first than its application does later.
    """
    return _current.set(request)


@contextmanager
def request_context(
    *,
    channel: str | None = None,
    client: str | None = None,
    trust: str = CLAIMED,
    dimensions: Mapping[str, str] | None = None,
    tokens: Tokens | None = None,
) -> Generator[RequestContext]:
    """Say for all model calls inside the block where their request comes from.

    A call's own `channel=`, `client=`, `dimensions=` and `tokens=` win over it. Inside another request context what is not
    given stays as it was. Coroutines and threads see it as they see any context variable; `spanward.handoff` carries it
    into a thread pool.

    Args:
        channel: Ingestion channel of the data.
        client: Who asks; only a keyed hash of it leaves.
        trust: `authenticated` where the transport vouches for the client, else `claimed`.
        dimensions: Further slices of low cardinality.
        tokens: Token counts, where a gateway has counted them.
    """
    outer = current_request() or RequestContext(received_ns=perf_counter_ns(), thread=get_ident())
    context = RequestContext(
        channel=channel if channel is not None else outer.channel,
        client=client if client is not None else outer.client,
        trust=trust if client is not None else outer.trust,
        dimensions={**outer.dimensions, **(dimensions or {})},
        tokens=tokens if tokens is not None else outer.tokens,
        received_ns=outer.received_ns,
        thread=outer.thread,
    )
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
