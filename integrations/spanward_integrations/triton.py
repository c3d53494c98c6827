"""Triton clients: one client span per inference, over HTTP and gRPC, in threads, callbacks and coroutines.

The trace goes along in the request's headers, which Triton continues. The version is what the server says it answered with: a
client that asks for none leaves the choice to the server. Tensors never leave: they are counted, and hashed with the key. Streams are
followed in `triton_streams.py`.
"""

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from time import time_ns
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary, finalize

from spanward import Call
from spanward._guard import Guard
from spanward_integrations.base import BaseInstrumentor
from spanward_integrations.patching import Patches
from spanward_integrations.triton_requests import Models, answer_of, arguments_of, read, with_trace
from spanward_integrations.triton_streams import Streams

_asking: Final = Guard("observing what Triton is asked")
_reading: Final = Guard("reading what Triton answered")


class TritonInstrumentor(BaseInstrumentor):
    """Instruments all of `tritonclient` that is installed: HTTP, gRPC, and both for asyncio.

    `instrument(outcome=...)` takes a function that says what an `InferResult` says; by default the form of its outputs tells.
    """

    _patches: ClassVar = Patches()  # of the class: the one instance is initialised each time it is asked for

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed."""
        return ("tritonclient >= 2.40",)

    def _instrument(self, **kwargs: Any) -> None:
        clients, streams = _Clients(kwargs), Streams(kwargs)
        for transport in ("http", "grpc"):
            try:
                plain: Any = import_module(f"tritonclient.{transport}")
                coroutines: Any = import_module(f"tritonclient.{transport}.aio")
            except (ImportError, RuntimeError):  # tritonclient raises the latter where an extra of its own is missing
                continue
            self._patches.wrap(plain.InferenceServerClient, "infer", clients.infer)
            self._patches.wrap(coroutines.InferenceServerClient, "infer", clients.infer_in_coroutine)
            if transport == "http":
                self._patches.wrap(plain.InferenceServerClient, "async_infer", clients.infer_later)
                self._patches.wrap(plain.InferAsyncRequest, "get_result", clients.get_result)
            else:
                self._patches.wrap(plain.InferenceServerClient, "async_infer", clients.infer_with_callback)
                self._patches.wrap(plain.InferenceServerClient, "start_stream", streams.start)
                self._patches.wrap(plain.InferenceServerClient, "async_stream_infer", streams.infer)
                self._patches.wrap(coroutines.InferenceServerClient, "stream_infer", streams.infer_in_coroutine)
                inner: Any = import_module("tritonclient.grpc._infer_stream")
                self._patches.wrap(inner._InferStream, "_init_handler", streams.open)  # noqa: SLF001 - where answers arrive

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - there is nothing to choose
        self._patches.undo()


class _Waiting:
    """An HTTP request whose answer nobody has taken yet."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.answered_at: int | None = None

    def answered(self, _: object) -> None:
        """Keep when the answer came, which may be long before it is taken."""
        self.answered_at = time_ns()

    def end(self) -> None:
        """End the call of a request that was thrown away."""
        self.call.end(end_time=self.answered_at)


class _Clients:
    """Wraps the methods of all clients.

    Args:
        settings: Those that were given to the instrumentor.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._models = Models(settings)
        self._waiting: WeakKeyDictionary[Any, _Waiting] = WeakKeyDictionary()

    def infer(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Observe a call that waits for its answer."""
        call, asked = self._begin(wrapped, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        try:
            result = wrapped(**asked)
        except BaseException as error:
            call.fail(error)
            raise
        self._end(call, result)
        return result

    async def infer_in_coroutine(
        self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Observe a call of a coroutine; one that is cancelled ends as one that failed."""
        call, asked = self._begin(wrapped, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        try:
            result = await wrapped(**asked)
        except BaseException as error:
            call.fail(error)
            raise
        self._end(call, result)
        return result

    def infer_with_callback(
        self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Observe a call over gRPC whose answer, error or cancellation a callback gets."""
        call, asked = self._begin(wrapped, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        callback: Callable[..., Any] = asked["callback"]

        def told(result: Any, error: Any) -> None:
            if error is None:
                self._end(call, result)
            else:
                call.fail(error)
            callback(result=result, error=error)

        try:
            return wrapped(**{**asked, "callback": told})
        except BaseException as error:
            call.fail(error)
            raise

    def infer_later(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Observe a call over HTTP whose answer is taken later, or never."""
        call, asked = self._begin(wrapped, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        try:
            request = wrapped(**asked)
        except BaseException as error:
            call.fail(error)
            raise
        with _asking:
            waiting = self._waiting[request] = _Waiting(call)
            request._greenlet.link(waiting.answered)  # noqa: SLF001 - there is no other way to hear of it
            finalize(request, waiting.end)
        return request

    def get_result(
        self, wrapped: Callable[..., Any], request: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """End the call of a request as its answer is taken; one that is not there yet goes on."""
        waiting = self._waiting.get(request)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            if waiting is not None and request._greenlet.ready():  # noqa: SLF001 - else only the waiting timed out
                waiting.call.fail(error)
            raise
        if waiting is not None:
            self._end(waiting.call, result, waiting.answered_at)
        return result

    def _begin(
        self, wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Call | None, dict[str, Any]]:
        """Return a call that has begun, and its arguments with the trace; no call where they do not fit the method."""
        with _asking:
            asked = arguments_of(wrapped, args, kwargs)
            if asked is None:
                return None, kwargs
            call = self._models.start(asked)
            return call, {**asked, "headers": with_trace(asked, call.context())}
        return None, kwargs

    def _end(self, call: Call, result: Any, at: int | None = None) -> None:
        with _reading:
            if not call.ended:
                response = result.get_response()
                call.set(version=read(response, "model_version") or None)
                if call.counts:
                    call.set(result=result if self._models.outcome is not None else answer_of(result, response))
        call.end(end_time=at)
