"""One observed call: what is said of it before, and after it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from spanward import semconv
from spanward._guard import Guard
from spanward.api import hasher
from spanward.arguments import Parameters
from spanward.canonical import NotCanonicalError
from spanward.extract import Outcome, kind_of, outcome_of, real
from spanward.size import size_of

LONGEST_TEXT: Final = 256  # characters of an attribute we take from the user
CLIENT_DOMAIN: Final = "\0client"  # no model has such a name, so that no input hash equals a client's
CLAIMED: Final = "claimed"  # a client name that no transport has authenticated

Attributes = dict[str, AttributeValue]
OfCall = str | Callable[..., object] | None
"""A constant, or a function of the call's arguments."""
OfResult = Callable[[Any], object] | None
"""A function of the result."""

_FAILED: Final = Status(StatusCode.ERROR)  # without a description: it would hold the message

# One guard for each thing that may fail on its own, so that what else is known of the call is still told.
_starting: Final = Guard("starting a span")
_asking_channel: Final = Guard("asking for the channel")
_asking_dimensions: Final = Guard("asking for dimensions")
_asking_client: Final = Guard("asking for the client")
_hashing: Final = Guard("hashing an input")
_reading: Final = Guard("reading a result")
_asking_decision: Final = Guard("asking for the decision")
_asking_score: Final = Guard("asking for the score")
_asking_tokens: Final = Guard("asking for tokens")
_telling: Final = Guard("telling what is known of a call")
_ending: Final = Guard("ending a span")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts of one call, as the model's own tokenizer counted them.

    Args:
        input: Tokens taken.
        output: Tokens generated.
        source: `exact`, or `estimated`.
    """

    input: int | None = None
    output: int | None = None
    source: str = "exact"


@dataclass(frozen=True, slots=True)
class Observation:
    """What is fixed about the calls of one decorated function.

    Args:
        tracer: Makes the spans.
        name: Span name.
        domain: What inputs are hashed for: the model.
        constants: Attributes known before any call.
        parameters: Of the function.
        input: Which of the arguments are the input.
        channel: Function of the call's arguments that names the ingestion channel.
        dimensions: Function of the call's arguments that gives further slices.
        client: Function of the call's arguments that names the caller.
        decision: Function of the result.
        score: Function of the result.
        tokens: Function of the result.
    """

    tracer: Tracer
    name: str
    domain: str
    constants: Mapping[str, AttributeValue]
    parameters: Parameters
    input: Callable[..., object] | None
    channel: Callable[..., object] | None
    dimensions: Callable[..., Mapping[str, object]] | None
    client: Callable[..., object] | None
    decision: OfResult
    score: OfResult
    tokens: Callable[[Any], Tokens] | None

    def begin(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> "Call":
        """Start the span of a call; when it is not recording nothing is hashed."""
        span: Span = trace.INVALID_SPAN
        attributes: Attributes = {}
        with _starting:
            span = self.tracer.start_span(self.name, kind=SpanKind.INTERNAL, attributes=self.constants)
        if span.is_recording():
            self._ask_caller(attributes, args, kwargs)
            with _hashing:
                values = (self.input(*args, **kwargs),) if self.input else self.parameters.inputs(args, kwargs)
                _add_input(attributes, values, self.domain)
        return Call(self, span, attributes)

    def _ask_caller(self, attributes: Attributes, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        if self.channel:
            with _asking_channel:
                _add(attributes, semconv.CHANNEL, self.channel(*args, **kwargs))
        if self.dimensions:
            with _asking_dimensions:
                for dimension, value in self.dimensions(*args, **kwargs).items():
                    _add(attributes, semconv.DIMENSION_PREFIX + dimension, value)
        if self.client:
            with _asking_client:
                if (client := self.client(*args, **kwargs)) is not None:
                    attributes[semconv.CLIENT_ID] = hasher().hash(str(client), CLIENT_DOMAIN)
                    attributes[semconv.CLIENT_TRUST] = CLAIMED

    def add_result(self, attributes: Attributes, result: object) -> None:
        """Add what a result tells: what the common forms do, and on top of it what the extractors say.

        A list for a batch holds one result per item, and none of them speaks for the call.
        """
        with _reading:
            if attributes.get(semconv.BATCH_SIZE, 1) == 1 or not isinstance(cast("Any", result), list):
                _add_outcome(attributes, outcome_of(result))
        if self.decision:
            with _asking_decision:
                _add(attributes, semconv.DECISION, self.decision(result))
        if self.score:
            with _asking_score:
                if (score := real(self.score(result))) is not None:
                    attributes[semconv.SCORE] = score
                    attributes[semconv.SCORE_KIND] = kind_of(score)
        if self.tokens:
            with _asking_tokens:
                _add_tokens(attributes, self.tokens(result))


@dataclass(frozen=True, slots=True)
class Call:
    """One call under way.

    Args:
        observation: What is fixed about it.
        span: Its span.
        attributes: What is known so far; set all at once at the end, since the SDK takes a lock each time.
    """

    observation: Observation
    span: Span
    attributes: Attributes

    def end(self, result: object) -> None:
        """End the span of a call that returned."""
        with _telling:
            if self.span.is_recording():
                self.observation.add_result(self.attributes, result)
                self.span.set_attributes(self.attributes)
        with _ending:
            self.span.end()

    def fail(self, error: BaseException) -> None:
        """End the span of a call that raised; the message stays here, it may hold the input."""
        with _telling:
            self.attributes[semconv.ERROR_TYPE] = error_type(error)
            self.span.set_attributes(self.attributes)
            self.span.set_status(_FAILED)
        with _ending:
            self.span.end()


def error_type(error: BaseException) -> str:
    """Return the qualified name of an exception's class, as `error.type` asks."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _add(attributes: Attributes, name: str, value: object) -> None:
    if value is not None:
        attributes[name] = str(value)[:LONGEST_TEXT]


