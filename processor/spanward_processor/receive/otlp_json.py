"""OTLP JSON into OTLP protobuf, by kernels that know the official messages; and replies back.

Beyond what the specification asks of senders, the original field names and the names of enumeration values are
understood, as ProtoJSON parsers must. Half a surrogate pair becomes U+FFFD. Of equal names in one object the last counts.

Source: OpenTelemetry Protocol specification 1.x, "JSON Protobuf Encoding"; Protocol Buffers, "ProtoJSON Format".
"""

import math
import struct
from functools import cache
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from spanward_processor.decode import UndecodableError
from spanward_processor.kernels import json_tape, json_text, json_wire
from spanward_processor.kernels.jit import Bytes, Codes, Ints
from spanward_processor.kernels.json_numbers import powers_of_five
from spanward_processor.kernels.json_tape import LONGEST_NAME, MOST_DEPTH, MOST_MESSAGES, TAPE_FULL, Schema, Tape
from spanward_processor.receive.json_schema import schema_of
from spanward_processor.signals import Signal

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

_REQUESTS: Final[dict[Signal, type[Message]]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
_RESPONSES: Final[dict[Signal, type[Message]]] = {
    Signal.TRACES: ExportTraceServiceResponse,
    Signal.METRICS: ExportMetricsServiceResponse,
    Signal.LOGS: ExportLogsServiceResponse,
}
_RULES: Final = {
    json_text.CUT_SHORT: "the document must be whole, but ends here",
    json_text.BAD_CONTROL: "a control character in a string must be escaped",
    json_text.BAD_ESCAPE: "an escape in a string must be one that JSON has",
    json_text.BAD_TEXT: "a string must be UTF-8",
    json_text.BAD_NUMBER: "a number must be written as JSON has it, and a quoted integer as decimal digits",
    json_text.BAD_WORD: "a bare word must be true, false or null",
    json_tape.BAD_SYNTAX: "the document must be JSON",
    json_tape.BAD_KIND: "a value must be of its field's kind",
    json_tape.TOO_DEEP: f"values must be nested at most {MOST_DEPTH} deep, messages {MOST_MESSAGES}",
    json_tape.NULL_ELEMENT: "a list must not hold null",
    json_wire.BAD_HEX: "an id must be pairs of hexadecimal digits",
    json_wire.BAD_BASE64: "bytes must be base64",
    json_wire.OUT_OF_RANGE: "a number must be in the range of its field, and whole where that is an integer",
    json_wire.TWO_CHOICES: "a value must be of one kind",
}
_ROOT: Final = 0
_BYTES_PER_ROW: Final = 8  # of the document, for a row of the tape; ordinary documents have 11
_LEAST_BYTES_PER_ROW: Final = 2
_SLACK: Final = 64
_MOST_BYTES: Final = 2**31 - 1 - _SLACK  # positions on the tape have 32 bits


def to_protobuf(signal: Signal, document: bytes) -> bytes:
    """Return the encoded export request that a JSON document describes.

    Args:
        signal: Which kind it is.
        document: UTF-8 JSON.

    Raises:
        UndecodableError: It is no such document; says where and by which rule.
    """
    request = _REQUESTS[signal]
    if len(document) > _MOST_BYTES:
        raise _undecodable(request, f"the document must have at most {_MOST_BYTES} bytes", len(document))
    data = np.frombuffer(document, np.uint8)
    schema = _schema(signal)
    room = np.empty(LONGEST_NAME, np.uint8)
    tape, rows, doubles = _read(request, data, schema, room)
    out = np.empty(data.size + _SLACK, np.uint8)
    hard = np.empty((doubles, 3), np.int64)
    stack = np.empty((4, MOST_DEPTH), np.int64)
    found = np.zeros(2, np.int64)
    begin = json_wire.write_document(data, tape, rows, schema, _fives(), stack, hard, found, room, out)
    if begin < 0:
        raise _undecodable(request, _RULES[begin], int(found[1]))
    _write_hard(request, document, hard[: found[0]], out)
    return out[begin:].tobytes()


def from_protobuf(signal: Signal, reply: bytes) -> bytes:
    """Return an encoded export response as JSON.

    Args:
        signal: Which kind was taken.
        reply: The encoded response.
    """
    if not reply:
        return b"{}"
    response = _RESPONSES[signal]()
    response.ParseFromString(reply)
    return MessageToJson(response, indent=None).encode()


def _read(request: type[Message], data: Bytes, schema: Schema, room: Bytes) -> tuple[Tape, int, int]:
    """Return the tape of a document, its rows and how many doubles there are."""
    stack = np.empty((3, MOST_DEPTH), np.int64)
    found = np.zeros(4, np.int64)
    error = TAPE_FULL
    tape = np.empty((0, 3), np.int32)
    for bytes_per_row in (_BYTES_PER_ROW, _LEAST_BYTES_PER_ROW):
        tape = np.empty((data.size // bytes_per_row + _SLACK, 3), np.int32)
        found[:] = 0
        error = json_tape.read_document(data, _ROOT, schema, tape, stack, found, room)
        if error != TAPE_FULL:
            break
    if error:
        at = data.size if error == json_text.CUT_SHORT else int(found[1])
        raise _undecodable(request, _RULES[error], at)
    return tape, int(found[0]), int(found[3])


@cache
def _schema(signal: Signal) -> Schema:
    return schema_of(cast("Descriptor", _REQUESTS[signal].DESCRIPTOR))


@cache
def _fives() -> Codes:
    return powers_of_five()


def _write_hard(request: type[Message], document: bytes, hard: Ints, out: Bytes) -> None:
    """Write the few doubles that need more than 128 bits to be rounded: those very close to the middle of two."""
    for to, start, end in hard.tolist():
        value = float(document[start:end])
        if math.isinf(value):
            raise _undecodable(request, _RULES[json_wire.OUT_OF_RANGE], start)
        out[to : to + 8] = np.frombuffer(struct.pack("<d", value), np.uint8)


def _undecodable(request: type[Message], rule: str, at: int) -> UndecodableError:
    return UndecodableError(f"not an {request.DESCRIPTOR.name} in JSON: byte {at}: {rule}")
