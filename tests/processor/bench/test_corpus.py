"""The corpus is what it says: its sizes, its shape, its times."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv
from spanward_processor.bench.corpus import SPAN_MARK, STAMP_DIGITS, STAMP_MARK, Corpus, Feed, Shape
from spanward_processor.decode import decode
from spanward_processor.roles import role_table

SEED = 7
START_NS = 1_700_000_000_000_000_000


def feed(shape: Shape, pace_per_s: float = 1_000.0) -> Feed:
    """Return a feed of a new corpus."""
    return Feed(Corpus(shape, SEED), START_NS, pace_per_s, SEED)


def spans_of(request: bytes) -> list[Span]:
    """Return the spans the official parser sees."""
    return list(ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans)


@pytest.mark.parametrize(
    ("shape", "least", "most"),
    [
        (Shape(), 500, 520),
        (Shape(spans=64), 500, 520),
        (Shape(spans=1), 570, 640),
        (Shape(attributes=5), 260, 300),
        (Shape(attributes=60), 1_900, 2_100),
        (Shape(text_bytes=4096), 4_600, 4_700),
    ],
)
def test_requests_have_the_stated_shape(shape: Shape, least: int, most: int) -> None:
    """Spans, attributes and bytes per span are as stated, and each span is marked once."""
    request = feed(shape).take()
    spans = spans_of(request)

    assert len(spans) == request.count(SPAN_MARK) == shape.spans
    assert {len(span.attributes) for span in spans} == {shape.attributes + bool(shape.text_bytes)}
    assert least <= len(request) / shape.spans <= most


def test_every_watched_role_has_values() -> None:
    """The default detectors have work: no role they watch is absent from the corpus."""
    roles = role_table()
    batch = decode(feed(Shape()).take(), roles)

    for name in ("service", "model", "version", "decision", "client", "input_hash", semconv.CHANNEL):
        assert batch.codes[roles.text(name)].all(), name
    for name in ("input_tokens", "output_tokens", "input_size", "score"):
        assert (batch.numbers[roles.number(name)] == batch.numbers[roles.number(name)]).all(), name


def test_series_are_all_used() -> None:
    """A corpus of so many series holds every one of them."""
    corpus = Corpus(Shape(series=1_000), SEED)
    sent = Feed(corpus, START_NS, 1_000.0, SEED)
    series = {
        tuple(item.value.string_value for item in span.attributes[:2])
        for _ in corpus.requests
        for span in spans_of(sent.take())
    }

    assert len(series) == 1_000


def test_event_time_keeps_its_pace() -> None:
    """Spans end one after the other, across requests, as many per second as stated."""
    sent = feed(Shape(spans=64), pace_per_s=500.0)
    ends = [span.end_time_unix_nano for _ in range(3) for span in spans_of(sent.take())]

    assert ends == sorted(ends)
    assert ends[-1] - START_NS == pytest.approx(3 * 64 / 500.0 * 1e9)


def test_spans_last_a_while() -> None:
    """Every span starts before it ends, by a latency of its own."""
    spans = spans_of(feed(Shape(spans=64)).take())
    latencies = {span.end_time_unix_nano - span.start_time_unix_nano for span in spans}

    assert min(latencies) > 0
    assert len(latencies) == 64


def test_inputs_do_not_repeat() -> None:
    """A request sent again carries new input hashes."""
    corpus = Corpus(Shape(), SEED)
    sent = Feed(corpus, START_NS, 1_000.0, SEED)
    hashes = [
        item.value.string_value
        for _ in range(2 * len(corpus.requests))
        for span in spans_of(sent.take())
        for item in span.attributes
        if item.key == semconv.FEATURES_HASH
    ]

    assert len(set(hashes)) == len(hashes)


def test_equal_feeds_send_equal_bytes() -> None:
    """Both sides of a comparison are sent the same."""
    assert [feed(Shape()).take() for _ in range(3)] == [feed(Shape()).take() for _ in range(3)]


def test_stamp_is_where_the_sink_looks() -> None:
    """The moment of sending stands behind its mark."""
    request = feed(Shape()).take(123_456_789)
    at = request.index(STAMP_MARK) + len(STAMP_MARK)

    assert int(request[at : at + STAMP_DIGITS]) == 123_456_789


@pytest.mark.parametrize("shape", [Shape(spans=64), Shape(attributes=60), Shape(spans=64, text_bytes=4096)])
def test_rows_are_the_same_whatever_holds_them(shape: Shape) -> None:
    """A corpus of smaller requests, or of padded spans, has the rows that baselines learned from large ones."""
    learned, sent = feed(shape.learned()), feed(shape)
    rows = [span for _ in range(2) for span in spans_of(learned.take())]
    held = [span for _ in range(2 * 512 // shape.spans) for span in spans_of(sent.take())]

    assert [_row(span) for span in held] == [_row(span) for span in rows]


def _row(span: Span) -> tuple[object, ...]:
    values = [item.value for item in span.attributes[:12] if item.key != semconv.FEATURES_HASH]
    return (span.trace_id, span.end_time_unix_nano - span.start_time_unix_nano, *map(str, values))