def _add_input(attributes: Attributes, values: Sequence[object], domain: str) -> None:
    size = size_of(values)
    attributes[semconv.FEATURES_COUNT] = size.count
    if size.sparsity is not None:
        attributes[semconv.FEATURES_SPARSITY] = size.sparsity
    if size.shape is not None:
        attributes[semconv.FEATURES_SHAPE] = size.shape
    if size.batch is not None:
        attributes[semconv.BATCH_SIZE] = size.batch
    used = hasher()
    try:
        attributes[semconv.FEATURES_HASH] = used.hash(values[0] if len(values) == 1 else values, domain)
    except NotCanonicalError:
        return
    attributes[semconv.FEATURES_KEY_ID] = used.key_id
    if len(values) == 1 and isinstance(values[0], str):
        # The SDK's type stubs do not list bytes yet; OTLP and the exporter do.
        attributes[semconv.FEATURES_FINGERPRINT] = cast("str", used.fingerprint(values[0]))


def _add_outcome(attributes: Attributes, outcome: Outcome) -> None:
    if outcome.decision is not None:
        attributes[semconv.DECISION] = outcome.decision
    if outcome.score is not None:
        attributes[semconv.SCORE] = outcome.score
        attributes[semconv.SCORE_KIND] = outcome.kind
    if outcome.margin is not None:
        attributes[semconv.MARGIN] = outcome.margin
    if outcome.entropy is not None:
        attributes[semconv.ENTROPY] = outcome.entropy


def _add_tokens(attributes: Attributes, tokens: Tokens) -> None:
    if tokens.input is not None:
        attributes[semconv.GEN_AI_USAGE_INPUT_TOKENS] = int(tokens.input)
    if tokens.output is not None:
        attributes[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] = int(tokens.output)
    attributes[semconv.TOKENS_SOURCE] = tokens.source
