"""Spans as a user's test sees them."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

_exporter: Final = InMemorySpanExporter()


class CapturedSpans:
    """The spans that ended while they were captured."""

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        """Finished spans, in the order in which they ended."""
        return _exporter.get_finished_spans()


@contextmanager
def capture_spans() -> Generator[CapturedSpans]:
    """Keep every span that ends inside the block.

    OpenTelemetry lets the global TracerProvider be set once; the first use sets one that keeps spans in memory, or adds
    the memory to the one that is set.
    """
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        provider = TracerProvider(shutdown_on_exit=False)
        trace.set_tracer_provider(provider)
    if isinstance(provider, TracerProvider) and not getattr(provider, "_spanward_captures", False):
        provider.add_span_processor(SimpleSpanProcessor(_exporter))
        provider._spanward_captures = True  # type: ignore[attr-defined] # noqa: SLF001 # pyright: ignore
    _exporter.clear()
    yield CapturedSpans()
