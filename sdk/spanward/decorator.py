"""`@spanward.inference`: one line on the function that asks the model."""

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version as version_of
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import trace
from opentelemetry.trace import Span, use_span
from opentelemetry.util.types import AttributeValue

from spanward import semconv
from spanward.call import LONGEST_TEXT, Observation, OfCall, OfResult, Tokens, takes_instance

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
        operation: GenAI operation name, as `chat`, where the conventions have one.
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
            name=f"inference {model}",
            domain=model,
            constants=constants | {semconv.CODE_FUNCTION_NAME: f"{function.__module__}.{function.__qualname__}"},
            skip_first=takes_instance(function),
            input=input,
            varying={semconv.CHANNEL: channel} if callable(channel) else {},
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


def _client(client: OfCall) -> Callable[..., object] | None:
    if isinstance(client, str):
        return lambda *_args, **_kwargs: client
    return client


def _refuse_generator(function: Callable[..., object]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = f"spanward.inference: must be put on a function that returns, got generator {function.__qualname__}"
        raise TypeError(msg)


def _current(span: Span) -> Any:
    """Make a span current without the API's own recording of exceptions, which would tell their message."""
    return use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


def _observe(function: Callable[P, R], observation: Observation) -> Callable[P, R]:
    @functools.wraps(function)
    def observed(*args: P.args, **kwargs: P.kwargs) -> R:
        span = observation.begin(args, kwargs)
        try:
            with _current(span):
                result = function(*args, **kwargs)
        except BaseException as error:
            observation.fail(span, error)
            raise
        observation.end(span, result)
        return result

    return observed


def _observe_async(
    function: Callable[P, Coroutine[Any, Any, R]], observation: Observation
) -> Callable[P, Coroutine[Any, Any, R]]:
    @functools.wraps(function)
    async def observed(*args: P.args, **kwargs: P.kwargs) -> R:
        span = observation.begin(args, kwargs)
        try:
            with _current(span):
                result = await function(*args, **kwargs)
        except BaseException as error:
            observation.fail(span, error)
            raise
        observation.end(span, result)
        return result

    return observed
