"""Streams: one span from call to end however they end, and nothing of ours where the consumer runs."""

import asyncio
import contextvars
import gc
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any, Self

import pytest
from opentelemetry import trace
from opentelemetry.context import get_current

import spanward
from captured import attributes_of
from spanward import semconv
from spanward.progress import ABANDONED, CANCELLED, COMPLETE, FAILED
from spanward.testing import CapturedSpans

DEADLINE_S = 10.0
TRACER = trace.get_tracer("model")


class ModelError(Exception):
    """What a model raises."""


def outside() -> bool:
    """Return whether nothing of ours is attached here."""
    return not get_current()


def ended_as(spans: CapturedSpans, end: str, items: int, error: str | None = None) -> None:
    """Assert that there is one span of the stream, ended in one way after so many items."""
    found = attributes_of(spans)
    assert (found[semconv.STREAM_END], found[semconv.STREAM_ITEMS]) == (end, items)
    assert found.get(semconv.ERROR_TYPE) == error


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def no_detach_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test of this file may leave an error in the log, nor anything attached."""
    caplog.set_level(logging.ERROR)
    yield
    assert [record.getMessage() for record in caplog.records] == []
    assert outside()


@spanward.inference("writer")
def words(count: int, failing: bool = False) -> Generator[str, str | None, int]:
    """Write so many words, each under a span of the model's own, and maybe fail."""
    with TRACER.start_as_current_span("decode"):
        for number in range(count):
            assert trace.get_current_span().is_recording()
            if (sent := (yield f"word {number}")) is not None:
                yield f"sent {sent}"
        if failing:
            raise ModelError
    return count


@spanward.inference("writer")
async def words_later(count: int, failing: bool = False) -> AsyncIterator[str]:
    """Do the same in a coroutine, without a span of the model's own."""
    for number in range(count):
        await asyncio.sleep(0)
        assert trace.get_current_span().is_recording()
        yield f"word {number}"
    if failing:
        raise ModelError


@spanward.inference("writer")
async def endless() -> AsyncIterator[int]:
    """Make one item, and no second one ever."""
    yield 0
    await asyncio.Event().wait()
    yield 1


def only_ours(spans: CapturedSpans) -> CapturedSpans:
    """Return the spans of the stream without those of the model's own code."""

    class Ours(CapturedSpans):
        @property
        def finished(self) -> Any:
            return tuple(span for span in spans.finished if span.name != "decode")

    return Ours()


# --- sync -------------------------------------------------------------------------------------------------------------


def test_a_sync_stream_read_to_its_end(spans: CapturedSpans) -> None:
    """The span lasts from the call to the end, and is current inside only."""
    stream = words(3)
    assert spans.finished == ()
    for _ in stream:
        assert outside()

    ended_as(only_ours(spans), COMPLETE, 3)


def test_a_sync_stream_that_is_broken_off(spans: CapturedSpans) -> None:
    """With `break` the span ends where the consumer leaves, and what came is counted."""
    for _ in words(5):
        if outside():
            break

    ended_as(only_ours(spans), ABANDONED, 1)


def test_a_sync_stream_that_is_deleted(spans: CapturedSpans) -> None:
    """With the last reference gone the span ends."""
    stream = words(5)
    next(stream)
    next(stream)
    del stream

    ended_as(only_ours(spans), ABANDONED, 2)


def test_a_sync_stream_that_never_begins(spans: CapturedSpans) -> None:
    """A stream of which nobody asks an item is abandoned without one."""
    words(5)

    ended_as(only_ours(spans), ABANDONED, 0)


