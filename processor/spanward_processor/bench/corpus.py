"""The spans that every side of a measurement is sent: seeded, of a stated shape, with times that move forward.

A request is built once and sent many times. Before each sending its times move on, and its input hashes are drawn anew, for
a corpus that repeated its inputs would look like an attack and cost what an attack costs.
"""

import random
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv
from spanward_processor.kernels.jit import Bytes, Floats, Ints

SPAN_MARK: Final = semconv.FEATURES_HASH.encode()
"""Stands in every span exactly once, so that counting it counts spans, however they were encoded again."""

ANNOTATION_MARK: Final = semconv.ANOMALY_SCORE.encode()
"""Stands in every annotated span exactly once."""

STAMP_MARK: Final = b"spanward.bench/"
"""Begins the name of each request's scope; digits follow that tell when it was sent, in monotonic nanoseconds."""

STAMP_DIGITS: Final = 19

_SECOND_NS: Final = 1_000_000_000
_START: Final = 0x1BAD_5EED_1BAD_5EED  # stands where a start time will be written
_END: Final = 0x2BAD_5EED_2BAD_5EED
_HASH: Final = "h" * 32
_READ: Final = 12  # attributes of a span that somebody reads; more are padding
_SPANS: Final = 16_384  # in a corpus, or so many that each series has two
_BUSY_SERIES: Final = 100
_CLIENTS: Final = 200
_DECISIONS: Final = ("billing", "delivery", "technical", "account")
_CHANNELS: Final = ("web", "mobile", "email", "partner")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a request looks like.

    Args:
        spans: Spans in a request.
        attributes: Attributes of a span: 5, 12, or more, which are padded with attributes nobody reads.
        text_bytes: Length of one further long text in each span, 0 for none.
        series: Distinct (service, model, version).
    """

    spans: int = 512
    attributes: int = 12
    text_bytes: int = 0
    series: int = 100

    def learned(self) -> "Shape":
        """Return the shape of the requests that teach the baselines: large ones, without what nobody reads."""
        return replace(self, spans=512, attributes=min(self.attributes, _READ), text_bytes=0)


class Corpus:
    """Encoded requests, ready to be stamped and sent.

    Half of the rows fall on the busiest hundred series, the other half goes round all of them. However many rows a request
    holds, and whatever pads them, the rows of a corpus are the same: what was learned of one corpus is true of the others.

    Args:
        shape: What a request looks like.
        seed: Seed of all randomness.
    """

    def __init__(self, shape: Shape, seed: int) -> None:
        self.shape = shape
        self._rng = random.Random(seed)  # noqa: S311 - a corpus, not a secret
        self._padding = random.Random(seed + 1)  # noqa: S311 - likewise
        self._round = 0
        spans = max(_SPANS, 2 * shape.series if shape.series > _BUSY_SERIES else 0)
        self.requests = tuple(self._request() for _ in range(-(-spans // shape.spans)))

    def _request(self) -> "Template":
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        for name, text in {semconv.SERVICE_NAME: "support", "host.name": "bench-1"}.items():
            resource.resource.attributes.add(key=name).value.string_value = text
        scope = resource.scope_spans.add()
        scope.scope.name = STAMP_MARK.decode() + "0" * STAMP_DIGITS
        latencies = [self._describe(scope.spans.add()) for _ in range(self.shape.spans)]
        return Template.of(request.SerializeToString(), np.array(latencies))

    def _describe(self, span: Span) -> float:
        """Fill a span in; return how long it lasts, seconds."""
        rng = self._rng
        span.trace_id, span.span_id = rng.randbytes(16), rng.randbytes(8)
        span.name, span.kind = "classify ticket-router", Span.SPAN_KIND_SERVER
        span.start_time_unix_nano, span.end_time_unix_nano = _START, _END
        series = self._series()
        tokens = round(rng.lognormvariate(4.5, 0.5))
        values: dict[str, str | int | float] = {
            semconv.MODEL_NAME: f"ticket-router-{series:05d}",
            semconv.MODEL_VERSION: "2.1",
            semconv.SCORE: rng.betavariate(8, 1.5),
            semconv.DECISION: rng.choices(_DECISIONS, (4, 3, 2, 1))[0],
            semconv.FEATURES_HASH: _HASH,
            semconv.CHANNEL: rng.choices(_CHANNELS, (7, 5, 4, 4))[0],
            semconv.CLIENT_ID: f"{rng.randrange(_CLIENTS) + 0x5A_0000_0000:012x}",
            semconv.GEN_AI_USAGE_INPUT_TOKENS: tokens,
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: max(round(tokens * rng.lognormvariate(-2.0, 0.3)), 1),
            semconv.FEATURES_COUNT: tokens * 4 + rng.randrange(8),
            semconv.GEN_AI_OPERATION_NAME: "classify",
            semconv.HTTP_ROUTE: "/v1/tickets",
        }
        for name in list(values)[: self.shape.attributes]:
            _set(span, name, values[name])
        for number in range(len(values), self.shape.attributes):
            _set(span, f"app.detail.{number:02d}", _detail(number, self._padding))
        if self.shape.text_bytes:
            _set(span, "gen_ai.input.messages", self._padding.randbytes(self.shape.text_bytes // 2).hex())
        return rng.lognormvariate(-4.0, 0.5)

    def _series(self) -> int:
        rng = self._rng
        if rng.random() < 0.5 or self.shape.series <= _BUSY_SERIES:
            return rng.randrange(min(_BUSY_SERIES, self.shape.series))
        self._round = (self._round + 1) % self.shape.series
        return self._round


def _set(span: Span, name: str, value: str | float) -> None:
    target = span.attributes.add(key=name).value
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, int):
        target.int_value = value
    else:
        target.double_value = value


def _detail(number: int, rng: random.Random) -> str | int | float:
    return (f"value {rng.randrange(1 << 40):013x}", rng.randrange(1 << 20), rng.random())[number % 3]


@dataclass(frozen=True, slots=True)
class Template:
    """One encoded request, and where its changing parts lie.

    Args:
        data: (b,) uint8 the request.
        starts: (n, 8) int64 places of each span's start time.
        ends: (n, 8) int64 places of each span's end time.
        hashes: (n, 32) int64 places of each span's input hash.
        stamp: Place of the digits in the scope's name.
        latency_s: (n,) float64 seconds each span lasts.
    """

    data: Bytes
    starts: Ints
    ends: Ints
    hashes: Ints
    stamp: int
    latency_s: Floats

    @classmethod
    def of(cls, encoded: bytes, latency_s: Floats) -> "Template":
        """Find the changing parts of an encoded request."""
        spans = latency_s.size
        return cls(
            data=np.frombuffer(encoded, np.uint8),
            starts=_places(encoded, _START.to_bytes(8, "little"), spans),
            ends=_places(encoded, _END.to_bytes(8, "little"), spans),
            hashes=_places(encoded, _HASH.encode(), spans),
            stamp=encoded.index(STAMP_MARK) + len(STAMP_MARK),
            latency_s=latency_s,
        )


def _places(encoded: bytes, mark: bytes, spans: int) -> Ints:
    """Return (n, len(mark)) int64 places of every byte of a mark that each span holds once."""
    found: list[int] = []
    at = encoded.find(mark)
    while at >= 0:
        found.append(at)
        at = encoded.find(mark, at + len(mark))
    if len(found) != spans:
        raise ValueError(f"corpus: each of {spans} spans must hold {mark!r} once, got {len(found)}")
    return np.array(found, np.int64)[:, None] + np.arange(len(mark))


class Feed:
    """A corpus in event time: each request follows the one before, at a steady pace.

    Two feeds of equal arguments yield equal bytes, so that both sides of a comparison are sent the same.

    Args:
        corpus: What is sent.
        start_ns: Event time of the first span, Unix nanoseconds.
        pace_per_s: Spans per second of event time.
        seed: Seed of the input hashes.
    """

    def __init__(self, corpus: Corpus, start_ns: int, pace_per_s: float, seed: int) -> None:
        self._corpus = corpus
        self._time_ns = start_ns
        self._pace = pace_per_s
        self._rng = random.Random(seed)  # noqa: S311 - a corpus, not a secret
        self._next = 0

    @property
    def spans_per_request(self) -> int:
        """Spans in each request."""
        return self._corpus.shape.spans

    def become(self, corpus: Corpus) -> None:
        """Go on with another corpus, in the same event time."""
        self._corpus, self._next = corpus, 0

    def take(self, stamp_ns: int = 0) -> bytes:
        """Return the next request.

        Args:
            stamp_ns: When it is sent, monotonic nanoseconds; the sink tells from it how long the way took.
        """
        template = self._corpus.requests[self._next % len(self._corpus.requests)]
        self._next += 1
        spans = template.latency_s.size
        lasts_ns = spans / self._pace * _SECOND_NS
        ends = self._time_ns + (np.arange(1, spans + 1) * (lasts_ns / spans)).astype(np.int64)
        self._time_ns = int(ends[-1])
        data = template.data.copy()
        data[template.ends] = _octets(ends)
        data[template.starts] = _octets(ends - (template.latency_s * _SECOND_NS).astype(np.int64))
        data[template.hashes] = _text(self._rng.randbytes(template.hashes.size // 2).hex()).reshape(spans, -1)
        data[template.stamp : template.stamp + STAMP_DIGITS] = _text(f"{stamp_ns:0{STAMP_DIGITS}d}")
        return data.tobytes()


def _text(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


def _octets(times_ns: Ints) -> Bytes:
    return times_ns.astype("<u8").view(np.uint8).reshape(-1, 8)
