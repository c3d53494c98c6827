"""What tests ask of captured spans."""

from typing import Final

from spanward import semconv
from spanward.testing import CapturedSpans

KEY: Final = b"0123456789abcdef0123456789abcdef"
OF_THE_MOMENT: Final = frozenset({semconv.RUNTIME_CPU_S, semconv.RUNTIME_GC_PAUSE_S})
"""What equal calls need not have in common: it is measured, and a collection of garbage comes when it comes."""


def attributes_of(spans: CapturedSpans) -> dict[str, object]:
    """Return the attributes of the only span."""
    (span,) = spans.finished
    return dict(span.attributes or {})


def hashes_of(spans: CapturedSpans) -> list[object]:
    """Return the input hashes, in the order in which the spans ended."""
    return [(span.attributes or {})[semconv.FEATURES_HASH] for span in spans.finished]