def test_a_sync_stream_in_a_cycle(spans: CapturedSpans) -> None:
    """Where only the garbage collector finds it, the span ends at the time of its last step."""
    stream = words(5)
    next(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    after = time.time_ns()
    time.sleep(0.01)
    del stream, cycle
    gc.collect()

    wait_for(lambda: len(only_ours(spans).finished) == 1)
    ended_as(only_ours(spans), ABANDONED, 1)
    assert (only_ours(spans).finished[0].end_time or 0) < after + 5_000_000


def test_a_sync_stream_that_is_closed(spans: CapturedSpans) -> None:
    """`close` abandons, once."""
    stream = words(5)
    next(stream)
    stream.close()
    stream.close()

    ended_as(only_ours(spans), ABANDONED, 1)


def test_a_sync_stream_that_raises(spans: CapturedSpans) -> None:
    """The error is the model's own, and the span tells its class and what came before."""
    with pytest.raises(ModelError):
        list(words(2, failing=True))

    ended_as(only_ours(spans), FAILED, 2, f"{__name__}.ModelError")


def test_a_sync_stream_whose_consumer_throws(spans: CapturedSpans) -> None:
    """What is thrown in and not caught there ends the span."""
    stream = words(5)
    next(stream)
    with pytest.raises(KeyError):
        stream.throw(KeyError("secret"))

    ended_as(only_ours(spans), FAILED, 1, "KeyError")


def test_a_sync_stream_that_is_cancelled(spans: CapturedSpans) -> None:
    """A cancellation thrown in is told as one."""
    stream = words(5)
    next(stream)
    with pytest.raises(asyncio.CancelledError):
        stream.throw(asyncio.CancelledError())

    ended_as(only_ours(spans), CANCELLED, 1, "asyncio.exceptions.CancelledError")


def test_generator_exit_thrown_in_abandons(spans: CapturedSpans) -> None:
    """`throw(GeneratorExit)` is what `close` is made of."""
    stream = words(5)
    next(stream)
    with pytest.raises(GeneratorExit):
        stream.throw(GeneratorExit())

    ended_as(only_ours(spans), ABANDONED, 1)


def test_values_go_in_and_come_out(spans: CapturedSpans) -> None:
    """`send` reaches the generator, and `yield from` gets what it returns."""

    def delegate() -> Generator[str, str | None, int]:
        return (yield from words(1))

    stream = delegate()
    assert next(stream) == "word 0"
    assert stream.send("hello") == "sent hello"
    with pytest.raises(StopIteration) as stop:
        next(stream)

    assert stop.value.value == 1
    ended_as(only_ours(spans), COMPLETE, 2)


def test_an_error_that_the_stream_catches_does_not_end_it(spans: CapturedSpans) -> None:
    """A generator may go on after `throw`."""

    @spanward.inference("writer")
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        except KeyError:
            yield 2

    stream: Any = stubborn()
    assert [next(stream), stream.throw(KeyError())] == [1, 2]
    assert spans.finished == ()
    assert list(stream) == []
    ended_as(spans, COMPLETE, 2)


def test_a_sync_stream_read_by_another_thread(spans: CapturedSpans) -> None:
    """Each step may run in another thread and context, as servers do it."""

    @spanward.inference("writer")
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    stream = numbers()
    for _ in range(3):
        thread = threading.Thread(target=lambda: contextvars.Context().run(next, stream, None))
        thread.start()
        thread.join()

    ended_as(spans, COMPLETE, 2)


def test_a_step_inside_a_step_is_refused_as_without_us(spans: CapturedSpans) -> None:
    """A generator that asks itself for an item gets Python's error, and the stream goes on."""

    @spanward.inference("writer")
    def selfish() -> Iterator[str]:
        try:
            next(stream)
        except ValueError as error:
            yield str(error)

    stream = selfish()
    assert list(stream) == ["generator already executing"]
    ended_as(spans, COMPLETE, 1)


# --- async ------------------------------------------------------------------------------------------------------------


def test_an_async_stream_read_to_its_end(spans: CapturedSpans) -> None:
    """The span lasts from the call to the end, and is current inside only."""

    async def consume() -> None:
        async for _ in words_later(3):
            assert outside()

    asyncio.run(consume())
    ended_as(only_ours(spans), COMPLETE, 3)


def test_an_async_stream_that_is_broken_off(spans: CapturedSpans) -> None:
    """With `break` the span ends at once, although the loop closes the generator later."""

    async def consume() -> None:
        async for _ in words_later(5):
            break
        ended_as(only_ours(spans), ABANDONED, 1)

    asyncio.run(consume())
    ended_as(only_ours(spans), ABANDONED, 1)


def test_an_async_stream_that_never_begins(spans: CapturedSpans) -> None:
    """A stream of which nobody asks an item is abandoned without one."""
    words_later(5)

    ended_as(only_ours(spans), ABANDONED, 0)


def test_an_async_stream_that_is_closed(spans: CapturedSpans) -> None:
    """`aclose` abandons, once."""

    async def consume() -> None:
        stream: Any = words_later(5)
        await anext(stream)
        await stream.aclose()
        await stream.aclose()

    asyncio.run(consume())
    ended_as(only_ours(spans), ABANDONED, 1)


def test_an_async_stream_that_outlives_its_loop(spans: CapturedSpans) -> None:
    """A generator that nobody closed before the loop ended is abandoned, without a word in the log."""
    kept: list[Any] = []

    async def consume() -> None:
        kept.append(words_later(5))
        await anext(kept[0])

    asyncio.run(consume())
    kept.clear()
    gc.collect()

    wait_for(lambda: len(only_ours(spans).finished) == 1)
    ended_as(only_ours(spans), ABANDONED, 1)


def test_an_async_stream_that_raises(spans: CapturedSpans) -> None:
    """The error is the model's own, and the span tells its class and what came before."""

    async def consume() -> None:
        with pytest.raises(ModelError):
            async for _ in words_later(2, failing=True):
                pass

    asyncio.run(consume())
    ended_as(only_ours(spans), FAILED, 2, f"{__name__}.ModelError")


def test_an_async_stream_whose_consumer_throws(spans: CapturedSpans) -> None:
    """What is thrown in and not caught there ends the span."""

    async def consume() -> None:
        stream: Any = words_later(5)
        await anext(stream)
        with pytest.raises(KeyError):
            await stream.athrow(KeyError("secret"))

    asyncio.run(consume())
    ended_as(only_ours(spans), FAILED, 1, "KeyError")


def test_an_async_stream_cancelled_while_it_makes_an_item(spans: CapturedSpans) -> None:
    """A cancelled task ends the span at once, as cancelled, with what came before."""

    async def consume() -> None:
        async for _ in endless():
            pass

    async def cancel() -> None:
        task = asyncio.ensure_future(consume())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ended_as(spans, CANCELLED, 1, "asyncio.exceptions.CancelledError")

    asyncio.run(cancel())


def test_an_async_stream_whose_consumer_is_cancelled_between_items(spans: CapturedSpans) -> None:
    """Then the stream is abandoned: it was not the model that was interrupted."""

    async def consume() -> None:
        async for _ in words_later(5):
            await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.ensure_future(consume())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    gc.collect()
    wait_for(lambda: len(only_ours(spans).finished) == 1)
    ended_as(only_ours(spans), ABANDONED, 1)


def test_an_async_stream_that_is_timed_out(spans: CapturedSpans) -> None:
    """`wait_for` around one item cancels the stream inside."""

    async def consume() -> None:
        stream: Any = endless()
        await anext(stream)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.01)

    asyncio.run(consume())
    ended_as(spans, CANCELLED, 1, "asyncio.exceptions.CancelledError")


