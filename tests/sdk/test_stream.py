"""Streams of generators: one span from call to end however they end, and nothing of ours where the consumer runs."""

import asyncio
import contextvars
import gc
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from opentelemetry import trace

import spanward
from spanward.progress import ABANDONED, CANCELLED, COMPLETE, FAILED
from spanward.testing import CapturedSpans
from streaming import OWN, TRACER, ModelError, ended_as, nothing_attached, streams_of, wait_for

pytestmark = pytest.mark.usefixtures("nothing_left")


@spanward.inference("writer")
def words(count: int, failing: bool = False) -> Generator[str, str | None, int]:
    """Write so many words, each under a span of the model's own, and maybe fail."""
    with TRACER.start_as_current_span(OWN):
        for number in range(count):
            assert trace.get_current_span().is_recording()
            if (sent := (yield f"word {number}")) is not None:
                yield f"sent {sent}"
        if failing:
            raise ModelError
    return count


def test_a_sync_stream_read_to_its_end(spans: CapturedSpans) -> None:
    """The span lasts from the call to the end, and is current inside only."""
    stream = words(3)
    assert spans.finished == ()
    for _ in stream:
        assert nothing_attached()

    ended_as(spans, COMPLETE, 3)


def test_a_sync_stream_that_is_broken_off(spans: CapturedSpans) -> None:
    """With `break` the span ends where the consumer leaves, and what came is counted."""
    for _ in words(5):
        if nothing_attached():
            break

    ended_as(spans, ABANDONED, 1)


def test_a_sync_stream_that_is_deleted(spans: CapturedSpans) -> None:
    """With the last reference gone the span ends."""
    stream = words(5)
    next(stream)
    next(stream)
    del stream

    ended_as(spans, ABANDONED, 2)


def test_a_sync_stream_that_never_begins(spans: CapturedSpans) -> None:
    """A stream of which nobody asks an item is abandoned without one."""
    words(5)

    ended_as(spans, ABANDONED, 0)


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

    wait_for(lambda: len(streams_of(spans)) == 1)
    ended_as(spans, ABANDONED, 1)
    assert (streams_of(spans)[0].end_time or 0) < after + 5_000_000


def test_a_sync_stream_that_is_closed(spans: CapturedSpans) -> None:
    """`close` abandons, once."""
    stream = words(5)
    next(stream)
    stream.close()
    stream.close()

    ended_as(spans, ABANDONED, 1)


def test_a_sync_stream_that_raises(spans: CapturedSpans) -> None:
    """The error is the model's own, and the span tells its class and what came before."""
    with pytest.raises(ModelError):
        list(words(2, failing=True))

    ended_as(spans, FAILED, 2, f"{ModelError.__module__}.ModelError")


def test_a_sync_stream_whose_consumer_throws(spans: CapturedSpans) -> None:
    """What is thrown in and not caught there ends the span."""
    stream = words(5)
    next(stream)
    with pytest.raises(KeyError):
        stream.throw(KeyError("secret"))

    ended_as(spans, FAILED, 1, "KeyError")


def test_a_sync_stream_that_is_cancelled(spans: CapturedSpans) -> None:
    """A cancellation thrown in is told as one."""
    stream = words(5)
    next(stream)
    with pytest.raises(asyncio.CancelledError):
        stream.throw(asyncio.CancelledError())

    ended_as(spans, CANCELLED, 1, "asyncio.exceptions.CancelledError")


def test_generator_exit_thrown_in_abandons(spans: CapturedSpans) -> None:
    """`throw(GeneratorExit)` is what `close` is made of."""
    stream = words(5)
    next(stream)
    with pytest.raises(GeneratorExit):
        stream.throw(GeneratorExit())

    ended_as(spans, ABANDONED, 1)


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
    ended_as(spans, COMPLETE, 2)


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
