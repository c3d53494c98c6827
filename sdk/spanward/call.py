"""One observed call: what is said of it before, and after it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from spanward import semconv
from spanward._guard import Guard
from spanward.api import hasher
from spanward.canonical import NotCanonicalError
from spanward.extract import Outcome, outcome_of, size_of

LONGEST_TEXT: Final = 256  # characters of an attribute we take from the user
CLAIMED: Final = "claimed"  # a client name that no transport has authenticated

_Attributes = dict[str, AttributeValue]
OfCall = str | Callable[..., object] | None
"""A constant, or a function of the call's arguments."""
OfResult = Callable[[Any], object] | None
"""A function of the result."""


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
        skip_first: Whether the first argument is the instance or class, which is no input.
        input: Which of the arguments are the input.
        varying: Attribute to function of the call's arguments.
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
    skip_first: bool
    input: Callable[..., object] | None
    varying: Mapping[str, Callable[..., object]]
    dimensions: Callable[..., Mapping[str, object]] | None
    client: Callable[..., object] | None
    decision: OfResult
    score: OfResult
    tokens: Callable[[Any], Tokens] | None

    def begin(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Span:
        """Start the span of a call; when it is not recording nothing is hashed."""
        span: Span = trace.INVALID_SPAN
        with Guard("starting a span"):
            span = self.tracer.start_span(self.name, kind=SpanKind.INTERNAL, attributes=self.constants)
        if span.is_recording():
            with Guard("asking who called"):
                span.set_attributes(self._of_caller(args, kwargs))
            with Guard("hashing an input"):
                inputs = args[1:] if self.skip_first else args
                values = (self.input(*args, **kwargs),) if self.input else (*inputs, *kwargs.values())
                span.set_attributes(_of_input(values, self.domain))
        return span

    def _of_caller(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> _Attributes:
        attributes: _Attributes = {}
        for name, function in self.varying.items():
            _put(attributes, name, function(*args, **kwargs))
        if self.dimensions:
            for dimension, value in self.dimensions(*args, **kwargs).items():
                _put(attributes, semconv.DIMENSION_PREFIX + dimension, value)
        if self.client and (client := self.client(*args, **kwargs)) is not None:
            attributes[semconv.CLIENT_ID] = hasher().hash(str(client), "client")
            attributes[semconv.CLIENT_TRUST] = CLAIMED
        return attributes

    def end(self, span: Span, result: object) -> None:
        """End the span of a call that returned."""
        with Guard("reading a result"):
            if span.is_recording():
                span.set_attributes(self._of_result(result))
        _finish(span)

    def _of_result(self, result: object) -> _Attributes:
        found = outcome_of(result)
        attributes = _of_outcome(found)
        if self.decision:
            _put(attributes, semconv.DECISION, self.decision(result))
        if self.score and isinstance(score := self.score(result), (int, float)):
            attributes[semconv.SCORE] = float(score)
        if self.tokens:
            tokens = self.tokens(result)
            if tokens.input is not None:
                attributes[semconv.GEN_AI_USAGE_INPUT_TOKENS] = tokens.input
            if tokens.output is not None:
                attributes[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] = tokens.output
            attributes[semconv.TOKENS_SOURCE] = tokens.source
        return attributes

    def fail(self, span: Span, error: BaseException) -> None:
        """End the span of a call that raised; the message stays here, it may hold the input."""
        with Guard("recording an error"):
            span.set_attribute(semconv.ERROR_TYPE, error_type(error))
            span.set_status(Status(StatusCode.ERROR))
        _finish(span)


def error_type(error: BaseException) -> str:
    """Return the qualified name of an exception's class, as `error.type` asks."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _finish(span: Span) -> None:
    with Guard("ending a span"):
        span.end()


def _put(attributes: _Attributes, name: str, value: object) -> None:
    if value is not None:
        attributes[name] = str(value)[:LONGEST_TEXT]


def _of_input(values: Sequence[object], domain: str) -> _Attributes:
    size = size_of(values)
    attributes: _Attributes = {semconv.FEATURES_COUNT: size.count}
    if size.sparsity is not None:
        attributes[semconv.FEATURES_SPARSITY] = size.sparsity
    if size.shape is not None:
        attributes[semconv.FEATURES_SHAPE] = size.shape
    if size.batch is not None:
        attributes[semconv.BATCH_SIZE] = size.batch
    used = hasher()
    try:
        attributes[semconv.FEATURES_HASH] = used.hash(values[0] if len(values) == 1 else list(values), domain)
    except NotCanonicalError:
        return attributes
    attributes[semconv.FEATURES_KEY_ID] = used.key_id
    if len(values) == 1 and isinstance(values[0], str):
        # The SDK's type stubs do not list bytes yet; OTLP and the exporter do.
        attributes[semconv.FEATURES_FINGERPRINT] = cast("str", used.fingerprint(values[0]))
    return attributes


def _of_outcome(outcome: Outcome) -> _Attributes:
    attributes: _Attributes = {}
    _put(attributes, semconv.DECISION, outcome.decision)
    _put(attributes, semconv.SCORE_KIND, outcome.kind if outcome.score is not None else None)
    for name, value in (
        (semconv.SCORE, outcome.score),
        (semconv.MARGIN, outcome.margin),
        (semconv.ENTROPY, outcome.entropy),
    ):
        if value is not None:
            attributes[name] = value
    return attributes


def takes_instance(function: Callable[..., object]) -> bool:
    """Return whether a function's first parameter is an instance or class by Python's custom of naming it so."""
    try:
        parameters = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False
    return bool(parameters) and parameters[0] in {"self", "cls"}
