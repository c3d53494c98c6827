"""What is told of a stream: its times, and what its items say."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

import spanward
from captured import attributes_of
from spanward import semconv
from spanward.progress import ABANDONED
from spanward.testing import CapturedSpans

pytestmark = pytest.mark.usefixtures("nothing_left")


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
