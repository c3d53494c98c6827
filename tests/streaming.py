"""What tests ask of the spans of streams, and what the models that write them share."""

import time
from collections.abc import Callable
from typing import Final

from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import ReadableSpan

from spanward import semconv
from spanward.testing import CapturedSpans

DEADLINE_S: Final = 10.0
TRACER: Final = trace.get_tracer("model")
OWN: Final = "decode"
"""Name of a span that the model's own code makes for each of its steps."""


class ModelError(Exception):
    """What a model raises."""


def nothing_attached() -> bool:
    """Return whether nothing of ours is attached here."""
    return not get_current()


def streams_of(spans: CapturedSpans) -> list[ReadableSpan]:
    """Return the spans that have ended without those of the model's own code."""
    return [span for span in spans.finished if span.name != OWN]


def ended_as(spans: CapturedSpans, end: str, items: int, error: str | None = None) -> None:
    """Assert that there is one span of a stream, ended in one way after so many items."""
    (span,) = streams_of(spans)
    found = span.attributes or {}
    assert (found[semconv.STREAM_END], found[semconv.STREAM_ITEMS]) == (end, items)
    assert found.get(semconv.ERROR_TYPE) == error


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.001)
