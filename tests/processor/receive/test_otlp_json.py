"""OTLP JSON by our kernels, beside the general ProtoJSON parser."""

import json
import struct
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from google.protobuf.message import Message
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from json_documents import REQUESTS, random_document, random_double, slow_reader
from spanward_processor.decode import UndecodableError
from spanward_processor.receive.otlp_json import from_protobuf, to_protobuf
from spanward_processor.signals import Signal

signals = pytest.mark.parametrize("signal", list(Signal))
seeds = st.integers(0, 2**64)

# what a Triton 2.51 with its C++ SDK 1.13 sent for two inferences, the second with a traceparent; the model "Linear" of pytriton
TRITON = (Path(__file__).parent / "triton-2.51.json").read_bytes()


def one_span(document: str) -> Span:
    """Return the span that the text of a JSON object describes."""
    request = ExportTraceServiceRequest.FromString(to_protobuf(Signal.TRACES, around(document)))
    return request.resource_spans[0].scope_spans[0].spans[0]


def around(span: str) -> bytes:
    """Return a document with one span."""
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'.encode()


def one_value(document: str) -> AnyValue:
    """Return the attribute's value that the text of a JSON object describes."""
    return one_span(f'{{"attributes":[{{"key":"k","value":{document}}}]}}').attributes[0].value


def same(signal: Signal, encoded: bytes, expected: Message) -> bool:
    """Return whether bytes are an encoding of a message; by its bits, so that NaN equals NaN."""
    parsed = REQUESTS[signal].FromString(encoded)
    return parsed.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)


@signals
@settings(max_examples=300)
@given(seed=seeds)
def test_random_document_means_what_the_general_parser_says(signal: Signal, seed: int) -> None:
    """Whatever the mapping allows, in any order and spelling, is read alike."""
    document = random_document(Random(seed), signal)

    assert same(signal, to_protobuf(signal, document), slow_reader(signal, document))


@signals
@settings(max_examples=500)
@given(seed=seeds, changes=st.integers(1, 4))
def test_damaged_document_is_refused_or_read_alike(signal: Signal, seed: int, changes: int) -> None:
    """Random damage never crashes, and what is still taken means what the general parser says."""
    rng = Random(seed)
    document = bytearray(random_document(rng, signal))
    for _ in range(changes):
        at = rng.randrange(len(document))
        what = rng.randrange(4)
        if what == 0:
            document[at] = rng.randrange(256)
        elif what == 1:
            document[at:at] = rng.choice(
                [b'"', b"\\", b"{", b"]", b",", b":", b"0", b"-", b"e5", b"null", b"\xed\xa0\x80"]
            )
        elif what == 2:
            del document[at : at + rng.randint(1, 8)]
        else:
            start = rng.randrange(len(document))
            document[at:at] = document[start : start + rng.randint(1, 30)]
        document = document or bytearray(b"{")
    try:
        encoded = to_protobuf(signal, bytes(document))
    except UndecodableError:
        return
    assert same(signal, encoded, slow_reader(signal, bytes(document)))


def test_document_cut_anywhere_is_refused() -> None:
    """No prefix of a document is a document, and the error says where it ends."""
    for cut in range(len(TRITON)):
        with pytest.raises(UndecodableError, match=rf"byte {cut}: the document must be whole"):
            to_protobuf(Signal.TRACES, TRITON[:cut])


@given(noise=st.binary(max_size=60))
def test_noise_is_refused(noise: bytes) -> None:
    """Bytes that are no JSON are an error of ours, never another one."""
    assume(b"}" not in noise)
    with pytest.raises(UndecodableError):
        to_protobuf(Signal.TRACES, b"{" + noise)


def test_triton_server_document_is_read() -> None:
    """What a real server sent gives the spans that it meant: three an inference, the model named on the middle one."""
    encoded = to_protobuf(Signal.TRACES, TRITON)
    spans = ExportTraceServiceRequest.FromString(encoded).resource_spans[0].scope_spans[0].spans

    assert same(Signal.TRACES, encoded, slow_reader(Signal.TRACES, TRITON))
    assert [span.name for span in spans] == ["compute", "Linear", "InferRequest"] * 2
    assert spans[4].trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert spans[5].parent_span_id.hex() == "b7ad6b7169203331"
    assert [item.key for item in spans[4].attributes][:2] == ["triton.model_name", "triton.model_version"]
    assert spans[4].attributes[1].value.int_value == 1
    assert spans[4].end_time_unix_nano - spans[4].start_time_unix_nano == 4_127_952


