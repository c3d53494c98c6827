"""Streams of Triton's gRPC clients: one span for each request of a stream, from when it is sent to its last answer.

Answers say by the request's id which request they belong to; without ids they are taken in the order of the requests. A model may say
by an answer without content that there are no more. The client hears of that only where it asked to; the client in threads is made to
ask, and what it did not ask for is kept from it. The one for asyncio cannot ask: there such a request lasts until its stream ends.
"""

from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from importlib import import_module
from threading import Lock
from typing import Any, Final, NamedTuple, cast
from weakref import WeakKeyDictionary

from spanward._guard import Guard
from spanward.failure import error_type
from spanward.progress import CANCELLED, COMPLETE, FAILED
from spanward_integrations.pushed import Pushed
from spanward_integrations.triton_requests import Models, answer_of, arguments_of, with_trace

MOST_OPEN: Final = 1024
"""Requests of one stream that are open at a time; of more the oldest ends, since nobody may ever say that it is done."""

_FINAL: Final = "triton_final_response"
_SERVER_ERROR: Final = "tritonclient.utils.InferenceServerException"  # as the client tells all errors of a stream

_following: Final = Guard("following a stream of Triton")


class Streams:
    """Wraps the methods of clients that have to do with streams.

    Args:
        settings: Those that were given to the instrumentor.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._models = Models(settings)
        self._streams: WeakKeyDictionary[Any, Stream] = WeakKeyDictionary()

    def start(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let a stream carry the trace in which it is started."""
        asked = arguments_of(wrapped, args, kwargs)
        return wrapped(*args, **kwargs) if asked is None else wrapped(**{**asked, "headers": with_trace(asked)})

    def open(self, wrapped: Callable[..., Any], handle: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See the answers of a stream before the client does."""
        (answers,) = args
        stream = self._streams[handle] = Stream(self._models)
        return wrapped(Answers(answers, stream), **kwargs)

    def infer(self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Observe one request of a stream."""
        handle = getattr(client, "_stream", None)
        stream = None if handle is None else self._streams.get(handle)  # one that was open before us is not observed
        asked = arguments_of(wrapped, args, kwargs)
        if stream is None or asked is None or (answers := stream.asked(asked)) is None:
            return wrapped(*args, **kwargs)
        try:
            return wrapped(**{**asked, "enable_empty_final_response": True})
        except BaseException as error:
            stream.refused(answers, error)
            raise

    def infer_in_coroutine(
        self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Observe each request of a stream of the client for asyncio."""
        asked, stream = arguments_of(wrapped, args, kwargs), Stream(self._models)
        if asked is None:
            return wrapped(*args, **kwargs)
        requests = _each_asked(asked["inputs_iterator"], stream)
        answers = wrapped(**{**asked, "headers": with_trace(asked), "inputs_iterator": requests})
        answers._grpc_call = LaterAnswers(answers._grpc_call, stream)  # noqa: SLF001 - there is no other way to see them
        return answers


class _Open(NamedTuple):
    """A request that waits for answers.

    Args:
        request_id: What its answers are known by.
        answers: Its call.
        hears_of_end: Whether the client asked to hear of an end without content.
    """

    request_id: str
    answers: Pushed
    hears_of_end: bool


class Stream:
    """The open requests of one stream.

    Args:
        models: The models that are asked.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._open: list[_Open] = []
        self._lock = Lock()

    def asked(self, request: Mapping[str, Any]) -> Pushed | None:
        """Begin the call of a request before it is sent, since the answer may come at once.

        Args:
            request: The client's arguments.
        """
        with _following:
            hears = bool(request.get("enable_empty_final_response", False))
            answers = Pushed(self._models.start(request), _value_of, self._models.outcome)
            with self._lock:
                self._open.append(_Open(str(request.get("request_id") or ""), answers, hears))
                oldest = self._open.pop(0) if len(self._open) > MOST_OPEN else None
            if oldest is not None:
                oldest.answers.abandon()
            return answers
        return None

    def refused(self, answers: Pushed, error: BaseException) -> None:
        """End the call of a request that could not be sent."""
        with self._lock:
            self._open = [one for one in self._open if one.answers is not answers]
        answers.end(error, FAILED)

    def answered(self, response: Any) -> bool:
        """Tell an answer to the request it belongs to, and return whether the client shall get it."""
        with _following:
            message, failed = response.infer_response, bool(response.error_message)
            found, is_last = self._find(message.id, or_any=failed), _is_last(message, failed)
            if found is None:
                return True
            is_empty = is_last and not failed and not message.outputs
            if failed:
                found.answers.call.set(error=_SERVER_ERROR)
            elif not is_empty:
                found.answers.call.set(version=message.model_version or None)
                found.answers.add(_result_of(message))
            if is_last:
                with self._lock, suppress(ValueError):  # another thread may have closed the stream meanwhile
                    self._open.remove(found)
                found.answers.end()
            return found.hears_of_end or not is_empty
        return True

    def close(self, how: str) -> None:
        """End the calls of all requests that are open yet."""
        with self._lock:
            left, self._open = self._open, []
        for one in left:
            one.answers.end(how=how)

    def abandon(self) -> None:
        """End them without knowing what became of them."""
        with self._lock:
            left, self._open = self._open, []
        for one in left:
            one.answers.abandon()

    def broke(self, error: BaseException, kind: str) -> None:
        """End them as the stream has.

        Args:
            error: What ended the stream.
            kind: What the client makes of it.
        """
        code: Any = getattr(error, "code", None)
        cancelled = isinstance(error, CancelledError) or (callable(code) and getattr(code(), "name", "") == "CANCELLED")
        with _following:
            with self._lock:
                for one in self._open:
                    one.answers.call.set(error=kind)
            self.close(CANCELLED if cancelled else FAILED)

    def _find(self, request_id: str, *, or_any: bool) -> _Open | None:
        """Return the oldest request of an id; of an error without one the oldest."""
        with self._lock:
            found = next((one for one in self._open if one.request_id == request_id), None)
            return self._open[0] if found is None and or_any and not request_id and self._open else found


class Answers:
    """The answers of a stream, as the client in threads reads them."""

    def __init__(self, answers: Any, stream: Stream) -> None:
        self._answers = answers
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answers, name)

    def __iter__(self) -> "Answers":
        return self

    def __next__(self) -> Any:
        while True:
            try:
                response = next(self._answers)
            except StopIteration:
                self._stream.close(COMPLETE)
                raise
            except BaseException as error:
                self._stream.broke(error, _SERVER_ERROR)
                raise
            if self._stream.answered(response):
                return response


class LaterAnswers:
    """The same, as the client for asyncio reads them; one that is dropped before its end abandons its requests."""

    def __init__(self, answers: Any, stream: Stream) -> None:
        self._answers = answers
        self._stream = stream

    def __del__(self) -> None:
        if "_stream" in self.__dict__:
            self._stream.abandon()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answers, name)

    def __aiter__(self) -> "LaterAnswers":
        return self

    async def __anext__(self) -> Any:
        try:
            response = await self._answers.__aiter__().__anext__()
        except StopAsyncIteration:
            self._stream.close(COMPLETE)
            raise
        except BaseException as error:
            self._stream.broke(error, error_type(error))
            raise
        self._stream.answered(response)
        return response


async def _each_asked(requests: Any, stream: Stream) -> AsyncIterator[Any]:
    """Yield a stream's requests as they are sent, each after its call has begun.

    Args:
        requests: The client's async iterator of arguments.
        stream: The stream.
    """
    async for request in requests:
        asked = cast("dict[str, Any]", request) if isinstance(request, dict) else {}
        if "model_name" in asked and "inputs" in asked:
            stream.asked(asked)
        yield request


def _is_last(message: Any, failed: bool) -> bool:
    """Return whether an answer is its request's last; an error of what the server did not take up says nothing of it."""
    if _FINAL in message.parameters:
        return bool(message.parameters[_FINAL].bool_param)
    return failed


def _result_of(message: Any) -> Any:
    """Return an answer as the client gives it to its caller."""
    return import_module("tritonclient.grpc").InferResult(message)


def _value_of(result: Any) -> object:
    return answer_of(result, result.get_response())
