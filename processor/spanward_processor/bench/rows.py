"""The rows of the table: what is sent, through which pipelines, and what is to be reached."""

from dataclasses import dataclass, field
from typing import Final

from spanward_processor.bench.corpus import Shape


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        name: By which it is chosen.
        work: What it measures, in words.
        shape: What a request looks like.
        requests: Requests sent to each side per round: as many as fill whole windows, whose closing is a part of the work, but at a
            fixed rate so few that no side is silent for as long as spans may be late.
        gzip: Whether requests are compressed, coming in and going out.
        span_metrics: Whether the Collector derives metrics from spans.
        spans_per_s: Fixed rate; None for as fast as they are taken, 0 for half of what both sides can take.
        ratio: CPU seconds per million spans, ours over theirs, to be reached.
        pace_per_s: Spans per second of event time.
    """

    name: str
    work: str
    shape: Shape = field(default_factory=Shape)
    requests: int = 2_000
    gzip: bool = False
    span_metrics: bool = False
    spans_per_s: float | None = None
    ratio: float | None = None
    pace_per_s: float = 50_000.0


ROWS: Final = (
    Row("batch", "512-span requests; otlp -> batch -> otlp", ratio=0.6),
    Row("span-metrics", "512-span requests; otlp -> batch -> span_metrics + otlp", span_metrics=True, ratio=0.45),
    Row("gzip", "512-span requests, gzip in and out; otlp -> batch -> otlp", requests=1_000, gzip=True, ratio=0.6),
    Row("requests-64", "64-span requests; otlp -> batch -> otlp", Shape(spans=64), requests=8_000, ratio=1.0),
    Row("requests-1", "1-span requests; otlp -> batch -> otlp", Shape(spans=1), requests=10_000, pace_per_s=1_000.0),
    Row("attributes-5", "512-span requests, 5 attributes; otlp -> batch -> otlp", Shape(attributes=5)),
    Row(
        "attributes-60", "512-span requests, 60 attributes; otlp -> batch -> otlp", Shape(attributes=60), requests=1_000
    ),
    Row(
        "texts",
        "512-span requests, one text of 4 KB each; otlp -> batch -> otlp",
        Shape(text_bytes=4096),
        requests=400,
        pace_per_s=20_000.0,
    ),
    Row("series-1k", "512-span requests, 1,000 series; otlp -> batch -> otlp", Shape(series=1_000), requests=1_000),
    Row(
        "series-100",
        "512-span requests, 100 series, windows as often as in the next row",
        requests=600,
        pace_per_s=10_000,
    ),
    Row(
        "series-100k",
        "512-span requests, 100,000 series; otlp -> batch -> otlp",
        Shape(series=100_000),
        requests=600,
        pace_per_s=10_000,
    ),
    Row("latency", "512-span requests, half of what both can take", requests=400, spans_per_s=0.0),
    Row(
        "steady-1k",
        "64-span requests, 1,000 series; otlp -> batch -> otlp",
        Shape(spans=64, series=1_000),
        requests=600,
        spans_per_s=10_000,
        pace_per_s=10_000,
    ),
    Row(
        "steady-100k",
        "64-span requests, 100,000 series; otlp -> batch -> otlp",
        Shape(spans=64, series=100_000),
        requests=600,
        spans_per_s=10_000,
        pace_per_s=10_000,
    ),
)
"""Every row, in the order of the table."""
