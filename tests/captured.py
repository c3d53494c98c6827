"""What tests ask of captured spans."""

from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from spanward import semconv
from spanward.testing import CapturedSpans

KEY: Final = b"0123456789abcdef0123456789abcdef"
OF_THE_MOMENT: Final = frozenset({semconv.RUNTIME_CPU_S, semconv.RUNTIME_GC_PAUSE_S})
"""What equal calls need not have in common: it is measured, and a collection of garbage comes when it comes."""


def only(spans: CapturedSpans) -> ReadableSpan:
    """Return the one span that ended."""
    (span,) = spans.finished
    return span


def attributes_of(spans: CapturedSpans) -> dict[str, Any]:
    """Return the attributes of the only span."""
    return dict(only(spans).attributes or {})


def hashes_of(spans: CapturedSpans) -> list[object]:
    """Return the input hashes, in the order in which the spans ended."""
    return [(span.attributes or {})[semconv.FEATURES_HASH] for span in spans.finished]
