"""What is known of the request reaches every call inside it, and threads that work is handed to."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace

import spanward
from captured import OF_THE_MOMENT, attributes_of
from spanward import semconv
from spanward.request import AUTHENTICATED, CLAIMED
from spanward.testing import CapturedSpans

REGION = semconv.DIMENSION_PREFIX + "region"


@spanward.inference("m")
def predict(text: str) -> str:
    """Answer."""
    return text


def test_calls_tell_what_the_request_says(spans: CapturedSpans) -> None:
    """Channel, client with its trust, dimensions and tokens come from it; of the client only the hash."""
    with spanward.request_context(
        channel="mail",
        client="alice",
        trust=AUTHENTICATED,
        dimensions={"region": "eu"},
        tokens=spanward.Tokens(input=3),
    ):
        predict("x")

    found = attributes_of(spans)
    assert (found[semconv.CHANNEL], found[REGION], found[semconv.CLIENT_TRUST]) == ("mail", "eu", AUTHENTICATED)
    assert found[semconv.GEN_AI_USAGE_INPUT_TOKENS] == 3
    assert "alice" not in str(found)


def test_the_call_wins_over_the_request(spans: CapturedSpans) -> None:
    """Constants, functions and what a result tells hold; the rest is the request's."""

    @spanward.inference(
        "m",
        channel="web",
        client=lambda text: "bob",
        dimensions={"region": "us"},
        tokens=spanward.Tokens(input=7),
    )
    def own(text: str) -> str:
        return text

    own("x")
    with spanward.request_context(
        channel="mail",
        client="alice",
        trust=AUTHENTICATED,
        dimensions={"region": "eu", "tier": "free"},
        tokens=spanward.Tokens(input=3),
    ):
        own("x")

    alone, inside = (dict(span.attributes or {}) for span in spans.finished)
    assert inside.pop(semconv.DIMENSION_PREFIX + "tier") == "free"
    assert {name: inside[name] for name in inside.keys() - OF_THE_MOMENT} == {
        name: alone[name] for name in alone.keys() - OF_THE_MOMENT
    }
    assert alone[semconv.CLIENT_TRUST] == CLAIMED


def test_an_inner_request_context_adds_to_the_outer(spans: CapturedSpans) -> None:
    """What is not given stays; afterwards the outer one holds again."""
    with spanward.request_context(client="alice", trust=AUTHENTICATED, dimensions={"region": "eu"}) as outer:
        with spanward.request_context(channel="mail", dimensions={"tier": "free"}) as inner:
            assert (inner.channel, inner.client, inner.trust) == ("mail", "alice", AUTHENTICATED)
            assert inner.dimensions == {"region": "eu", "tier": "free"}
        assert spanward.current_request() is outer
    assert spanward.current_request() is None


def test_a_handed_over_call_nests_and_tells_its_wait(spans: CapturedSpans) -> None:
    """In a pool the call is a child of where it was handed over, in its request, and says how long no thread was free."""
    busy = threading.Event()
    with ThreadPoolExecutor(1) as pool, trace.get_tracer("app").start_as_current_span("request") as parent:
        pool.submit(busy.wait)
        with spanward.request_context(channel="mail"):
            future = pool.submit(spanward.handoff(predict), "x")
        time.sleep(0.02)
        busy.set()
        assert future.result() == "x"

    call = spans.finished[0]
    found = dict(call.attributes or {})
    assert call.parent == parent.get_span_context()
    assert found[semconv.CHANNEL] == "mail"
    assert isinstance(wait := found[semconv.RUNTIME_WAIT_S], float)
    assert wait >= 0.02


def test_the_wait_is_told_once(spans: CapturedSpans) -> None:
    """Of several calls in one hand-over the first has waited."""

    def twice() -> None:
        predict("x")
        predict("y")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(spanward.handoff(twice)).result()

    first, second = (span.attributes or {} for span in spans.finished)
    assert semconv.RUNTIME_WAIT_S in first
    assert semconv.RUNTIME_WAIT_S not in second


def test_a_call_in_another_thread_than_its_request_tells_its_wait(spans: CapturedSpans) -> None:
    """As where a server runs sync code in a thread pool: the time counts from the request's receipt."""

    async def serve() -> None:
        with spanward.request_context(channel="web"):
            await asyncio.sleep(0.02)
            await asyncio.to_thread(predict, "x")
            predict("y")

    asyncio.run(serve())

    there, here = (span.attributes or {} for span in spans.finished)
    assert isinstance(wait := there[semconv.RUNTIME_WAIT_S], float)
    assert wait >= 0.02
    assert semconv.RUNTIME_WAIT_S not in here


def test_a_failing_handed_over_function_fails_as_without_us() -> None:
    """Its exception is the future's."""

    def fail() -> None:
        raise KeyError

    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyError):
        pool.submit(spanward.handoff(fail)).result()
