"""OpenAI-compatible clients: one span per request of the package `openai`, to whatever server it is sent.

Chat, responses, completions and embeddings, sync and async, whole and streamed. The caller's request is sent as it is: usage of a
chat's stream is known only where the caller asked for it (`stream_options={"include_usage": True}`), and is never guessed.
A call lasts until its stream ends, however it ends; retries of the client are part of it.
"""

import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, ClassVar, Final, NamedTuple, cast

from opentelemetry.trace import SpanKind

import spanward
from spanward import Call, Inference, Outcome, semconv
from spanward._guard import Guard
from spanward.extract.chat import of_response
from spanward.outcome import NOTHING
from spanward_integrations.asking import ask
from spanward_integrations.base import BaseInstrumentor
from spanward_integrations.patching import Patches

Client = Any  # what of openai is used has no types that hold for all its versions

_RAW_HEADER: Final = "x-stainless-raw-response"  # by which the client itself knows that a raw response is asked for
_ROLES_OF_ASKING: Final = frozenset({"user", "tool", "function"})
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEPT_MODELS: Final = 256
_NOTHING_ASKED: Final = object()

_asking: Final = Guard("looking at a request to a model's server")
_reading: Final = Guard("reading the response of a model's server")


class _Surface(NamedTuple):
    """One kind of request.

    Args:
        module: Where its resources are.
        resource: Name of the sync one; that of the async one begins with `Async`.
        methods: What sends a request.
        operation: Name of it in the GenAI conventions.
        argument: What holds the model's input.
    """

    module: str
    resource: str
    methods: tuple[str, ...]
    operation: str
    argument: str


SURFACES: Final = (
    _Surface("openai.resources.chat.completions", "Completions", ("create", "parse"), "chat", "messages"),
    _Surface("openai.resources.responses", "Responses", ("create", "parse"), "chat", "input"),
    _Surface("openai.resources.completions", "Completions", ("create",), "text_completion", "prompt"),
    _Surface("openai.resources.embeddings", "Embeddings", ("create",), "embeddings", "input"),
)
"""What is observed; `stream` of chat and responses sends its request by `create`."""

HELPERS: Final = (
    ("openai.lib.streaming.chat", "ChatCompletionStream"),
    ("openai.lib.streaming.responses", "ResponseStream"),
)
"""What `stream` returns: it closes the connection beneath the stream that it reads."""

_NUMBERS: Final = {
    "temperature": semconv.GEN_AI_REQUEST_TEMPERATURE,
    "top_p": semconv.GEN_AI_REQUEST_TOP_P,
    "max_tokens": semconv.GEN_AI_REQUEST_MAX_TOKENS,
    "max_completion_tokens": semconv.GEN_AI_REQUEST_MAX_TOKENS,
    "max_output_tokens": semconv.GEN_AI_REQUEST_MAX_TOKENS,
}
"""Arguments that are told as they are where they are numbers."""


class OpenAIInstrumentor(BaseInstrumentor):
    """Instruments all OpenAI clients of a process, those that are there already too."""

    _patches: ClassVar = Patches()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed."""
        return ("openai >= 2.0",)

    def _instrument(self, **kwargs: Any) -> None:
        requests = _Requests(kwargs)
        for surface in SURFACES:
            module = import_module(surface.module)
            for method in surface.methods:
                self._patches.wrap(getattr(module, surface.resource), method, requests.sync(surface))
                self._patches.wrap(getattr(module, "Async" + surface.resource), method, requests.asynchronous(surface))
        for name, helper in HELPERS:
            module = import_module(name)
            self._patches.wrap(getattr(module, helper), "close", _close)
            self._patches.wrap(getattr(module, "Async" + helper), "close", _close_later)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - there is nothing to choose
        self._patches.undo()


# --- a request -------------------------------------------------------------------------------------------------------


class _Requests:
    """Wraps what sends requests.

    Args:
        providers: Those that were given to the instrumentor.
    """

    def __init__(self, providers: Mapping[str, Any]) -> None:
        given = {name: providers.get(name) for name in ("tracer_provider", "meter_provider")}

        @lru_cache(_KEPT_MODELS)
        def inference(model: str, operation: str, provider: str) -> Inference:
            return spanward.inference(
                model, operation=operation, provider=provider, span_kind=SpanKind.CLIENT, **cast("Any", given)
            )

        self._inference = inference

    def sync(self, surface: _Surface) -> Callable[..., Any]:
        """Return what observes requests of sync clients."""

        def send(wrapped: Callable[..., Any], resource: Client, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self._begin(surface, resource, kwargs)
            return _finish(call, kwargs, ask(call, wrapped, args, kwargs))

        return send

    def asynchronous(self, surface: _Surface) -> Callable[..., Any]:
        """Return what observes requests of async clients; one that is never awaited is no call."""

        async def send(
            wrapped: Callable[..., Any], resource: Client, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            call = self._begin(surface, resource, kwargs)
            with call.active():
                try:
                    result = await wrapped(*args, **kwargs)
                except BaseException as error:
                    call.fail(error)
                    raise
            return _finish(call, kwargs, result)

        return send

    def _begin(self, surface: _Surface, resource: Client, asked: Mapping[str, Any]) -> Call:
        model, client = str(asked.get("model") or "default"), getattr(resource, "_client", None)
        provider = "azure.ai.openai" if "Azure" in type(client).__name__ else "openai"
        inference = self._inference(model, surface.operation, provider)
        value: object = _NOTHING_ASKED
        with _asking:
            value = _input_of(asked.get(surface.argument, _NOTHING_ASKED))
        call = inference.start() if value is _NOTHING_ASKED else inference.start(value)
        with _asking:
            _tell_request(call, client, asked)
        return call


def _input_of(asked: object) -> object:
    """Return what is asked now, as text where it is one.

    Of a conversation that is what was said last by somebody else than the model: instructions that stand in every request
    would make all of them near-repeats of each other. Anything that can be read only once is left alone.
    """
    if isinstance(asked, str) or not isinstance(asked, (list, tuple)):
        return asked if isinstance(asked, str) else _NOTHING_ASKED
    items = cast("list[object] | tuple[object, ...]", asked)
    for item in reversed(items):
        if isinstance(item, Mapping):
            message = cast("Mapping[str, object]", item)
            if message.get("role") in _ROLES_OF_ASKING:
                return _text_of(message.get("content"))
    return items


def _text_of(content: object) -> object:
    """Return a message's content: one text where its only part is one."""
    given = content
    if isinstance(given, list) and len(parts := cast("list[object]", given)) == 1 and isinstance(parts[0], Mapping):
        text = cast("Mapping[str, object]", parts[0]).get("text")
        if isinstance(text, str):
            return text
    return content if isinstance(content, str) else {"content": content}


