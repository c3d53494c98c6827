"""OpenAI-compatible clients: the real package against a server that speaks the wire format, and how calls of every form end."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel

import spanward
from captured import KEY, attributes_of, only
from instrumenting import instrumented
from openai_server import CACHED, COMPLETION_TOKENS, PROMPT_TOKENS, REASONING, SERVED, WORDS, OpenAIServer
from serving import serving
from spanward import semconv
from spanward.testing import CapturedSpans, capture_spans

Messages = list[Any]

SECRET = "hidden-question"
MESSAGES: Messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": SECRET}]
USAGE: Any = {"include_usage": True}
HOW = ("whole", "abandoned", "raising", "cancelled")


@pytest.fixture(scope="module")
def server() -> OpenAIServer:
    """The application that is served."""
    return OpenAIServer()


@pytest.fixture(scope="module")
def url(server: OpenAIServer) -> Iterator[str]:
    """Where it is served."""
    with serving(server.app) as address:
        yield f"http://{address}/v1"


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    """A sync client that does not try again."""
    with OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield client


@asynccontextmanager
async def async_client(url: str) -> AsyncGenerator[AsyncOpenAI]:
    """Give an async client that does not try again."""
    async with AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture(autouse=True)
def spans() -> Iterator[CapturedSpans]:
    """Spans of a test whose clients are instrumented."""
    with instrumented("openai"), capture_spans() as captured:
        spanward.configure(hashing_key=KEY)
        yield captured


def exact_usage(facts: dict[str, Any]) -> bool:
    """Return whether the tokens are those that the server said."""
    names = (
        semconv.GEN_AI_USAGE_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
        semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
    )
    counts = [facts.get(name) for name in names]
    return counts == [PROMPT_TOKENS, COMPLETION_TOKENS, CACHED, REASONING] and facts[semconv.TOKENS_SOURCE] == "exact"


def test_a_chat_is_one_client_span_by_the_conventions(client: OpenAI, spans: CapturedSpans) -> None:
    """Operation, provider, models, server, settings and reasons have the names of the GenAI conventions."""
    answer = client.chat.completions.create(model="router", messages=MESSAGES, temperature=0.5, max_tokens=9)

    span, facts = only(spans), attributes_of(spans)
    assert answer.choices[0].message.content == "".join(WORDS)
    assert (span.name, span.kind, span.status.status_code) == ("chat router", SpanKind.CLIENT, StatusCode.UNSET)
    assert exact_usage(facts)
    assert {
        name: facts[name] for name in facts if name.startswith(("gen_ai.re", "gen_ai.op", "gen_ai.pr", "server"))
    } == {
        semconv.GEN_AI_OPERATION_NAME: "chat",
        semconv.GEN_AI_PROVIDER_NAME: "openai",
        semconv.GEN_AI_REQUEST_MODEL: "router",
        semconv.GEN_AI_REQUEST_TEMPERATURE: 0.5,
        semconv.GEN_AI_REQUEST_MAX_TOKENS: 9,
        semconv.GEN_AI_RESPONSE_MODEL: SERVED,
        semconv.GEN_AI_RESPONSE_ID: "answer-1",
        semconv.GEN_AI_RESPONSE_FINISH_REASONS: ("stop",),
        semconv.SERVER_ADDRESS: "127.0.0.1",
        semconv.SERVER_PORT: client.base_url.port,
    }
    assert facts[semconv.MODEL_VERSION] == SERVED


def test_no_content_leaves(client: OpenAI, spans: CapturedSpans) -> None:
    """Neither question, answer nor an error's message is anywhere in a span."""
    client.chat.completions.create(model="router", messages=MESSAGES)
    list(client.chat.completions.create(model="router", messages=MESSAGES, stream=True))
    client.responses.create(model="router", input=SECRET, instructions="hidden-instruction")
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="fails", messages=MESSAGES)

    assert len(spans.finished) == 4
    parts = [(span.name, dict(span.attributes or {}), span.events, span.status.description) for span in spans.finished]
    assert "hidden" not in str(parts)


