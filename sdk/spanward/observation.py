"""What is fixed about the calls of one function or block: worked out once, so that a call costs little."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from spanward import pseudonyms, semconv
from spanward._guard import Guard
from spanward.api import hasher
from spanward.arguments import NO_PARAMETERS, Parameters
from spanward.fingerprint import Form, Shingles
from spanward.items import Attributes
from spanward.metrics import Instruments
from spanward.request import CLAIMED, RequestContext
from spanward.results import Readers, tell_text
from spanward.size import tell_size
from spanward.tracing import Tracing

OfCall = str | Callable[..., object] | None
"""A constant, or a function of the call's arguments."""

TEXTS: Final = Shingles()
"""How near-repeats of texts are known, where the user says nothing else."""

_asking_channel: Final = Guard("asking for the channel")
_asking_dimensions: Final = Guard("asking for dimensions")
_asking_client: Final = Guard("asking for the client")
_asking_request: Final = Guard("asking the request")


@dataclass(frozen=True, slots=True)
class Observation:
    """What is fixed about the calls of one function or block.

    Args:
        span_name: Name of the spans.
        model: Name of the model; None where nobody named it.
        version: Version of the model, as far as it is known before a call.
        domain: What inputs are hashed for: the model, or the function where the model has no name.
        constants: Attributes known before any call.
        measured: Attributes of metrics.
        parameters: Of the function.
        input: Which of the arguments are the input.
        form: Of the input's fingerprint.
        schema: Version of the features, where the user gives one.
        channel: Function of the call's arguments that names the ingestion channel.
        dimensions: Function of the call's arguments that gives further slices.
        client: Function of the call's arguments that names the caller.
        client_name: Caller of all calls.
        asks: Whether there is any of these four.
        readers: Functions of the result, where there are any.
        item_events: Whether each item of a batch or stream is an event.
        stream: Whether what is returned is followed as a stream: always, never, or where it is recognised.
        span_kind: Kind of the spans.
        tracing: Of a provider that was given; None for the global one.
        instruments: Of a provider that was given; None for the global one.
    """

    span_name: str
    model: str | None
    version: str | None
    domain: str
    constants: Mapping[str, AttributeValue]
    measured: Mapping[str, AttributeValue]
    parameters: Parameters = NO_PARAMETERS
    input: Callable[..., object] | None = None
    form: Form = TEXTS
    schema: str | None = None
    channel: Callable[..., object] | None = None
    dimensions: Callable[..., Mapping[str, object]] | None = None
    client: Callable[..., object] | None = None
    client_name: str | None = None
    asks: bool = False
    readers: Readers | None = None
    item_events: bool = False
    stream: bool | None = None
    span_kind: SpanKind = SpanKind.INTERNAL
    tracing: Tracing | None = None
    instruments: Instruments | None = None

    def tell_input(self, facts: Attributes, values: Sequence[object]) -> int | None:
        """Add what is told of the input, and return how many items it may have."""
        value, rows = values[0] if len(values) == 1 else values, None
        if isinstance(value, (str, bytes)):  # the commonest inputs have no size but their length
            facts[semconv.FEATURES_COUNT] = len(value)
        else:
            rows = tell_size(facts, values)
        pseudonyms.tell_input(facts, value, self.domain, hasher(), self.form, self.schema)
        return rows

    def tell_caller(self, facts: Attributes, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Add what the call's arguments say of channel, dimensions and client."""
        if self.channel:
            try:
                tell_text(facts, semconv.CHANNEL, self.channel(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - what a user's function raises
                _asking_channel.swallow(error)
        if self.dimensions:
            try:
                tell_dimensions(facts, self.dimensions(*args, **kwargs))
            except Exception as error:  # noqa: BLE001
                _asking_dimensions.swallow(error)
        if self.client or self.client_name is not None:
            try:
                tell_client(facts, self.client(*args, **kwargs) if self.client else self.client_name)
            except Exception as error:  # noqa: BLE001
                _asking_client.swallow(error)

    def tell_request(self, facts: Attributes, request: RequestContext) -> None:
        """Add what the request's context says where the call itself says nothing."""
        try:
            if semconv.CHANNEL not in self.constants:
                tell_text(facts, semconv.CHANNEL, request.channel)
            for name, value in request.dimensions.items():
                if semconv.DIMENSION_PREFIX + name not in self.constants:
                    tell_text(facts, semconv.DIMENSION_PREFIX + name, value)
            if request.client is not None and semconv.CLIENT_ID not in facts:
                tell_client(facts, request.client, request.trust)
        except Exception as error:  # noqa: BLE001
            _asking_request.swallow(error)


def tell_dimensions(facts: Attributes, dimensions: Mapping[str, object]) -> None:
    """Add further slices."""
    for name, value in dimensions.items():
        tell_text(facts, semconv.DIMENSION_PREFIX + name, value)


def tell_client(facts: Attributes, client: object, trust: str = CLAIMED) -> None:
    """Add the caller's pseudonym, and whether the transport vouches for the name behind it."""
    if client is not None:
        pseudonyms.tell_client(facts, str(client), hasher())
        facts[semconv.CLIENT_TRUST] = trust