@pytest.mark.parametrize("quirk", ["numbers", "null status", "null resource", "null scope", "null value"])
def test_triton_server_document_with_older_quirks_is_read(quirk: str) -> None:
    """The C++ SDK writes null for a message without fields, and once wrote 64-bit integers as numbers."""
    document = json.loads(TRITON)
    resource = document["resourceSpans"][0]
    spans = resource["scopeSpans"][0]["spans"]
    if quirk == "numbers":
        for span in spans:
            span |= {name: int(span[name]) for name in ("startTimeUnixNano", "endTimeUnixNano")}
    elif quirk == "null status":
        spans[0]["status"] = None
    elif quirk == "null value":
        spans[1]["attributes"].append({"key": "nothing", "value": None})
    else:
        target, name = (resource, "resource") if quirk == "null resource" else (resource["scopeSpans"][0], "scope")
        target[name] = None
    text = json.dumps(document).encode()

    encoded = to_protobuf(Signal.TRACES, text)

    assert same(Signal.TRACES, encoded, slow_reader(Signal.TRACES, text))
    assert len(ExportTraceServiceRequest.FromString(encoded).resource_spans[0].scope_spans[0].spans) == 6


def test_doubles_are_rounded_correctly() -> None:
    """Every double has the bits that Python's own parser gives it."""
    rng = Random(20_261_125)
    texts = [text for text in (random_double(rng) for _ in range(20_000)) if text[0] != '"']
    document = {"arrayValue": {"values": [{"doubleValue": f"@{at}"} for at in range(len(texts))]}}
    text = json.dumps(document)
    for at, number in enumerate(texts):
        text = text.replace(f'"@{at}"', number, 1)
    values = one_value(text).array_value.values

    assert [struct.pack("<d", value.double_value) for value in values] == [
        struct.pack("<d", float(text)) for text in texts
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"\\u0041\\n\\/\\"\\\\"', 'A\n/"\\'),
        ('"\\u00e9\\u6f22\\ud83d\\ude00"', "é漢😀"),
        ('"\\ud83d"', "\ufffd"),
        ('"\\ude00\\ud83dx"', "\ufffd\ufffdx"),
        ('"\\ud83d\\ud83d\\ude00"', "\ufffd😀"),
    ],
)
def test_escapes_become_utf8(text: str, expected: str) -> None:
    """Pairs of surrogates are one character, half a pair is U+FFFD: a cut emoji does not cost the request."""
    assert one_span(f'{{"name":{text}}}').name == expected


def test_original_field_names_are_understood() -> None:
    """Senders that write the names of the .proto files are read, as ProtoJSON parsers must."""
    span = one_span('{"trace_id":"0AF7651916cd43dd8448eb211c80319c","start_time_unix_nano":"7"}')

    assert (span.trace_id.hex(), span.start_time_unix_nano) == ("0af7651916cd43dd8448eb211c80319c", 7)


def test_last_of_equal_names_counts() -> None:
    """A repeated name replaces the value before it, lists included; null takes it back."""
    span = one_span('{"name":"a","links":[{},{}],"kind":3,"name":"b","links":[{}],"kind":null}')

    assert (span.name, len(span.links), span.kind) == ("b", 1, 0)


def test_spans_without_content_are_spans() -> None:
    """Empty objects in a list are counted; a document full of them fits."""
    request = ExportTraceServiceRequest.FromString(to_protobuf(Signal.TRACES, around(",".join(["{}"] * 50_000))))

    assert len(request.resource_spans[0].scope_spans[0].spans) == 50_000


def test_empty_document_is_an_empty_request() -> None:
    """No telemetry is no error."""
    assert to_protobuf(Signal.METRICS, b" {} ") == b""


def test_value_that_is_empty_but_present_stays_present() -> None:
    """An empty string in an attribute is a string, not nothing."""
    assert one_value('{"stringValue":""}').WhichOneof("value") == "string_value"
    assert one_value('{"intValue":0}').WhichOneof("value") == "int_value"
    assert one_value("{}").WhichOneof("value") is None


