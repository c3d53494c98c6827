"""The decoder against the official parser, on ordinary, random and hostile requests."""

import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import naive
from decoded import assert_equals_twin
from otlp import TEXTS, alike_requests, damaged, requests
from spanward import semconv
from spanward_processor.decode import UndecodableError, count_spans, decode
from spanward_processor.roles import NUMBER_ROLES, role_table
from spanward_processor.texts import text_at

ROLES = role_table(key=bytes(range(16)))


@given(requests())
def test_columns_equal_the_official_parser(request: bytes) -> None:
    """Whatever the official parser reads, the columns hold."""
    assert_equals_twin(decode(request, ROLES), naive.rows(request, dict(TEXTS), dict(NUMBER_ROLES)), ROLES)


@given(alike_requests())
def test_columns_of_spans_that_are_alike_equal_the_official_parser(request: bytes) -> None:
    """What is taken over from the span before, keys and repeated values, is what the official parser reads."""
    assert_equals_twin(decode(request, ROLES), naive.rows(request, dict(TEXTS), dict(NUMBER_ROLES)), ROLES)


@given(requests())
def test_spans_are_counted_without_being_decoded(request: bytes) -> None:
    """As many as the official parser finds."""
    parsed = ExportTraceServiceRequest.FromString(request)
    spans = sum(len(scope.spans) for resource in parsed.resource_spans for scope in resource.scope_spans)
    assert count_spans(request) == spans


@settings(max_examples=300)
@given(st.one_of(requests(), alike_requests()), st.randoms(use_true_random=False))
def test_mutated_bytes_are_refused_or_read_alike(request: bytes, rng: random.Random) -> None:
    """Damaged bytes are refused with a reason, or the official parser reads the same from them."""
    data = damaged(request, rng)
    try:
        batch = decode(data, ROLES)
    except UndecodableError:
        return

    assert_equals_twin(batch, naive.rows(data, dict(TEXTS), dict(NUMBER_ROLES)), ROLES)


@given(st.binary(max_size=64))
def test_random_bytes_never_crash(data: bytes) -> None:
    """Random bytes are refused, or read as the official parser reads them."""
    try:
        batch = decode(data, ROLES)
    except UndecodableError:
        return

    assert len(naive.rows(data, dict(TEXTS), dict(NUMBER_ROLES))) == len(batch)


@given(requests())
def test_what_the_official_parser_takes_is_taken(request: bytes) -> None:
    """Nothing well formed is refused, and as many spans are read as the official parser reads."""
    official = ExportTraceServiceRequest.FromString(request)
    spans = sum(len(scope.spans) for resource in official.resource_spans for scope in resource.scope_spans)

    assert len(decode(request, ROLES)) == spans


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x0a", "varint"),
        (b"\x0a\x05\x01", "longer than the message"),
        (b"\x00\x00", "number 0"),
        (b"\x0b\x0c", "group"),
        (b"\x0a\x06\x0a\x04\x0a\x02\x0a\xff", "varint"),
    ],
)
def test_the_reason_of_a_refusal_is_named(data: bytes, reason: str) -> None:
    """A refusal says what is wrong with the bytes."""
    with pytest.raises(UndecodableError, match=reason):
        decode(data, ROLES)


def test_invalid_utf8_is_refused() -> None:
    """A string that is not UTF-8 is refused here, as the backend would refuse it later."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="NAME")
    data = request.SerializeToString().replace(b"NAME", b"\xff\xfe\xfd\xfc")
    with pytest.raises(DecodeError):
        ExportTraceServiceRequest.FromString(data)

    with pytest.raises(UndecodableError, match="UTF-8"):
        decode(data, ROLES)


@pytest.mark.parametrize(
    "fields", [b"\x0a\x01\xff\x0a\x01x", b"\x0a\x01x\x12\x02\x69d\x12\x00", b"\x12\x03\x0a\x01\xff\x12\x00"]
)
def test_fields_that_are_said_again_are_checked_too(fields: bytes) -> None:
    """A malformed key or value is refused even where a good one follows, as the official parser does."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add().attributes.add(key="K" * (len(fields) - 2))
    data = request.SerializeToString().replace(b"\x0a" + bytes([len(fields) - 2]) + b"K" * (len(fields) - 2), fields)
    with pytest.raises(DecodeError):
        ExportTraceServiceRequest.FromString(data)

    with pytest.raises(UndecodableError):
        decode(data, ROLES)


def test_deep_nesting_is_refused() -> None:
    """A value nested far deeper than any parser accepts is refused and costs no stack."""

    def field(number: int, body: bytes) -> bytes:
        size, varint = len(body), b""
        while size >= 128:
            varint, size = varint + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + varint + bytes([size]) + body

    body = b""
    for _ in range(200):
        body = field(5, field(1, body))  # an AnyValue that holds an array of one AnyValue
    for number in (2, 9, 2, 2, 1):  # KeyValue.value, Span.attributes, spans, scope_spans, resource_spans
        body = field(number, body)

    with pytest.raises(UndecodableError, match="too deep"):
        decode(body, ROLES)


def test_resource_after_its_spans_still_applies() -> None:
    """The order of fields on the wire does not matter."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add()
    body = request.resource_spans[0].SerializeToString()
    late = ExportTraceServiceRequest()
    late.resource_spans.add().resource.attributes.add(key="service.name").value.string_value = "late"
    body += late.resource_spans[0].SerializeToString()
    data = b"\x0a" + bytes([len(body)]) + body

    batch = decode(data, ROLES)

    assert text_at(batch, ROLES.text("service"), 0) == "late"


def test_integer_and_text_versions_are_one() -> None:
    """Version 2 and version "2" get the same code, so they are one series."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.spans.add().attributes.add(key=semconv.MODEL_VERSION).value.int_value = 2
    scope.spans.add().attributes.add(key=semconv.MODEL_VERSION).value.string_value = "2"

    codes = decode(request.SerializeToString(), ROLES).codes[ROLES.text("version")]

    assert codes[0] == codes[1]


def test_earlier_names_win_over_later_ones() -> None:
    """What the server returned is preferred to what was asked, in any order of attributes."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.attributes.add(key=semconv.GEN_AI_REQUEST_MODEL).value.string_value = "asked"
    span.attributes.add(key=semconv.GEN_AI_RESPONSE_MODEL).value.string_value = "returned"
    span.attributes.add(key=semconv.GEN_AI_REQUEST_MODEL).value.string_value = "asked again"

    batch = decode(request.SerializeToString(), ROLES)

    assert text_at(batch, ROLES.text("model"), 0) == "returned"


def test_unknown_role_override_is_refused() -> None:
    """An override for a role that does not exist names the roles that do."""
    with pytest.raises(ValueError, match=r"detection\.roles\.modle: must be one of"):
        role_table(overrides={"modle": ["x"]})


def test_one_attribute_cannot_play_two_roles() -> None:
    """An attribute given to two roles is refused by name."""
    with pytest.raises(ValueError, match=r"spanward\.decision"):
        role_table(overrides={"model": [semconv.DECISION]})


def test_more_names_than_are_told_apart_are_refused() -> None:
    """A role with more names than a claim has room for is refused, with how many it can have."""
    with pytest.raises(ValueError, match=r"detection\.roles: one role can have 65536 names"):
        role_table(overrides={"model": [f"name.{number}" for number in range(65_537)]})
