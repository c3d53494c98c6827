"""Models of Triton's Python backend: one span for each call of `execute`, or for each request of a decoupled model.

    @observe_model
    class TritonPythonModel:
        def initialize(self, args):
            spanward.configure(service_name="router")

Triton loads the class itself, so there is nothing to patch. Name and version are those that Triton says at `initialize`. The trace comes
from Triton where it traces, else from the request's parameters, into which Triton puts the headers it was told to forward.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final, NamedTuple, TypeVar, cast, overload
from weakref import WeakKeyDictionary

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

import spanward
from spanward import Call, Outcome
from spanward._guard import Guard
from spanward.progress import FAILED
from spanward_integrations.pushed import Pushed
from spanward_integrations.served import Asked, Tensors, begin, carried, joined, value_of, value_of_all

C = TypeVar("C")

_FINAL: Final = 1  # TRITONSERVER_RESPONSE_COMPLETE_FINAL of tritonserver.h
_ERROR: Final = "TritonError"

_asking: Final = Guard("looking at what Triton asks a model")
_reading: Final = Guard("reading what a model answers Triton")


@overload
def observe_model(model: type[C], /) -> type[C]: ...
@overload
def observe_model(
    *,
    outcome: Callable[[Any], Outcome] | None = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Callable[[type[C]], type[C]]: ...
def observe_model(
    model: Any = None,
    /,
    *,
    outcome: Callable[[Any], Outcome] | None = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Any:
    """Observe a `TritonPythonModel`; put it on the class.

    Args:
        model: The class.
        outcome: Says what the output tensors say, a mapping of arrays by name; by default their form tells.
        tracer_provider: Makes the spans; default the global one.
        meter_provider: Takes the metrics; default the global one.
    """
    settings = {"outcome": outcome, "tracer_provider": tracer_provider, "meter_provider": meter_provider}
    if model is not None:
        return _observed(model, settings)

    def observe(model: type[C]) -> type[C]:
        return cast("type[C]", _observed(model, settings))

    return observe


def _observed(model: Any, settings: Mapping[str, Any]) -> Any:
    known: WeakKeyDictionary[Any, _Model] = WeakKeyDictionary()
    initialize: Callable[..., Any] = getattr(model, "initialize", _nothing_to_do)
    execute: Callable[..., Any] = model.execute

    @wraps(initialize)
    def observed_initialize(self: Any, args: Mapping[str, str]) -> Any:
        with _asking:
            known[self] = _Model(args, settings)
        return initialize(self, args)

    @wraps(execute)
    def observed_execute(self: Any, requests: list[Any]) -> Any:
        running = known.get(self)
        return execute(self, requests) if running is None else running.execute(execute, self, requests)

    @wraps(execute)
    async def observed_coroutine(self: Any, requests: list[Any]) -> Any:
        running = known.get(self)
        if running is None:
            return await execute(self, requests)
        return await running.execute_in_coroutine(execute, self, requests)

    model.initialize = observed_initialize
    model.execute = observed_coroutine if iscoroutinefunction(execute) else observed_execute
    return model


def _nothing_to_do(model: object, args: Mapping[str, str]) -> None:
    """Initialize what has nothing to prepare: Triton lets a model do without."""


class _Model:
    """How the calls of one instance of a model are observed.

    Args:
        args: What Triton tells the model at `initialize`.
        settings: Those that were given for the class.
    """

    def __init__(self, args: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        policy = json.loads(args.get("model_config", "{}")).get("model_transaction_policy", {})
        self._is_decoupled = bool(policy.get("decoupled", False))
        self._outcome: Callable[[Any], Outcome] | None = settings["outcome"]
        self._inference = spanward.inference(
            args["model_name"], version=args["model_version"], framework="triton", **cast("Any", settings)
        )

    def execute(self, run: Callable[..., Any], model: object, requests: list[Any]) -> Any:
        """Observe `execute`."""
        begun = self._begin(requests)
        if begun is None:
            return run(model, requests)
        with begun.call.active():
            if not self._is_decoupled:
                begun.call.watch_cpu()
            try:
                answers = run(model, begun.requests)
            except BaseException as error:
                begun.fail(error)
                raise
        self._end(begun.call, answers)
        return answers

    async def execute_in_coroutine(self, run: Callable[..., Any], model: object, requests: list[Any]) -> Any:
        """Observe an `execute` that is a coroutine function."""
        begun = self._begin(requests)
        if begun is None:
            return await run(model, requests)
        with begun.call.active():
            try:
                answers = await run(model, begun.requests)
            except BaseException as error:
                begun.fail(error)
                raise
        self._end(begun.call, answers)
        return answers

    def _begin(self, requests: list[Any]) -> "_Begun | None":
        with _asking:
            asked = [_asked(request) for request in requests]
            if not self._is_decoupled:
                return _Begun(begin(self._inference, asked), (), requests)
            streams = tuple(Pushed(begin(self._inference, [one]), value_of, self._outcome) for one in asked)
            handed = [_Request(request, stream) for request, stream in zip(requests, streams, strict=True)]
            return _Begun(streams[0].call, streams, handed)
        return None

    def _end(self, call: Call, answers: Sequence[Any] | None) -> None:
        """End the call of a model that answers all at once; others end with their last answer."""
        if self._is_decoupled:
            return
        with _reading:
            if answers is not None and any(answer.has_error() for answer in answers if answer is not None):
                call.set(error=_ERROR)
            elif answers and call.counts:
                outputs = [_outputs(answer) for answer in answers if answer is not None]
                call.set(result=value_of_all(outputs) if self._outcome is None else joined(outputs))
        call.end()


class _Begun(NamedTuple):
    """What begins with a call of `execute`.

    Args:
        call: Of a decoupled model the first one; what the model does besides is told as its part.
        streams: The answers to each request of a decoupled model.
        requests: As the model shall see them.
    """

    call: Call
    streams: tuple[Pushed, ...]
    requests: list[Any]

    def fail(self, error: BaseException) -> None:
        """End all calls that are open yet."""
        for stream in self.streams:
            stream.end(error, FAILED)
        self.call.fail(error)


class _Request:
    """A request of a decoupled model, whose answers are seen on their way."""

    def __init__(self, request: Any, stream: Pushed) -> None:
        self._request = request
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    def get_response_sender(self) -> "_Sender":
        """Return what sends the answers."""
        return _Sender(self._request.get_response_sender(), self._stream)


class _Sender:
    """What sends the answers of one request."""

    def __init__(self, sender: Any, stream: Pushed) -> None:
        self._sender = sender
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sender, name)

    def send(self, response: Any = None, flags: int = 0) -> Any:
        """Send an answer, or that there are no more."""
        stream, failed, outputs = self._stream, False, None
        with _reading:
            if response is not None and not (failed := response.has_error()) and stream.call.counts:
                outputs = _outputs(response)  # before it is sent: then it is no longer ours
        sent = self._sender.send(response, flags)
        with _reading:
            if failed:
                stream.call.set(error=_ERROR)
            elif response is not None:
                stream.add(outputs)
            if flags & _FINAL:
                stream.end()
        return sent


def _asked(request: Any) -> Asked:
    tensors = {tensor.name(): _array_of(tensor) for tensor in request.inputs()}
    traced: str | None = request.trace().get_context() if hasattr(request, "trace") else None
    return Asked(tensors, carried(json.loads(traced)) if traced else carried(json.loads(request.parameters() or "{}")))


def _outputs(response: Any) -> Tensors:
    return {tensor.name(): _array_of(tensor) for tensor in response.output_tensors()}


def _array_of(tensor: Any) -> Any:
    """Return a tensor as an array that shares its memory; None of one on a device, since it would have to be copied."""
    return tensor.as_numpy() if tensor.is_cpu() else None
