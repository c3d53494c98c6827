"""`@spanward.inference`: one line on the function that asks the model."""

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version as version_of
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import set_span_in_context
from opentelemetry.util.types import AttributeValue

from spanward import semconv
from spanward.arguments import Parameters
from spanward.call import LONGEST_TEXT, Observation, OfCall, OfResult, Tokens

P = ParamSpec("P")
R = TypeVar("R")


def inference(
    *,
    model: str,
    version: str | None = None,
    framework: str | None = None,
    task: str | None = None,
    operation: str | None = None,
    channel: OfCall = None,
    client: OfCall = None,
    dimensions: Mapping[str, str] | Callable[..., Mapping[str, object]] | None = None,
    input: Callable[..., object] | None = None,  # noqa: A002 - what it is
    decision: OfResult = None,
    score: OfResult = None,
    tokens: Callable[[Any], Tokens] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Observe every call of a function as one inference.

    With no further argument a span carries duration, error type, size and keyed hash of the arguments, and decision and
    score as far as common results tell them. Arguments, results and exception messages never leave the process. Functions
    of the call get its arguments (`channel=lambda text, channel: channel`), functions of the result get the result. If one
    of them fails the call goes on and the span says less.

    Args:
        model: Name of the model.
        version: Its version.
        framework: What runs it, as `scikit-learn`.
        task: What it does, as `text-classification`.
        operation: GenAI operation name, as `chat`, where the conventions have one; the span is then named as they ask.
        channel: Ingestion channel: a constant, or a function of the call.
        client: Who asks: a constant, or a function of the call; only its keyed hash leaves.
        dimensions: Further slices of low cardinality: a mapping, or a function of the call.
        input: What of the arguments is the model's input; default all but `self`.
        decision: Decision from the result, where the default does not find it.
        score: Score from the result.
        tokens: Token counts from the result.

    Returns:
        A decorator for functions, methods and coroutine functions.

    Raises:
        TypeError: When put on a generator function: a stream's span would end before the stream begins.
    """
    constants = _constants(
        {
            semconv.MODEL_NAME: model,
            semconv.MODEL_VERSION: version,
            semconv.MODEL_FRAMEWORK: framework,
            semconv.MODEL_TASK: task,
            semconv.GEN_AI_OPERATION_NAME: operation,
            semconv.GEN_AI_REQUEST_MODEL: model if operation else None,
            semconv.CHANNEL: channel if isinstance(channel, str) else None,
        }
    )
    fixed: Mapping[str, str] = {} if dimensions is None or callable(dimensions) else dimensions
    constants |= _constants({semconv.DIMENSION_PREFIX + name: value for name, value in fixed.items()})

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if isinstance(function, (classmethod, staticmethod)):
            wrapped = cast("Any", function)
            return cast("Callable[P, R]", type(wrapped)(decorate(wrapped.__func__)))
        _refuse_generator(function)
        observation = Observation(
            tracer=trace.get_tracer("spanward", version_of("spanward")),
            name=f"{operation or 'inference'} {model}",
            domain=model,
            constants=constants | {semconv.CODE_FUNCTION_NAME: _name_of(function)},
            parameters=Parameters.of(function),
            input=input,
            channel=channel if callable(channel) else None,
            dimensions=dimensions if callable(dimensions) else None,
            client=_client(client),
            decision=decision,
            score=score,
            tokens=tokens,
        )
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, R]", _observe_async(function, observation))
        return _observe(function, observation)

    return decorate


def _constants(attributes: Mapping[str, str | None]) -> dict[str, AttributeValue]:
    return {name: value[:LONGEST_TEXT] for name, value in attributes.items() if value is not None}


def _name_of(function: Callable[..., object]) -> str:
    """Return a function's qualified name; of another callable, as a partial, that of its class."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"[:LONGEST_TEXT]


def _client(client: OfCall) -> Callable[..., object] | None:
    if isinstance(client, str):
        return lambda *_args, **_kwargs: client
    return client


def _refuse_generator(function: Callable[..., object]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = f"spanward.inference: must be put on a function that returns, got generator {function.__qualname__}"
        raise TypeError(msg)


def _observe(function: Callable[P, R], observation: Observation) -> Callable[P, R]:
    @functools.wraps(function)
    def observed(*args: P.args, **kwargs: P.kwargs) -> R:
        call = observation.begin(args, kwargs)
        token = attach(set_span_in_context(call.span))
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        call.end(result)
        return result

    return observed


def _observe_async(
    function: Callable[P, Coroutine[Any, Any, R]], observation: Observation
) -> Callable[P, Coroutine[Any, Any, R]]:
    @functools.wraps(function)
    async def observed(*args: P.args, **kwargs: P.kwargs) -> R:
        call = observation.begin(args, kwargs)
        token = attach(set_span_in_context(call.span))
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        call.end(result)
        return result

    return observed
