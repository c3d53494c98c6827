"""`spanward.inference`: a decorator on the function that asks the model, or a `with` block around the code that does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast, overload

from opentelemetry.context import attach, get_current
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from spanward import semconv
from spanward.arguments import Parameters
from spanward.call import Call, begin
from spanward.fingerprint import Form
from spanward.given import (
    check_dimensions,
    check_form,
    check_functions,
    check_texts,
    check_texts_or_functions,
    check_tokens,
)
from spanward.metrics import Instruments
from spanward.observation import TEXTS, Observation, OfCall
from spanward.outcome import Outcome, Tokens
from spanward.results import LONGEST_TEXT, OfResult, Readers
from spanward.runtime import PAUSES
from spanward.shapes import observe
from spanward.tracing import CALL, detach, tracing_of

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")

OPERATION: Final = "inference"
"""Operation of calls that the conventions have no name for; they allow others."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One `with` block that has been entered."""

    call: Call
    token: Any


class Inference:
    """How calls of one model are observed; it decorates functions, and each `with` block under it is one call."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation
        self._entries: list[_Entry] = []

    @overload
    def __call__(self, function: "classmethod[C, P, R]", /) -> "classmethod[C, P, R]": ...
    @overload
    def __call__(self, function: "staticmethod[P, R]", /) -> "staticmethod[P, R]": ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        """Observe every call of a function, method, generator, partial or callable object.

        Raises:
            TypeError: It cannot be called, or is a class.
        """
        if isinstance(function, (classmethod, staticmethod)):
            wrapped = cast("Any", function)
            return type(wrapped)(self(wrapped.__func__))
        if not callable(function) or isinstance(function, type):
            kind = "class" if isinstance(function, type) else type(function).__name__
            raise TypeError(f"spanward.inference: must be put on a function or another callable, got {kind}")
        return observe(function, _for_function(self._observation, function))

    def __enter__(self) -> Call:
        """Begin one call, and make it current."""
        call = self._enter()
        call.watch_cpu()
        return call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the call, unless it follows a stream; exceptions pass unchanged."""
        self._exit(error)

    async def __aenter__(self) -> Call:
        """Do the same in a coroutine."""
        return self._enter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do the same in a coroutine."""
        self._exit(error)

    def start(self, *args: Any, **kwargs: Any) -> Call:
        """Begin a call that is not made current and is ended by `end` or `fail`, as where a callback gets the answer.

        Args:
            args: Positional arguments: the model's input, as a decorated function's are.
            kwargs: Keyword arguments.
        """
        return begin(_with_model(self._observation), args, kwargs, asked=bool(args or kwargs))

    def _enter(self) -> Call:
        call = begin(_with_model(self._observation), asked=False)
        self._entries.append(_Entry(call, attach(call.context())))
        return call

    def _exit(self, error: BaseException | None) -> None:
        entry = self._take()
        detach(entry.token)
        if error is not None:
            entry.call.fail(error)
        elif not entry.call.following:
            entry.call.end()

    def _take(self) -> _Entry:
        """Return the entry of the block that is being left: others may be open, in other threads and tasks."""
        current = get_current().get(CALL)
        found = next((entry for entry in reversed(self._entries) if entry.call is current), self._entries[-1])
        self._entries.remove(found)
        return found


@overload
def inference(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def inference(
    model: str | None = None,
    *,
    version: str | None = None,
    revision: str | None = None,
    framework: str | None = None,
    task: str | None = None,
    operation: str | None = None,
    provider: str | None = None,
    schema: str | None = None,
    channel: OfCall = None,
    client: OfCall = None,
    dimensions: Mapping[str, str] | Callable[..., Mapping[str, object]] | None = None,
    input: Callable[..., object] | None = None,
    fingerprint: Form = TEXTS,
    outcome: Callable[[Any], Outcome] | None = None,
    decision: OfResult = None,
    score: OfResult = None,
    tokens: Tokens | Callable[[Any], Tokens | None] | None = None,
    item_events: bool = False,
    stream: bool | None = None,
    span_kind: SpanKind = SpanKind.INTERNAL,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Inference: ...
def inference(
    model: Any = None,
    *,
    version: str | None = None,
    revision: str | None = None,
    framework: str | None = None,
    task: str | None = None,
    operation: str | None = None,
    provider: str | None = None,
    schema: str | None = None,
    channel: OfCall = None,
    client: OfCall = None,
    dimensions: Mapping[str, str] | Callable[..., Mapping[str, object]] | None = None,
    input: Callable[..., object] | None = None,  # noqa: A002 - what it is
    fingerprint: Form = TEXTS,
    outcome: Callable[[Any], Outcome] | None = None,
    decision: OfResult = None,
    score: OfResult = None,
    tokens: Tokens | Callable[[Any], Tokens | None] | None = None,
    item_events: bool = False,
    stream: bool | None = None,
    span_kind: SpanKind = SpanKind.INTERNAL,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Any:
    """Observe every call of a function, or what a `with` block does, as one inference.

    `@spanward.inference` alone is enough; `@spanward.inference("router", version="1.0")` names the model, and
    `with spanward.inference("router") as call:` is for code that no decorator fits. A span carries duration, error type, size
    and keyed hash of the arguments, and decision, score and tokens as far as the result tells them. Arguments, results and
    exception messages never leave the process. Functions of the call get its arguments
    (`channel=lambda text, channel: channel`), functions of the result get the result; of a stream they get the list of its
    items. If one of them fails the call goes on and the span says less.

    Args:
        model: Name of the model; default the function's name, or the name of an observed model that is called inside.
        version: Its version.
        revision: Its revision, as a commit of a model hub.
        framework: What runs it, as `scikit-learn`.
        task: What it does, as `text-classification`.
        operation: GenAI operation name, as `chat`, where the conventions have one; the span is then named as they ask.
        provider: GenAI provider name, as `openai`.
        schema: Name of the feature schema; equal hashes are comparable within one schema only.
        channel: Ingestion channel: a constant, or a function of the call; default what the request's context says.
        client: Who asks, likewise; only its keyed hash leaves.
        dimensions: Further slices of low cardinality: a mapping, or a function of the call.
        input: What of the arguments is the model's input; default all but `self`.
        fingerprint: How near-repeats of the input are known; default for texts, `spanward.calibrate` finds one for numbers.
        outcome: Decision, score and the rest from the result at once, in place of what its form tells.
        decision: Decision from the result, where its form does not tell it.
        score: Score from the result.
        tokens: Token counts from the result, or constant ones.
        item_events: Whether each item of a batch or stream is an event of the span.
        stream: Whether what is returned is followed as a stream; default generators and iterators that can be closed are.
        span_kind: Kind of the spans: `CLIENT` where a server is asked for the answer.
        tracer_provider: Makes the spans; default the global one.
        meter_provider: Takes the metrics; default the global one.

    Raises:
        TypeError: When put on what cannot be called, or an argument is of no kind it takes.
    """
    if model is not None and not isinstance(model, str):
        return Inference(_observation_of(None, None, {}))(cast("Callable[..., Any]", model))
    check_texts(
        version=version,
        revision=revision,
        framework=framework,
        task=task,
        operation=operation,
        provider=provider,
        schema=schema,
    )
    check_texts_or_functions(channel=channel, client=client)
    check_functions(input=input, outcome=outcome, decision=decision, score=score)
    check_dimensions(dimensions)
    check_tokens(tokens)
    check_form(fingerprint)
    constants = _constants(
        {
            semconv.MODEL_VERSION: version,
            semconv.MODEL_REVISION: revision,
            semconv.MODEL_FRAMEWORK: framework,
            semconv.MODEL_TASK: task,
            semconv.GEN_AI_OPERATION_NAME: operation,
            semconv.GEN_AI_PROVIDER_NAME: provider,
            semconv.FEATURES_SCHEMA: schema,
            semconv.CHANNEL: channel if isinstance(channel, str) else None,
        }
    )
    fixed: Mapping[str, str] = {} if dimensions is None or callable(dimensions) else dimensions
    constants |= _constants({semconv.DIMENSION_PREFIX + name: value for name, value in fixed.items()})
    observation = replace(
        _observation_of(model, version, constants),
        input=input,
        form=fingerprint,
        schema=schema,
        channel=channel if callable(channel) else None,
        dimensions=dimensions if callable(dimensions) else None,
        client=client if callable(client) else None,
        client_name=client if isinstance(client, str) else None,
        asks=client is not None or callable(channel) or callable(dimensions),
        readers=_readers(outcome, decision, score, tokens),
        item_events=item_events,
        stream=stream,
        span_kind=span_kind,
        tracing=tracing_of(tracer_provider) if tracer_provider is not None else None,
        instruments=Instruments(meter_provider) if meter_provider is not None else None,
    )
    return Inference(observation)


def _readers(
    outcome: Callable[[Any], Outcome] | None,
    decision: OfResult,
    score: OfResult,
    tokens: Tokens | Callable[[Any], Tokens | None] | None,
) -> Readers | None:
    if outcome is None and decision is None and score is None and tokens is None:
        return None
    return Readers(outcome, decision, score, (lambda _: tokens) if isinstance(tokens, Tokens) else tokens)


def _observation_of(model: str | None, version: str | None, constants: Mapping[str, AttributeValue]) -> Observation:
    PAUSES.watch()
    observation = Observation("", model, version, "", constants, {})
    return observation if model is None else _named(observation, model)


def _named(observation: Observation, name: str) -> Observation:
    """Return an observation whose spans, constants and metrics carry a name; whether the user gave it is another matter."""
    constants, operation = observation.constants, observation.constants.get(semconv.GEN_AI_OPERATION_NAME)
    measured: dict[str, AttributeValue] = {
        semconv.GEN_AI_OPERATION_NAME: operation or OPERATION,
        semconv.GEN_AI_REQUEST_MODEL: name,
    }
    for constant in (semconv.MODEL_VERSION, semconv.GEN_AI_PROVIDER_NAME):
        if constant in constants:
            measured[constant] = constants[constant]
    called = _constants({semconv.MODEL_NAME: name, semconv.GEN_AI_REQUEST_MODEL: name if operation else None})
    return replace(
        observation,
        span_name=f"{operation or OPERATION} {name}",
        domain=name,
        constants={**called, **constants},
        measured=measured,
    )


def _for_function(observation: Observation, function: Callable[..., object]) -> Observation:
    """Return the observation of one function, which names the model where the user did not."""
    place = _name_of(function)
    if observation.model is None:
        observation = _named(observation, _short_name_of(function))
    return replace(
        observation,
        constants={**observation.constants, semconv.CODE_FUNCTION_NAME: place},
        parameters=Parameters.of(function),
    )


def _with_model(observation: Observation) -> Observation:
    if observation.model is None:
        raise TypeError("spanward.inference: must be given the model's name where it decorates no function, got none")
    return observation


def _constants(attributes: Mapping[str, str | None]) -> dict[str, AttributeValue]:
    return {name: value[:LONGEST_TEXT] for name, value in attributes.items() if value is not None}


def _name_of(function: Callable[..., object]) -> str:
    """Return a function's qualified name; of another callable, as a partial, that of its class."""
    named = function if hasattr(function, "__qualname__") else type(function)
    module: str = getattr(named, "__module__", None) or "builtins"  # as `str.upper`, which has none
    return f"{module}.{named.__qualname__}"[:LONGEST_TEXT]


def _short_name_of(function: Callable[..., object]) -> str:
    """Return a function's name within its module or the function it is defined in: `classify`, or `Router.classify`."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return named.__qualname__.rpartition("<locals>.")[2][:LONGEST_TEXT]