def test_the_hash_is_of_what_is_asked_now(client: OpenAI, spans: CapturedSpans) -> None:
    """The same question after other instructions has the same hash, and so has one that is written as parts."""
    parts: Messages = [{"role": "user", "content": [{"type": "text", "text": SECRET}]}]
    other: Messages = [{"role": "user", "content": "something else"}]
    for messages in (MESSAGES, MESSAGES[1:], parts, other):
        client.chat.completions.create(model="router", messages=messages)

    hashes = [(span.attributes or {})[semconv.FEATURES_HASH] for span in spans.finished]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]
    assert (spans.finished[0].attributes or {})[semconv.FEATURES_COUNT] == len(SECRET)


def test_messages_that_can_be_read_once_reach_the_server(
    client: OpenAI, server: OpenAIServer, spans: CapturedSpans
) -> None:
    """An iterator of messages is not used up by looking at it."""
    client.chat.completions.create(model="router", messages=iter(MESSAGES))

    assert server.bodies[-1]["messages"] == MESSAGES
    assert semconv.FEATURES_HASH not in attributes_of(spans)


@pytest.mark.parametrize("options", [{}, {"stream_options": USAGE}], ids=["without usage", "with usage"])
def test_the_request_is_sent_as_it_is(
    client: OpenAI, server: OpenAIServer, spans: CapturedSpans, options: dict[str, Any]
) -> None:
    """Usage is told where the caller asked for it, and the integration asks for nothing by itself."""
    for _ in client.chat.completions.create(model="router", messages=MESSAGES, stream=True, **options):
        pass

    assert server.bodies[-1] == {"model": "router", "messages": MESSAGES, "stream": True, **options}
    assert exact_usage(attributes_of(spans)) if options else semconv.TOKENS_SOURCE not in attributes_of(spans)


def test_a_stream_is_one_span_until_its_end(client: OpenAI, spans: CapturedSpans) -> None:
    """Chunks are counted, the first one's time is told under the conventions' name, and the reason of the end is."""
    stream = client.chat.completions.create(model="router", messages=MESSAGES, stream=True, stream_options=USAGE)
    assert not spans.finished
    count = len(list(stream))

    facts = attributes_of(spans)
    assert isinstance(stream, openai.Stream)
    assert facts[semconv.STREAM_ITEMS] == count
    assert facts[semconv.STREAM_END] == "complete"
    assert facts[semconv.GEN_AI_REQUEST_STREAM] is True
    assert facts[semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] > 0
    assert facts[semconv.GEN_AI_RESPONSE_FINISH_REASONS] == ("stop",)
    assert facts[semconv.MODEL_VERSION] == SERVED


def opentelemetry_errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what OpenTelemetry complained of; the server logs that it broke off."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")]


def read(stream: Any, how: str) -> None:
    """Read a stream in one of the four ways."""
    items = iter(stream)
    next(items)
    if how == "whole":
        list(items)
    elif how == "abandoned":
        stream.close()
    elif how == "raising":
        list(items)
    else:
        with pytest.raises(asyncio.CancelledError), stream:
            raise asyncio.CancelledError


async def read_later(stream: Any, how: str, waits: asyncio.Event) -> None:
    """Do the same with an async one, and say when it waits for what does not come: then the task is cancelled."""
    items = aiter(stream)
    await anext(items)
    if how == "abandoned":
        await stream.close()
        return
    await anext(items)
    await anext(items)
    waits.set()
    async for _ in items:
        pass


