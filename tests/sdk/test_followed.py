"""Streams that functions return and blocks follow: which are recognised, and that they pass for themselves."""

import asyncio
from collections.abc import Iterator
from typing import Self

import pytest

import spanward
from captured import attributes_of
from spanward import semconv
from spanward.progress import ABANDONED, COMPLETE
from spanward.testing import CapturedSpans
from streaming import ended_as

pytestmark = pytest.mark.usefixtures("nothing_left")


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


class Rows:
    """An iterable with a length, as data sets are."""

    def __len__(self) -> int:
        """Return how many there are."""
        return 2

    def __iter__(self) -> Iterator[str]:
        """Return them."""
        return iter(["a", "b"])


def test_a_stream_with_a_length_tells_it_and_a_generator_has_none(spans: CapturedSpans) -> None:
    """A progress bar finds what it would find without us; a generator is true though it has no items yet."""
    sized = spanward.inference("reader", stream=True)(lambda: Rows())()

    assert (len(sized), list(sized)) == (2, ["a", "b"])
    ended_as(spans, COMPLETE, 2)
    generated = spanward.inference("reader")(lambda: (row for row in Rows()))()
    assert generated
    assert not hasattr(generated, "__len__")
    generated.close()
