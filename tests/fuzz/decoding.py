"""The decoder: the same columns as the official parser, or refused by both."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import naive
import naive_wire
from decoded import assert_equals_twin
from fuzz.messages import fresh_request, mutated_request, smaller_requests
from fuzz.target import Target
from otlp import TEXTS
from spanward_processor.decode import UndecodableError, decode
from spanward_processor.kernels.validate import MAX_DEPTH
from spanward_processor.kernels.wire import BAD_GROUP, BAD_VARINT, REASONS, TOO_DEEP
from spanward_processor.roles import NUMBER_ROLES, role_table

ROLES: Final = role_table(key=bytes(range(16)))
REQUEST: Final = naive_wire.SCHEMAS["ExportTraceServiceRequest"]
_TEXT_ROLES: Final[dict[str, Sequence[str]]] = dict(TEXTS)
_NUMBER_ROLES: Final[dict[str, Sequence[str]]] = dict(NUMBER_ROLES)


def check(data: bytes) -> bool:
    """Decode beside the official parser; where the two differ, the twin that reads the wire must be on our side."""
    try:
        ExportTraceServiceRequest.FromString(data)
        official = True
    except DecodeError:
        official = False
    try:
        batch = decode(data, ROLES)
    except UndecodableError as error:
        if official:
            _excuse(data, str(error))
        return False
    assert official, "taken, though the official parser refuses it"
    assert_equals_twin(batch, naive.rows(data, _TEXT_ROLES, _NUMBER_ROLES), ROLES)
    return True


def _excuse(data: bytes, reason: str) -> None:
    """Hold a refusal of what the official parser takes to the twin.

    That parser steps over groups, and drops what a varint has beyond 64 bits, which Go's refuses.
    """
    if REASONS[TOO_DEEP] in reason:
        assert naive_wire.depth(data, 0, len(data), REQUEST) > MAX_DEPTH, reason
    else:
        assert read_wire(data) in {BAD_GROUP, BAD_VARINT}, reason


def read_wire(data: bytes) -> int:
    """Return what the twin says that only reads the wire; its branches are the kernels'."""
    return naive_wire.answer(lambda: naive_wire.check(data, 0, len(data), REQUEST))


DECODING: Final = Target("decoding", fresh_request, mutated_request, check, smaller_requests, read_wire)
