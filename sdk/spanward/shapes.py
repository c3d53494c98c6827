"""A decorator for every shape of callable: each keeps what Python can tell of it."""

import functools
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from time import thread_time_ns
from types import CoroutineType, MethodType
from typing import Any, Final, cast

from opentelemetry.context import attach

from spanward.call import Call, begin
from spanward.observation import Observation
from spanward.outcome import class_of
from spanward.progress import BRIEF_NS
from spanward.stream import AsyncStream, Stream, followed, is_stream
from spanward.tracing import detach

AnyFunction = Callable[..., Any]

_WHOLE: Final = frozenset({dict, list, tuple, str, float, int, bool, type(None)})  # no streams, told at a glance


def observe(function: AnyFunction, observation: Observation) -> AnyFunction:
    """Return a callable that does what a function does, and is observed.

    Args:
        function: A function, method, partial, or an object that can be called.
        observation: What is fixed about its calls.
    """
    called = _called(function)
    awaited = inspect.iscoroutinefunction(called) or _is_old_coroutine_function(called)
    if not awaited and (inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called)):
        return StreamFunction(function, observation)
    if awaited:
        return _named_as(function, _coroutine_function(function, observation))
    return _named_as(function, _function(function, observation))


def _called(function: AnyFunction) -> AnyFunction:
    """Return the function that runs when an object is called: of a partial that inside, of an instance its `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function):
        return function
    return cast("AnyFunction", cast("Any", type(function)).__call__)


def _is_old_coroutine_function(function: AnyFunction) -> bool:
    """Return whether `types.coroutine` made it: `inspect` takes it for a generator function, and it is awaited."""
    return bool(getattr(getattr(function, "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE)


def _named_as(function: AnyFunction, observed: AnyFunction) -> AnyFunction:
    """Give a wrapper name, documentation and signature; of a function its own attributes too."""
    return functools.update_wrapper(observed, function, updated=("__dict__",) if inspect.isroutine(function) else ())


def _function(function: AnyFunction, observation: Observation) -> AnyFunction:
    brief = False  # as the latest call was

    def observed(*args: Any, **kwargs: Any) -> Any:
        nonlocal brief
        call = begin(observation, args, kwargs)
        token = attach(call.context())
        since_ns = 0 if brief or not call.recording else thread_time_ns()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            if since_ns:
                call.cpu_ns = thread_time_ns() - since_ns
            detach(token)
            call.fail(error)
            raise
        if since_ns:
            call.cpu_ns = thread_time_ns() - since_ns
        detach(token)
        if type(result) not in _WHOLE:
            return _promised(call, result) if _is_future(result) else finish(call, result)
        call.end(result)
        brief = call.duration_ns < BRIEF_NS
        return result

    return observed


def _coroutine_function(function: AnyFunction, observation: Observation) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def observed(*args: Any, **kwargs: Any) -> Any:
        call = begin(observation, args, kwargs)
        token = attach(call.context())
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            detach(token)
            call.fail(error)
            raise
        detach(token)
        return finish(call, result)

    return observed


def finish(call: Call, result: Any) -> Any:
    """End a call with what was returned, or let it last as long as that does, and return it.

    Args:
        call: The call.
        result: What the function returned; a stream or a coroutine is not the answer yet.
    """
    stream = call.observation.stream
    if stream or (stream is None and is_stream(result)):
        return followed(call, result)
    if type(result) is CoroutineType:
        return _awaited(call, cast("Coroutine[Any, Any, Any]", result))
    call.end(result)
    return result


def _is_future(result: object) -> bool:
    kind = class_of(result)
    return issubclass(kind, Future) or hasattr(kind, "_asyncio_future_blocking")  # by which asyncio knows them


def _promised(call: Call, future: Any) -> Any:
    """Let a call last until a future is done. What a coroutine function returns is its answer: a task in it is work that goes on."""
    future.add_done_callback(functools.partial(_end_with, call))
    return future


def _end_with(call: Call, future: Any) -> None:
    """End a call with what a future holds."""
    failed: BaseException | None = getattr(future, "_exception", None)
    if failed is not None:
        call.fail(failed)  # asked in public, asyncio would no longer log it where nobody else asks
        return
    try:
        answer = future.result()
    except BaseException as error:  # noqa: BLE001 - whatever it is, who asks the future gets it
        call.fail(error)
    else:
        call.end(answer)


async def _awaited(call: Call, result: Coroutine[Any, Any, Any]) -> Any:
    token = attach(call.context())
    try:
        answer = await result
    except BaseException as error:
        detach(token)
        call.fail(error)
        raise
    detach(token)
    return finish(call, answer)


class StreamFunction:
    """A generator function, sync or async, whose calls are observed from the call on.

    A function that itself yields would begin with the first item only. Python's `inspect` takes this one for what it wraps,
    since it has that one's code object and the other attributes by which it knows functions.

    Args:
        function: The function.
        observation: What is fixed about its calls.
    """

    def __init__(self, function: AnyFunction, observation: Observation) -> None:
        # First, since it copies what a function holds, and that may be one like this.
        _named_as(function, cast("AnyFunction", self))
        called = cast("Any", _called(function))
        self._function = function
        self._observation = observation
        self._follow = AsyncStream if inspect.isasyncgenfunction(called) else Stream
        code = inspect.unwrap(called)
        self.__code__ = code.__code__
        self.__defaults__ = code.__defaults__
        self.__kwdefaults__ = code.__kwdefaults__
        if not hasattr(function, "__qualname__"):
            self.__name__ = self.__qualname__ = type(function).__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; the call ends with its stream."""
        call = begin(self._observation, args, kwargs)
        token = attach(call.context())  # what is called may be observed too, and then be a part of this
        try:
            inner = self._function(*args, **kwargs)
        except BaseException as error:
            detach(token)
            call.fail(error)
            raise
        detach(token)
        call.following = True
        return self._follow(call, inner)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> str | tuple[Any, ...]:
        # By name, as functions are; cloudpickle takes those that have none with all they hold.
        named = not {"<locals>", "<lambda>"} & set(self.__qualname__.split("."))
        return self.__qualname__ if named else (type(self), (self._function, self._observation))

    def __repr__(self) -> str:
        return f"<function {self.__qualname__} at {id(self):#x}>"
