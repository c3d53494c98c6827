"""Requests of OTLP changed by what they mean, field by field, and then by how they are written on the wire."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import naive_wire
from fuzz.damage import damaged
from otlp import NAMES
from spanward import semconv

_KEYS: Final = (
    *NAMES,
    semconv.ANOMALY_SCORE,
    semconv.ANOMALY_DETECTORS,
    "spanward.anomaly.",
    "spanward.anomaly",
    "x",
    "",
)
_TEXTS: Final = ("", "a", "2", "true", "m" * 7, "m" * 8, "text " * 6, "é漢😀", "\0", "spanward.anomaly.score")
_WHOLE: Final = (0, 1, 2, 127, 128, 255, 1 << 14, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1)
_DOUBLES: Final = (0.0, -0.0, 1.0, 0.5, -1.5, 1e-300, 1e300, float("nan"), float("inf"), float("-inf"), 5e-324)
_SIZES: Final = (0, 1, 2, 8, 15, 16, 17)
_SIGNED: Final = {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SFIXED64, FieldDescriptor.TYPE_INT32}
_NARROW: Final = {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32}
_DEEPEST: Final = 12
_WORTH_DAMAGING: Final = 0.1
_WORTH_REWRITING: Final = 0.3


def fresh_request(rng: Random) -> bytes:
    """Return a small request in which any field may be set."""
    request = ExportTraceServiceRequest()
    for _ in range(rng.choice((1, 1, 1, 2))):
        resource = request.resource_spans.add()
        _add_attributes(resource.resource, rng)
        for _ in range(rng.choice((1, 1, 1, 2))):
            scope = resource.scope_spans.add()
            for _ in range(rng.choice((1, 1, 2, 3))):
                span = scope.spans.add(trace_id=rng.randbytes(rng.choice(_SIZES)), name=rng.choice(_TEXTS))
                span.start_time_unix_nano, span.end_time_unix_nano = rng.choice(_WHOLE), rng.choice(_WHOLE)
                _add_attributes(span, rng)
    return request.SerializeToString()


def _add_attributes(holder: Any, rng: Random) -> None:
    for _ in range(rng.randint(0, 3)):
        _set_randomly(holder.attributes.add(key=rng.choice(_KEYS)).value, rng, 0)


def mutated_request(data: bytes, rng: Random) -> bytes:
    """Return a changed request: its fields where it can be parsed, then its wire format, then its bytes."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(data)
    except DecodeError:
        return damaged(data, rng)
    if rng.random() < 0.8:
        for _ in range(rng.choice((1, 1, 2, 4))):
            _change(request, rng)
        data = request.SerializeToString()
    if rng.random() < _WORTH_REWRITING:
        data = _rewritten(data, rng)
    return damaged(data, rng) if rng.random() < _WORTH_DAMAGING else data


def _change(message: Any, rng: Random) -> None:
    """Walk down to some message and change one field of it."""
    for _ in range(_DEEPEST):
        below = [value for field, value in message.ListFields() if field.message_type]
        if not below or rng.random() < 0.2:
            break
        value = rng.choice(below)
        message = value if isinstance(value, Message) else rng.choice(value)
    _set_randomly(message, rng, 0)


def _set_randomly(message: Any, rng: Random, depth: int) -> None:
    fields = cast("Descriptor", message.DESCRIPTOR).fields
    field = rng.choice(list(fields))
    if field.is_repeated:
        _change_list(message, field, rng, depth)
    elif rng.random() < 0.15:
        message.ClearField(field.name)
    elif field.message_type:
        inner = getattr(message, field.name)
        inner.SetInParent()
        if depth < _DEEPEST:
            _set_randomly(inner, rng, depth + 1)
    else:
        setattr(message, field.name, _scalar(field, rng))


def _change_list(message: Any, field: FieldDescriptor, rng: Random, depth: int) -> None:
    values = getattr(message, field.name)
    action = rng.randrange(4)
    if action == 0 and values:
        del values[rng.randrange(len(values))]
    elif action == 1 and values and field.message_type:
        values.add().CopyFrom(rng.choice(values))
    elif field.message_type:
        added = values.add()
        if depth < _DEEPEST:
            _set_randomly(added, rng, depth + 1)
            _set_randomly(added, rng, depth + 1)
    else:
        values.append(_scalar(field, rng))