MODELS = {"whole": "router", "abandoned": "waits", "raising": "breaks", "cancelled": "waits"}
ENDS = {"whole": "complete", "abandoned": "abandoned", "raising": "failed", "cancelled": "cancelled"}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_sync_streams_end_one_span(
    client: OpenAI,
    spans: CapturedSpans,
    caplog: pytest.LogCaptureFixture,
    surface: Literal["chat", "responses"],
    how: str,
) -> None:
    """Read whole, closed, broken off by the server or given up by a cancelled block: one span, its end told, nothing left."""
    with caplog.at_level(logging.ERROR, "opentelemetry"):
        if surface == "chat":
            stream: Any = client.chat.completions.create(model=MODELS[how], messages=MESSAGES, stream=True)
        else:
            stream = client.responses.create(model=MODELS[how], input=SECRET, stream=True)
        if how == "raising":
            with pytest.raises(openai.APIError):
                read(stream, how)
        else:
            read(stream, how)

    assert attributes_of(spans)[semconv.STREAM_END] == ENDS[how]
    assert attributes_of(spans)[semconv.STREAM_ITEMS] >= 1
    assert not trace.get_current_span().get_span_context().is_valid
    assert not opentelemetry_errors(caplog)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_async_streams_end_one_span(
    url: str, spans: CapturedSpans, caplog: pytest.LogCaptureFixture, surface: Literal["chat", "responses"], how: str
) -> None:
    """The same for async clients, where it is the reading task that is cancelled."""

    async def ask() -> None:
        async with async_client(url) as client:
            if surface == "chat":
                stream: Any = await client.chat.completions.create(model=MODELS[how], messages=MESSAGES, stream=True)
            else:
                stream = await client.responses.create(model=MODELS[how], input=SECRET, stream=True)
            waits = asyncio.Event()
            reading = asyncio.create_task(read_later(stream, how, waits))
            if how == "cancelled":
                await waits.wait()
                reading.cancel()
                await asyncio.wait([reading])
                assert reading.cancelled()
            elif how == "raising":
                with pytest.raises(openai.APIError):
                    await reading
            else:
                await reading

    with caplog.at_level(logging.ERROR, "opentelemetry"):
        asyncio.run(ask())

    assert attributes_of(spans)[semconv.STREAM_END] == ENDS[how]
    assert attributes_of(spans)[semconv.STREAM_ITEMS] >= 1
    assert not opentelemetry_errors(caplog)


def test_an_error_inside_a_stream_marks_its_span(client: OpenAI, spans: CapturedSpans) -> None:
    """A server that gives up after it began says so as an event, and the client raises."""
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="complains", messages=MESSAGES, stream=True))

    assert only(spans).status.status_code is StatusCode.ERROR
    assert attributes_of(spans)[semconv.ERROR_TYPE] == "openai.APIError"


@pytest.mark.parametrize("leaves", ["whole", "early", "raising"])
def test_the_stream_helper_ends_its_span_with_its_block(client: OpenAI, spans: CapturedSpans, leaves: str) -> None:
    """`chat.completions.stream` reads the stream for its user, and closes it when the block is left, whatever is still held."""
    held: list[object] = []

    def ask() -> None:
        with client.chat.completions.stream(model="router", messages=MESSAGES, stream_options=USAGE) as stream:
            held.append(stream)
            for _ in stream:
                if leaves == "early":
                    return
                if leaves == "raising":
                    raise KeyError(SECRET)

    if leaves == "raising":
        with pytest.raises(KeyError):
            ask()
    else:
        ask()

    assert attributes_of(spans)[semconv.STREAM_END] == ("complete" if leaves == "whole" else "abandoned")
    assert exact_usage(attributes_of(spans)) is (leaves == "whole")


@pytest.mark.parametrize("leaves", ["whole", "early"])
def test_the_async_stream_helpers_end_their_spans_with_their_blocks(
    url: str, spans: CapturedSpans, leaves: str
) -> None:
    """The same holds for both async helpers."""
    held: list[object] = []

    async def consume(manager: Any) -> None:
        async with manager as stream:
            held.append(stream)
            async for _ in stream:
                if leaves == "early":
                    return

    async def ask() -> None:
        async with async_client(url) as client:
            await consume(client.chat.completions.stream(model="router", messages=MESSAGES))
            await consume(client.responses.stream(model="router", input=SECRET))

    asyncio.run(ask())

    ends = [(span.attributes or {})[semconv.STREAM_END] for span in spans.finished]
    assert ends == ["complete" if leaves == "whole" else "abandoned"] * 2


