"""The tracer in force, and what a context says of the model call it is in."""

from contextvars import Token
from importlib.metadata import version
from typing import Final

from opentelemetry import trace
from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage] - what all instrumentations ask
    Context,
    create_key,
)
from opentelemetry.trace import Tracer, TracerProvider

SCOPE: Final = "spanward"
VERSION: Final = version("spanward")

SUPPRESSED: Final = _SUPPRESS_INSTRUMENTATION_KEY
CALL: Final = create_key("spanward-call")
"""Key of the model call a context is in."""
(SPAN,) = trace.set_span_in_context(trace.INVALID_SPAN, Context())
"""Key of the current span: with both keys known one context is made for a call, not two."""


class _Latest:
    """The global provider that was asked last, with its tracer: asking again costs more than comparing."""

    __slots__ = ("pair",)

    def __init__(self) -> None:
        self.pair: tuple[TracerProvider, Tracer] | None = None


_latest: Final = _Latest()


def detach(token: Token[Context]) -> None:
    """Undo `attach`.

    A coroutine that nobody awaits any more is closed by whoever collects it, in a context of theirs that never had our
    span: then there is nothing to undo, and no reason for the error that OpenTelemetry's own function logs.
    """
    try:
        token.var.reset(token)
    except ValueError:
        return


def tracer_of(provider: TracerProvider) -> Tracer:
    """Return the tracer of a provider."""
    return trace.get_tracer(SCOPE, VERSION, provider)


def global_tracer() -> Tracer:
    """Return the tracer of the global provider."""
    provider = trace.get_tracer_provider()
    pair = _latest.pair
    if pair is None or pair[0] is not provider:
        pair = _latest.pair = (provider, tracer_of(provider))
    return pair[1]