class Forever:
    """Waits without any loop."""

    def __await__(self) -> Generator[None]:
        """Wait."""
        yield


def test_a_step_that_nobody_awaits_any_more(spans: CapturedSpans) -> None:
    """A step closed from outside, as at the end of a loop, undoes nothing of a context that never had our span."""

    @spanward.inference("writer")
    async def waiting() -> AsyncIterator[int]:
        await Forever()
        yield 1

    stream: Any = waiting()
    step = stream.__anext__()
    contextvars.copy_context().run(step.send, None)
    step.close()

    ended_as(spans, ABANDONED, 0)


def test_values_go_into_an_async_stream(spans: CapturedSpans) -> None:
    """`asend` reaches the generator."""

    @spanward.inference("writer")
    async def echo() -> AsyncGenerator[str, str]:
        sent = yield "ready"
        yield f"got {sent}"

    async def consume() -> list[str]:
        stream: Any = echo()
        return [await anext(stream), await stream.asend("x")]

    assert asyncio.run(consume()) == ["ready", "got x"]
    ended_as(spans, ABANDONED, 2)


def test_two_async_streams_at_once(spans: CapturedSpans) -> None:
    """Streams that take turns do not become each other's parents, and each is the parent of its own children."""

    @spanward.inference("writer")
    async def with_child(name: str) -> AsyncIterator[None]:
        for _ in range(2):
            with TRACER.start_as_current_span(f"child of {name}"):
                await asyncio.sleep(0)
            yield

    async def consume() -> None:
        streams = [with_child("one"), with_child("two")]
        for _ in range(3):
            for stream in streams:
                await anext(stream, None)

    asyncio.run(consume())
    streams = [span for span in spans.finished if span.name == "inference writer"]
    children = [span for span in spans.finished if span.name.startswith("child")]
    assert [span.parent for span in streams] == [None, None]
    for name, stream in zip(("one", "two"), streams, strict=True):
        assert [span.parent for span in children if span.name == f"child of {name}"] == [stream.context] * 2