@pytest.mark.parametrize(
    ("model", "error"), [("fails", openai.InternalServerError), ("limited", openai.RateLimitError)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_refusals_reach_the_caller_and_mark_the_span(
    client: OpenAI, spans: CapturedSpans, model: str, error: type[openai.APIError], stream: bool
) -> None:
    """An answer of 500 or 429 raises the client's own error; the span has its class."""
    with pytest.raises(error):
        client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)

    assert attributes_of(spans)[semconv.ERROR_TYPE] == f"openai.{error.__name__}"
    assert only(spans).status.status_code is StatusCode.ERROR


def test_retries_are_one_call(url: str, server: OpenAIServer, spans: CapturedSpans) -> None:
    """A client that tries again makes several requests and one span."""
    before = len(server.bodies)
    with OpenAI(base_url=url, api_key="k", max_retries=1) as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="limited", messages=MESSAGES)

    assert len(server.bodies) - before == 2
    assert only(spans).status.status_code is StatusCode.ERROR


def test_responses_and_their_streams_tell_usage(client: OpenAI, spans: CapturedSpans) -> None:
    """The Responses API tells usage at the end, of its streams in the last event."""
    client.responses.create(model="router", input=SECRET, max_output_tokens=7)
    list(client.responses.create(model="router", input=[{"role": "user", "content": SECRET}], stream=True))

    first, second = (dict(span.attributes or {}) for span in spans.finished)
    assert exact_usage(first)
    assert exact_usage(second)
    assert first[semconv.GEN_AI_REQUEST_MAX_TOKENS] == 7
    assert first[semconv.FEATURES_HASH] == second[semconv.FEATURES_HASH]


UNHAPPY = {"failed": "rate_limit_exceeded", "rambles": "failed", "errs": "server_error"}
"""Models whose responses come to an end that is none, and what they name as its cause."""


@pytest.mark.parametrize("model", UNHAPPY)
def test_a_stream_that_tells_of_an_error_is_a_call_that_failed(
    client: OpenAI, spans: CapturedSpans, model: str
) -> None:
    """Events of failure mark the span with their code, though the client raises nothing; a message is no code."""
    events = list(client.responses.create(model=model, input=SECRET, stream=True))

    assert events[-1].type in {"response.failed", "error"}
    assert attributes_of(spans)[semconv.ERROR_TYPE] == UNHAPPY[model]
    assert attributes_of(spans)[semconv.STREAM_END] == "failed"
    assert only(spans).status.status_code is StatusCode.ERROR
    assert "hidden" not in str(attributes_of(spans))


def test_an_async_stream_that_tells_of_an_error_is_a_call_that_failed(url: str, spans: CapturedSpans) -> None:
    """The async client's streams are read alike."""

    async def ask() -> None:
        async with async_client(url) as client:
            async for _ in await client.responses.create(model="failed", input=SECRET, stream=True):
                pass

    asyncio.run(ask())

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "rate_limit_exceeded"


def test_a_response_that_failed_is_a_call_that_failed(client: OpenAI, spans: CapturedSpans) -> None:
    """A whole response says it by its status."""
    client.responses.create(model="failed", input=SECRET)

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "rate_limit_exceeded"
    assert only(spans).status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "reason"), [("cut", "length"), ("filtered", "content_filter")])
