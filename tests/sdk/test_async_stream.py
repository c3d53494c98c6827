"""Streams of async generators: one span from call to end however they end, and nothing of ours where the consumer runs."""

import asyncio
import contextvars
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import Any

import pytest
from opentelemetry import trace

import spanward
from spanward.progress import ABANDONED, CANCELLED, COMPLETE, FAILED
from spanward.testing import CapturedSpans
from streaming import TRACER, ModelError, ended_as, nothing_attached, streams_of, wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")


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


def test_an_async_stream_read_to_its_end(spans: CapturedSpans) -> None:
    """The span lasts from the call to the end, and is current inside only."""

    async def consume() -> None:
        async for _ in words_later(3):
            assert nothing_attached()

    asyncio.run(consume())
    ended_as(spans, COMPLETE, 3)


def test_an_async_stream_that_is_broken_off(spans: CapturedSpans) -> None:
    """With `break` the span ends at once, although the loop closes the generator later."""

    async def consume() -> None:
        async for _ in words_later(5):
            break
        ended_as(spans, ABANDONED, 1)

    asyncio.run(consume())
    ended_as(spans, ABANDONED, 1)


def test_an_async_stream_that_never_begins(spans: CapturedSpans) -> None:
    """A stream of which nobody asks an item is abandoned without one."""
    words_later(5)

    ended_as(spans, ABANDONED, 0)


def test_an_async_stream_that_is_closed(spans: CapturedSpans) -> None:
    """`aclose` abandons, once."""

    async def consume() -> None:
        stream: Any = words_later(5)
        await anext(stream)
        await stream.aclose()
        await stream.aclose()

    asyncio.run(consume())
    ended_as(spans, ABANDONED, 1)


def test_an_async_stream_that_outlives_its_loop(spans: CapturedSpans) -> None:
    """A generator that nobody closed before the loop ended is abandoned, without a word in the log."""
    kept: list[Any] = []

    async def consume() -> None:
        kept.append(words_later(5))
        await anext(kept[0])

    asyncio.run(consume())
    kept.clear()
    gc.collect()

    wait_for(lambda: len(streams_of(spans)) == 1)
    ended_as(spans, ABANDONED, 1)


def test_an_async_stream_that_raises(spans: CapturedSpans) -> None:
    """The error is the model's own, and the span tells its class and what came before."""

    async def consume() -> None:
        with pytest.raises(ModelError):
            async for _ in words_later(2, failing=True):
                pass

    asyncio.run(consume())
    ended_as(spans, FAILED, 2, f"{ModelError.__module__}.ModelError")


def test_an_async_stream_whose_consumer_throws(spans: CapturedSpans) -> None:
    """What is thrown in and not caught there ends the span."""

    async def consume() -> None:
        stream: Any = words_later(5)
        await anext(stream)
        with pytest.raises(KeyError):
            await stream.athrow(KeyError("secret"))

    asyncio.run(consume())
    ended_as(spans, FAILED, 1, "KeyError")


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
    wait_for(lambda: len(streams_of(spans)) == 1)
    ended_as(spans, ABANDONED, 1)


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
