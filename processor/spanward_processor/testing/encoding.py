"""Columns of a simulated application as encoded OTLP requests, many spans at once.

One span is encoded by the official library; the others are copies of its bytes in which the values of fixed width are
written over. Integers are varints of five bytes, padded where they are small, which protobuf allows. A value that is missing
keeps its bytes, but its key is changed to one that nobody reads.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from spanward import semconv
from spanward_processor.kernels.jit import Bytes, Flags, Floats, Ints

_TEXT_WIDTH: Final = 8  # letter and seven digits
_HASH_WIDTH: Final = 16
_VARINT: Final = 5
_LARGEST: Final = (1 << 35) - 1
_UNREAD: Final = ord("x")  # in place of a key's first letter
_ERROR_CODE: Final = 2
_SPANS_FIELD: Final = b"\x12"
_SCOPE_SPANS_FIELD: Final = b"\x12"
_RESOURCE_SPANS_FIELD: Final = b"\x0a"
_TEXTS: Final = {
    "channel": semconv.CHANNEL,
    "decision": semconv.DECISION,
    "client": semconv.CLIENT_ID,
    "region": f"{semconv.DIMENSION_PREFIX}region",
}
_INTEGERS: Final = {
    "input_tokens": semconv.GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
    "input_size": semconv.FEATURES_COUNT,
}


@dataclass(frozen=True, slots=True)
class Columns:
    """What n calls of one model did; -1, or NaN, where a call does not say.

    Args:
        start_ns: (n,) int64 Unix nanoseconds.
        end_ns: (n,) int64.
        failed: (n,) bool.
        channel: (n,) int64 number of the ingestion channel.
        decision: (n,) int64 number of the class or item.
        client: (n,) int64 number of the caller.
        region: (n,) int64 number of a further dimension.
        input_tokens: (n,) int64.
        output_tokens: (n,) int64.
        input_size: (n,) int64.
        score: (n,) float64.
    """

    start_ns: Ints
    end_ns: Ints
    failed: Flags
    channel: Ints
    decision: Ints
    client: Ints
    region: Ints
    input_tokens: Ints
    output_tokens: Ints
    input_size: Ints
    score: Floats

    def __len__(self) -> int:
        """Return the number of calls."""
        return int(self.end_ns.size)

    def where(self, chosen: Flags) -> "Columns":
        """Return the chosen calls."""
        return Columns(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def __add__(self, other: "Columns") -> "Columns":
        """Return the calls of both, one after the other."""
        return Columns(
            *(np.concatenate((getattr(self, field.name), getattr(other, field.name))) for field in fields(self))
        )


class Encoder:
    """Encodes the calls of one model.

    Args:
        service: Name of the service.
        model: Name of the model.
        version: Its version.
        rng: Randomness of ids and input hashes.
    """

    def __init__(self, service: str, model: str, version: str, rng: np.random.Generator) -> None:
        self._rng = rng
        self._template = np.frombuffer(_template(), np.uint8)
        self._head = _head(service, model, version)
        encoded = _template()
        self._at = {name: encoded.index(mark) for name, mark in _marks().items()}
        self._keys = {name: encoded.index(key.encode()) for name, key in (_TEXTS | _INTEGERS).items()}
        self._keys["score"] = encoded.index(semconv.SCORE.encode())

    def request(self, columns: Columns) -> bytes:
        """Return an encoded ExportTraceServiceRequest of the calls.

        Args:
            columns: The calls.
        """
        count = len(columns)
        spans = np.tile(self._template, (count, 1))
        self._put(spans, "trace", self._rng.integers(0, 256, (count, 16), np.uint8))
        self._put(spans, "span", self._rng.integers(1, 256, (count, 8), np.uint8))
        self._put(spans, "hash", self._rng.integers(ord("a"), ord("q"), (count, _HASH_WIDTH), np.uint8))
        for name in ("start_ns", "end_ns"):
            self._put(spans, name, _fixed(getattr(columns, name)))
        spans[:, -1] = np.where(columns.failed, _ERROR_CODE, 0)
        for name in _TEXTS:
            self._put_known(spans, name, getattr(columns, name), _digits(getattr(columns, name)))
        for name in _INTEGERS:
            self._put_known(spans, name, getattr(columns, name), _varints(getattr(columns, name)))
        self._put_known(spans, "score", np.where(np.isnan(columns.score), -1, 0), _fixed(columns.score))
        return self._wrapped(spans.tobytes())

    def _put(self, spans: Bytes, name: str, values: Bytes) -> None:
        first = self._at[name]
        spans[:, first : first + values.shape[1]] = values

    def _put_known(self, spans: Bytes, name: str, known: Ints, values: Bytes) -> None:
        self._put(spans, name, values)
        spans[known < 0, self._keys[name]] = _UNREAD

    def _wrapped(self, spans: bytes) -> bytes:
        scope = _SCOPE_SPANS_FIELD + _length(len(spans)) + spans
        return _RESOURCE_SPANS_FIELD + _length(len(self._head) + len(scope)) + self._head + scope


def _marks() -> dict[str, bytes]:
    """Return what stands in the template where a value belongs."""
    marks = {
        "trace": b"T" * 16,
        "span": b"S" * 8,
        "hash": b"H" * _HASH_WIDTH,
        "score": _fixed(np.array([-1.5])).tobytes(),
    }
    marks |= {
        "start_ns": _fixed(np.array([0x1BAD_5EED])).tobytes(),
        "end_ns": _fixed(np.array([0x2BAD_5EED])).tobytes(),
    }
    marks |= {name: _digits(np.array([9_999_990 + place])).tobytes() for place, name in enumerate(_TEXTS)}
    return marks | {name: _varints(np.array([_LARGEST - place])).tobytes() for place, name in enumerate(_INTEGERS)}


def _template() -> bytes:
    """Return one span, as it stands in its scope."""
    marks = _marks()
    span = Span(
        trace_id=marks["trace"],
        span_id=marks["span"],
        name="inference",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=0x1BAD_5EED,
        end_time_unix_nano=0x2BAD_5EED,
    )
    for name, key in _TEXTS.items():
        span.attributes.add(key=key).value.string_value = marks[name].decode()
    for place, key in enumerate(_INTEGERS.values()):
        span.attributes.add(key=key).value.int_value = _LARGEST - place
    span.attributes.add(key=semconv.SCORE).value.double_value = -1.5
    span.attributes.add(key=semconv.FEATURES_HASH).value.string_value = marks["hash"].decode()
    span.status.code = span.status.STATUS_CODE_ERROR  # last, so that its code is the last byte
    return ScopeSpans(spans=[span]).SerializeToString()


def _head(service: str, model: str, version: str) -> bytes:
    """Return the resource, as it stands in its ResourceSpans."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add().resource
    for key, text in ((semconv.SERVICE_NAME, service), (semconv.MODEL_NAME, model), (semconv.MODEL_VERSION, version)):
        resource.attributes.add(key=key).value.string_value = text
    return request.resource_spans[0].SerializeToString()


def _fixed(values: Ints | Floats) -> Bytes:
    """Return (n, 8) uint8 little-endian bytes of each value."""
    return values.astype(values.dtype.newbyteorder("<"), copy=False).reshape(-1, 1).view(np.uint8)


def _digits(values: Ints) -> Bytes:
    """Return (n, 8) uint8 the letter n and seven digits of each value."""
    powers = 10 ** np.arange(_TEXT_WIDTH - 2, -1, -1)
    digits = np.maximum(values, 0)[:, None] // powers % 10 + ord("0")
    return np.concatenate((np.full((values.size, 1), ord("n")), digits), axis=1).astype(np.uint8)


def _varints(values: Ints) -> Bytes:
    """Return (n, 5) uint8 varints of values below 2^35, padded to five bytes."""
    groups = np.clip(values, 0, _LARGEST)[:, None] >> (7 * np.arange(_VARINT)) & 0x7F
    groups[:, :-1] |= 0x80
    return groups.astype(np.uint8)


def _length(size: int) -> bytes:
    """Return a length as a varint."""
    encoded = bytearray()
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)


def text_of(number: int) -> str:
    """Return the text by which a number of a channel, decision, client or region is sent."""
    return _digits(np.array([number])).tobytes().decode()