# --- what is told -----------------------------------------------------------------------------------------------------


def test_times_of_a_stream(spans: CapturedSpans) -> None:
    """The time to the first item, between items and of the consumer are told apart."""

    @spanward.inference("writer", operation="chat")
    def slow() -> Iterator[str]:
        time.sleep(0.03)
        yield "a"
        time.sleep(0.01)
        yield "b"
        yield "c"

    for _ in slow():
        time.sleep(0.02)

    found: Any = attributes_of(spans)
    assert 0.03 <= found[semconv.STREAM_FIRST_ITEM_S] == found[semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK]
    assert found[semconv.STREAM_BETWEEN_ITEMS_MAX_S] >= 0.01
    assert 0.005 <= found[semconv.STREAM_BETWEEN_ITEMS_MEAN_S] <= found[semconv.STREAM_BETWEEN_ITEMS_MAX_S]
    assert found[semconv.STREAM_CONSUMER_S] >= 0.06


def chunk(finish: str | None = None, **usage: int) -> dict[str, Any]:
    """Return a chunk as OpenAI's API streams it."""
    return {
        "id": "r1",
        "model": "writer-0613",
        "choices": [{"delta": {"content": "secret"}, "finish_reason": finish}],
        "usage": usage or None,
    }


def test_usage_is_read_from_chunks(spans: CapturedSpans) -> None:
    """Streamed usage, reason and served model are told, and no content."""

    @spanward.inference("writer", operation="chat")
    def stream() -> Iterator[dict[str, Any]]:
        yield chunk()
        yield chunk("stop")
        yield chunk(prompt_tokens=7, completion_tokens=2)

    list(stream())

    found = attributes_of(spans)
    assert (found[semconv.GEN_AI_USAGE_INPUT_TOKENS], found[semconv.GEN_AI_USAGE_OUTPUT_TOKENS]) == (7, 2)
    assert found[semconv.GEN_AI_RESPONSE_FINISH_REASONS] == ("stop",)
    assert found[semconv.GEN_AI_RESPONSE_MODEL] == "writer-0613"
    assert "secret" not in str(found)