def _tell_request(call: Call, client: Client, asked: Mapping[str, Any]) -> None:
    """Add what the request says: where it goes, and how the model shall answer."""
    if not call.recording:
        return
    url: Any = getattr(client, "base_url", None)
    if host := getattr(url, "host", None):
        call.facts[semconv.SERVER_ADDRESS] = str(host)
        call.facts[semconv.SERVER_PORT] = int(getattr(url, "port", None) or (80 if url.scheme == "http" else 443))
    if asked.get("stream") is True:
        call.facts[semconv.GEN_AI_REQUEST_STREAM] = True
    for argument, name in _NUMBERS.items():
        value = asked.get(argument)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            call.facts[name] = value


def _finish(call: Call, asked: Mapping[str, Any], result: Any) -> Any:
    """End the call with the response, or let it last as long as its stream.

    A raw response is the caller's to read: what the server said is told where that was read already, as the client itself
    reads it; of a stream nothing more is known then.
    """
    raw, read = _raw(asked), _reader(call, asked)
    if raw is None:
        if asked.get("stream") is True:
            return call.follow(result, outcome=read)
        with _reading:
            call.set(result=read(result))
    elif raw == "true" and asked.get("stream") is not True:
        with _reading:
            call.set(result=read(result.parse()))
    call.end()
    return result


def _reader(call: Call, asked: Mapping[str, Any]) -> Callable[[object], Outcome]:
    """Return what reads a response or a chunk: usage, model, id and why it stopped, never a text.

    A server that names the model more exactly than the caller did says so which version of it answered.
    """
    model = asked.get("model")

    def read(response: object) -> Outcome:
        outcome = of_response(response) or NOTHING
        if outcome.served is not None and outcome.served != model and semconv.MODEL_VERSION not in call.facts:
            call.set(version=outcome.served)
        if (error := _error_in(response)) is not None:
            call.set(error=error)
        return outcome

    return read


def _error_in(response: Any) -> str | None:
    """Return what went wrong where it is not raised: Responses tell of it by their status, their streams by events too.

    One that is incomplete went as it was asked: to a limit of tokens, or into a filter. That is a reason to finish, as it is for a chat.
    """
    if getattr(response, "type", None) == "error":
        return _kind(getattr(response, "code", None), "error")
    whole = getattr(response, "response", response)
    if getattr(whole, "object", None) != "response":
        return None
    return _kind(getattr(whole.error, "code", None), "failed") if whole.status == "failed" else None


def _kind(given: object, otherwise: str) -> str:
    """Return the code of an error where it is one: servers that only resemble OpenAI's may send a message in its place."""
    return given if isinstance(given, str) and _CODE.fullmatch(given) else otherwise


def _raw(asked: Mapping[str, Any]) -> str | None:
    """Return which raw response is asked for, as the client's own header says it."""
    headers: object = asked.get("extra_headers")
    if not isinstance(headers, Mapping):
        return None
    named = cast("Mapping[str, object]", headers)
    return next((str(value) for name, value in named.items() if name.lower() == _RAW_HEADER), None)


# --- streams that the client reads for its user ----------------------------------------------------------------------


def _close(wrapped: Callable[..., Any], helper: Client, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Close the stream beneath, which ends its call, and then what reads it."""
    helper._raw_stream.close()  # noqa: SLF001 - it has no other name
    return wrapped(*args, **kwargs)


async def _close_later(
    wrapped: Callable[..., Any], helper: Client, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    await helper._raw_stream.close()  # noqa: SLF001
    return await wrapped(*args, **kwargs)