def test_an_incomplete_response_finished_for_a_reason_and_did_not_fail(
    client: OpenAI, spans: CapturedSpans, model: str, reason: str, stream: bool
) -> None:
    """A limit of tokens and a filter are finish reasons, in the words of the conventions, as they are for a chat; no error."""
    answer: Any = client.responses.create(model=model, input=SECRET, stream=stream)
    if stream:
        assert list(answer)[-1].type == "response.incomplete"

    facts = attributes_of(spans)
    assert facts[semconv.GEN_AI_RESPONSE_FINISH_REASONS] == (reason,)
    assert semconv.ERROR_TYPE not in facts
    assert facts.get(semconv.STREAM_END, "complete") == "complete"
    assert only(spans).status.status_code is StatusCode.UNSET


def test_embeddings_tell_batch_and_tokens(client: OpenAI, spans: CapturedSpans) -> None:
    """Several texts are one call with a batch's size; there are no output tokens."""
    client.embeddings.create(model="embedder", input=["one", "two", "three"])

    span, facts = only(spans), attributes_of(spans)
    assert span.name == "embeddings embedder"
    assert facts[semconv.BATCH_SIZE] == 3
    assert facts[semconv.GEN_AI_USAGE_INPUT_TOKENS] == PROMPT_TOKENS
    assert semconv.GEN_AI_USAGE_OUTPUT_TOKENS not in facts


def test_completions_tell_usage(client: OpenAI, spans: CapturedSpans) -> None:
    """The older API, which model servers still offer, is observed too."""
    client.completions.create(model="router", prompt=SECRET)

    assert only(spans).name == "text_completion router"
    assert exact_usage(attributes_of(spans))


def test_a_parsed_answer_is_one_span(client: OpenAI, spans: CapturedSpans) -> None:
    """`parse` sends a request of its own, and the user gets what they get without us."""

    class Answer(BaseModel):
        text: str

    with pytest.raises(ValueError, match="JSON"):
        client.chat.completions.parse(model="router", messages=MESSAGES, response_format=Answer)

    assert attributes_of(spans)[semconv.ERROR_TYPE].endswith("ValidationError")


def test_raw_responses_tell_usage_and_stay_raw(client: OpenAI, spans: CapturedSpans) -> None:
    """Who asks for headers gets them; the answer is read once."""
    raw = client.chat.completions.with_raw_response.create(model="router", messages=MESSAGES)

    assert raw.headers["content-type"] == "application/json"
    assert raw.parse().usage is not None
    assert exact_usage(attributes_of(spans))


def test_a_streamed_raw_response_is_left_unread(client: OpenAI, spans: CapturedSpans) -> None:
    """Its body is the user's to read, so that the span ends with its headers."""
    with client.chat.completions.with_streaming_response.create(model="router", messages=MESSAGES) as raw:
        assert attributes_of(spans)[semconv.GEN_AI_REQUEST_MODEL] == "router"
        assert b"answer" in raw.read()


def test_async_calls_run_side_by_side(url: str, spans: CapturedSpans) -> None:
    """Calls of several tasks are a span each, all of them children of the caller's."""

    async def ask() -> None:
        async with async_client(url) as client:
            tracer = trace.get_tracer("test")
            with tracer.start_as_current_span("outer"):
                asked = (client.chat.completions.create(model="router", messages=MESSAGES) for _ in range(4))
                await asyncio.gather(*asked)

    asyncio.run(ask())

    *chats, outer = spans.finished
    assert len(chats) == 4
    assert all(span.parent == outer.get_span_context() for span in chats)
    assert all(exact_usage(dict(span.attributes or {})) for span in chats)


def test_a_decorated_function_without_a_name_is_the_same_call(client: OpenAI, spans: CapturedSpans) -> None:
    """`@spanward.inference` above a client's call makes one span, which has the model's name and tokens."""

    @spanward.inference
    def ask(question: str) -> str:
        answer = client.chat.completions.create(model="router", messages=[{"role": "user", "content": question}])
        return answer.choices[0].message.content or ""

    ask(SECRET)

    assert only(spans).name == "chat router"
    assert exact_usage(attributes_of(spans))