def _scalar(field: FieldDescriptor, rng: Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(_KEYS if field.name == "key" else _TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.randbytes(rng.choice(_SIZES))
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return rng.choice(_DOUBLES)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.choice((0, 1, 2, 3, 7, -1))
    value = rng.choice(_WHOLE) if rng.random() < 0.7 else rng.getrandbits(64)
    value &= 0xFFFF_FFFF if field.type in _NARROW else 0xFFFF_FFFF_FFFF_FFFF
    if field.type in _SIGNED:
        bits = 32 if field.type in _NARROW else 64
        return value - (1 << bits) if value >> (bits - 1) else value
    return value


def smaller_requests(data: bytes) -> list[bytes]:
    """Return the request without each of its fields, at every depth, with lengths as they must be."""
    try:
        return list(_without_one(data, naive_wire.SCHEMAS["ExportTraceServiceRequest"]))
    except naive_wire.MalformedError:
        return []


def _without_one(data: bytes, schema: naive_wire.Schema) -> Iterator[bytes]:
    for field in naive_wire.fields(data, 0, len(data)):
        before, after = data[: field.tag_at], data[field.end :]
        yield before + after
        kind = schema.get(field.number) if field.wire == 2 else None
        if kind is None:
            continue
        inside = data[field.start : field.end]
        for shorter in (b"",) if isinstance(kind, str) else _without_one(inside, kind()):
            yield (
                before
                + data[field.tag_at : field.length_at]
                + naive_wire.encoded_varint(len(shorter))
                + shorter
                + after
            )


# --- the same message, or nearly, in other bytes -------------------------------------------------------------------------


def _rewritten(data: bytes, rng: Random) -> bytes:
    """Return a request with fields doubled, exchanged, unknown, of another wire type, or with lengths longer than need be."""
    try:
        return _rewrite(data, naive_wire.SCHEMAS["ExportTraceServiceRequest"], rng)
    except naive_wire.MalformedError:
        return data


def _rewrite(data: bytes, schema: naive_wire.Schema, rng: Random) -> bytes:
    pieces: list[bytes] = []
    for field in naive_wire.fields(data, 0, len(data)):
        kind = schema.get(field.number) if field.wire == 2 else None
        if callable(kind) and rng.random() < 0.7:
            inside = _rewrite(data[field.start : field.end], kind(), rng)
            pieces.append(data[field.tag_at : field.length_at] + _varint(len(inside), rng) + inside)
        else:
            pieces.append(data[field.tag_at : field.end])
    action = rng.randrange(9)
    if action == 0 and pieces:
        pieces.append(rng.choice(pieces))
    elif action == 1:
        rng.shuffle(pieces)
    elif action == 2:
        pieces.insert(rng.randint(0, len(pieces)), _unknown(rng))
    return b"".join(pieces)


def _varint(value: int, rng: Random) -> bytes:
    """Return a varint, sometimes with bytes that it does not need."""
    short = naive_wire.encoded_varint(value)
    if rng.random() < 0.9:
        return short
    return short[:-1] + bytes([short[-1] | 0x80]) + b"\x80" * rng.randint(0, 3) + b"\x00"


def _unknown(rng: Random) -> bytes:
    """Return a field with any number and wire type."""
    number = rng.choice((0, 1, 2, 3, 5, 6, 9, 11, 15, 16, 127, 1 << 20, (1 << 29) - 1))
    wire = rng.randrange(8)
    body = {0: _varint(rng.choice(_WHOLE), rng), 1: rng.randbytes(8), 5: rng.randbytes(4)}.get(wire, b"")
    if wire == 2:
        inside = rng.randbytes(rng.choice(_SIZES))
        body = _varint(len(inside), rng) + inside
    elif wire == 3:
        body = naive_wire.encoded_varint(number << 3 | 4)
    return _varint(number << 3 | wire, rng) + body