WRONG = {
    '{"name":1}': "byte 51: a value must be of its field's kind",
    '{"name":"\t"}': "a control character",
    '{"name":"\\x"}': "an escape in a string",
    '{"kind":1.5}': "byte 51: a number must be in the range of its field",
    '{"kind":2147483648}': "a number must be in the range",
    '{"flags":-1}': "a number must be in the range",
    '{"startTimeUnixNano":"18446744073709551616"}': "a number must be in the range",
    '{"startTimeUnixNano":"1e3"}': "a quoted integer as decimal digits",
    '{"startTimeUnixNano":01}': "the document must be JSON",
    '{"startTimeUnixNano":1.}': "a number must be written as JSON has it",
    '{"startTimeUnixNano":true}': "of its field's kind",
    '{"traceId":"abc"}': "an id must be pairs of hexadecimal digits",
    '{"traceId":"zz"}': "an id must be pairs of hexadecimal digits",
    '{"attributes":{}}': "of its field's kind",
    '{"attributes":[null]}': "a list must not hold null",
    '{"attributes":[{"value":{"bytesValue":"a"}}]}': "bytes must be base64",
    '{"attributes":[{"value":{"bytesValue":"aa=a"}}]}': "bytes must be base64",
    '{"attributes":[{"value":{"doubleValue":NaN}}]}': "of its field's kind",
    '{"attributes":[{"value":{"doubleValue":1e999}}]}': "a number must be in the range",
    '{"attributes":[{"value":{"stringValue":"a","intValue":1}}]}': "a value must be of one kind",
    '{"x":nul}': "a bare word must be",
    '{"x":1,}': "the document must be JSON",
    '{"x" 1}': "the document must be JSON",
    "null": "a list must not hold null",
}


@pytest.mark.parametrize("span", list(WRONG))
def test_error_names_place_and_rule(span: str) -> None:
    """What is wrong is said so that its sender can find it."""
    with pytest.raises(UndecodableError) as caught:
        to_protobuf(Signal.TRACES, around(span))

    assert WRONG[span] in str(caught.value)
    assert str(caught.value).startswith("not an ExportTraceServiceRequest in JSON: byte ")


@pytest.mark.parametrize("document", [b"", b" ", b"[]", b"null", b'""', b"1", b"{} {}", b"\xef\xbb\xbf{}"])
def test_document_must_be_one_object(document: bytes) -> None:
    """Anything else at the top is refused, a byte order mark too."""
    with pytest.raises(UndecodableError):
        to_protobuf(Signal.TRACES, document)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [('{"arrayValue":{"values":[', "]}}"), ('{"kvlistValue":{"values":[{"key":"k","value":', "}]}}")],
)
def test_nesting_is_bounded(opening: str, closing: str) -> None:
    """Thirty levels of values are read, which every protobuf parser can follow; thousands are refused."""
    for levels in (1, 30):
        one_value(opening * levels + "{}" + closing * levels)
    with pytest.raises(UndecodableError, match="nested at most"):
        one_value(opening * 5_000 + "{}" + closing * 5_000)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")])
def test_nesting_of_unknown_fields_is_bounded(opening: str, closing: str) -> None:
    """What nobody reads cannot exhaust the stack either."""
    assert one_span(f'{{"x":{opening * 200}0{closing * 200}}}') == Span()
    with pytest.raises(UndecodableError, match="nested at most"):
        one_span(f'{{"x":{opening * 100_000}0{closing * 100_000}}}')


@signals
def test_reply_becomes_json(signal: Signal) -> None:
    """The answer to a JSON request is JSON: an empty object when all was taken."""
    assert from_protobuf(signal, b"") == b"{}"
    counted = {Signal.TRACES: "rejectedSpans", Signal.METRICS: "rejectedDataPoints", Signal.LOGS: "rejectedLogRecords"}
    reply = cast("dict[str, Any]", json.loads(from_protobuf(signal, b"\x0a\x05\x08\x03\x12\x01m")))
    assert reply == {"partialSuccess": {counted[signal]: "3", "errorMessage": "m"}}