def test_partial_usage_is_kept_when_a_stream_is_abandoned(spans: CapturedSpans) -> None:
    """What came in two parts, as Anthropic's API has it, is told as far as it came."""

    @spanward.inference("writer", operation="chat")
    def stream() -> Iterator[dict[str, Any]]:
        yield {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
        yield {"type": "message_delta", "usage": {"output_tokens": 5}}
        yield {"type": "message_delta", "usage": {"output_tokens": 8}}

    for number, _ in enumerate(stream()):
        if number == 1:
            break

    found = attributes_of(spans)
    assert (found[semconv.GEN_AI_USAGE_INPUT_TOKENS], found[semconv.GEN_AI_USAGE_OUTPUT_TOKENS]) == (9, 5)
    assert found[semconv.STREAM_END] == ABANDONED


@pytest.mark.parametrize("read", [5, 2])
def test_functions_of_the_result_get_the_items(spans: CapturedSpans, read: int) -> None:
    """Of a stream they get the list of what came, abandoned or not."""

    @spanward.inference("writer", tokens=lambda items: spanward.Tokens(output=len(items)))
    def stream() -> Iterator[str]:
        yield from "abcde"

    for number, _ in enumerate(stream(), 1):
        if number == read:
            break

    assert attributes_of(spans)[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] == read


def test_the_only_labelled_item_speaks_for_the_call(spans: CapturedSpans) -> None:
    """One answer that comes as a stream is that answer."""

    @spanward.inference("writer")
    def stream() -> Iterator[dict[str, object]]:
        yield {"label": "a", "score": 0.75}

    list(stream())

    found = attributes_of(spans)
    assert (found[semconv.DECISION], found[semconv.SCORE]) == ("a", 0.75)


def test_labelled_items_are_told_as_statistics(spans: CapturedSpans) -> None:
    """Several answers are several items, and none of them speaks for the call."""

    @spanward.inference("writer", item_events=True)
    def stream() -> Iterator[dict[str, object]]:
        for label, score in (("a", 0.5), ("b", 0.75), ("a", 1.0)):
            yield {"label": label, "score": score}

    list(stream())

    found = attributes_of(spans)
    assert (found[semconv.BATCH_DECISIONS], found[semconv.BATCH_DECISION_COUNTS]) == (("a", "b"), (2, 1))
    assert (found[semconv.BATCH_SCORE_MIN], found[semconv.BATCH_SCORE_MEAN], found[semconv.BATCH_SCORE_MAX]) == (
        0.5,
        0.75,
        1.0,
    )
    assert semconv.DECISION not in found
    assert [(event.attributes or {})[semconv.DECISION] for event in spans.finished[0].events] == ["a", "b", "a"]


def test_numbers_of_a_stream_are_no_decisions(spans: CapturedSpans) -> None:
    """The ids of tokens are not classes."""

    @spanward.inference("writer")
    def stream() -> Iterator[int]:
        yield 17

    list(stream())

    assert semconv.DECISION not in attributes_of(spans)


# --- streams that functions return ------------------------------------------------------------------------------------


class Response:
    """A stream as clients of model servers return it: an iterator with a connection."""

    def __init__(self, items: list[str]) -> None:
        self._items = iter(items)
        self.open = True
        self.status = 200

    def __iter__(self) -> Iterator[str]:
        """Iterate over itself."""
        return self

    def __next__(self) -> str:
        """Return the next item."""
        return next(self._items)

    def __enter__(self) -> Self:
        """Keep the connection."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it."""
        self.open = False


def test_a_clients_stream_is_recognised(spans: CapturedSpans) -> None:
    """An iterator that can be closed is followed, and passes for itself."""
    response = Response(["a", "b"])
    stream = spanward.inference("writer")(lambda: response)()

    assert isinstance(stream, Response)
    assert (stream.status, spans.finished) == (200, ())
    with stream as entered:
        assert list(entered) == ["a", "b"]
    assert not response.open
    ended_as(spans, COMPLETE, 2)


def test_leaving_a_clients_stream_early_abandons_it(spans: CapturedSpans) -> None:
    """Its own `with` block ends the call."""
    with spanward.inference("writer")(lambda: Response(["a", "b"]))() as stream:
        next(stream)

    ended_as(spans, ABANDONED, 1)


def test_an_async_clients_stream_is_recognised(spans: CapturedSpans) -> None:
    """What a coroutine function returns is followed too."""

    class AsyncResponse:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> "AsyncResponse":
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return "x"

        async def close(self) -> None:
            """Close nothing."""

    @spanward.inference("writer")
    async def ask() -> AsyncResponse:
        return AsyncResponse()

    async def consume() -> list[str]:
        return [item async for item in await ask()]

    assert asyncio.run(consume()) == ["x", "x"]
    ended_as(spans, COMPLETE, 2)


def test_any_iterable_is_followed_on_request(spans: CapturedSpans) -> None:
    """`stream=True` follows what nobody would recognise, and a second reading of it is not the call's answer."""

    class Lazy:
        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

    stream = spanward.inference("writer", stream=True)(lambda: Lazy())()
    assert [list(stream), list(stream)] == [[1, 2], [1, 2]]
    ended_as(spans, COMPLETE, 2)


@pytest.mark.parametrize(
    ("stream", "result"),
    [(False, Response(["a"])), (None, map(str, [1])), (None, iter([1])), (True, 7)],
    ids=["not asked", "map", "list iterator", "no stream"],
)
def test_other_results_end_the_call_at_once(spans: CapturedSpans, stream: bool | None, result: object) -> None:
    """What is no stream, or shall not be followed, is returned as it is."""
    assert spanward.inference("writer", stream=stream)(lambda: result)() is result
    assert semconv.STREAM_END not in attributes_of(spans)


def test_a_block_lasts_as_long_as_the_stream_it_follows(spans: CapturedSpans) -> None:
    """`call.follow` keeps the span open beyond its `with` block."""

    def ask() -> Iterator[str]:
        with spanward.inference("writer") as call:
            return call.follow(iter(["a", "b"]))

    stream = ask()
    assert spans.finished == ()
    assert list(stream) == ["a", "b"]
    ended_as(spans, COMPLETE, 2)
