"""What no well-meaning sender does: each is answered clearly, counted, and changes nothing for the others."""

import random
import socket
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

import running
from spans import any_value, encoded, eventually, nested, request, span, spans_of
from spanward import semconv
from spanward_processor.server import Processor

FAST = {"window_s": 0.5, "lateness_s": 0}
Served = tuple[running.Backend, Processor]


@pytest.fixture(scope="module")
def served() -> Generator[Served]:
    """One processor and one backend for all: what one test sends must not matter to the next."""
    with running.backend() as (backend, port), running.processor(port, detection=FAST) as processor:
        yield backend, processor


def last_received(served: Served, sent: bytes) -> bytes:
    """Export bytes; return what the backend got for them."""
    backend, processor = served
    before = len(backend.traces)
    assert running.export(processor.receiver_address, sent) == b""
    assert len(backend.traces) == before + 1
    return backend.traces[-1].SerializeToString()


def refusal_of(address: str, sent: bytes, **options: Any) -> grpc.RpcError:
    """Export bytes that are refused; return the refusal."""
    with pytest.raises(grpc.RpcError) as refusal:
        running.export(address, sent, **options)
    return refusal.value


GOOD = encoded(span())
UNDECODABLE = {
    "text": b"hello, world",
    "JSON": b'{"resourceSpans": []}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "cut short": GOOD[:-3],
    "cut inside a tag": GOOD + b"\x80",
    "varint of eleven bytes": b"\x08" + b"\xff" * 10 + b"\x01",
    "field number 0": b"\x00\x01",
    "wire type 7": b"\x0f",
    "group": b"\x0b\x0c",
    "length beyond the end": b"\x0a\xff\xff\xff\xff\x0f",
    "length of 2^63": b"\x0a" + b"\xff" * 8 + b"\x7f",
    "text that is not UTF-8": encoded(span(name="good")).replace(b"good", b"\xff\xfe\xfd\xfc"),
    "lone surrogate": encoded(span(name="abc")).replace(b"abc", b"\xed\xa0\x80"),
    "value that is not UTF-8": encoded(span({"k": "good"})).replace(b"good", b"\xc0\x80\xc0\x80"),
}


@pytest.mark.parametrize("kind", UNDECODABLE)
def test_undecodable_bytes_are_refused_with_the_reason(kind: str, served: Served) -> None:
    """INVALID_ARGUMENT, a text that says what and where, one refused request counted, nothing forwarded."""
    backend, processor = served
    before = processor.counts.refused_requests, processor.counts.accepted, len(backend.traces)

    error = refusal_of(processor.receiver_address, UNDECODABLE[kind])

    assert cast("Any", error).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert cast("Any", error).details().startswith("not an ExportTraceServiceRequest: ")
    assert (before[0] + 1, *before[1:]) == (
        processor.counts.refused_requests,
        processor.counts.accepted,
        len(backend.traces),
    )
    assert last_received(served, GOOD) == GOOD


def test_random_bytes_never_break_anything(served: Served) -> None:
    """Noise, and good requests with a few bytes changed, are taken or refused, and the next good one is served."""
    _, processor = served
    seed = 20
    print("seed", seed)
    rng = random.Random(seed)
    codes: set[grpc.StatusCode] = set()
    original = encoded(*(span({semconv.SCORE: 0.5, semconv.DECISION: "a", "n": nested(3)}) for _ in range(20)))
    for number in range(150):
        changed = bytearray(rng.randbytes(rng.randrange(1, 300)) if number % 3 == 0 else original)
        for _ in range(rng.randrange(1, 6)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            running.export(processor.receiver_address, bytes(changed))
        except grpc.RpcError as error:
            codes.add(cast("Any", error).code())
    assert codes == {grpc.StatusCode.INVALID_ARGUMENT}
    processor.pipeline.flush()

    assert last_received(served, GOOD) == GOOD


@pytest.mark.parametrize("sent", [b"", b"\x0a\x00", b"\x0a\x02\x12\x00", b"\xfa\x3f\x00"])
def test_a_request_without_spans_is_a_success(sent: bytes, served: Served) -> None:
    """No resource, no scope, no span, only an unknown field: nothing is wrong with any of them."""
    _, processor = served
    before = processor.counts.accepted

    assert running.export(processor.receiver_address, sent) == b""
    assert before == processor.counts.accepted


def test_nesting_beyond_the_limit_is_refused_and_below_it_kept(served: Served) -> None:
    """Deep values cost no stack: some depth is kept to the byte, more is refused as too deep."""
    _, processor = served
    kept = encoded(span({"deep": nested(20)}))

    assert last_received(served, kept) == kept
    for depth in (90, 2_000, 50_000):
        error = refusal_of(processor.receiver_address, _nested_bytes(depth))
        assert cast("Any", error).code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "nested too deep" in cast("Any", error).details()


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def _nested_bytes(depth: int) -> bytes:
    """Return a request whose value is nested deeper than the official library would write."""
    value = _field(1, b"inside")
    for _ in range(depth):
        value = _field(5, _field(1, value))
    return _field(1, _field(2, _field(2, _field(9, _field(1, b"k") + _field(2, value)))))


def test_a_hundred_thousand_attributes_are_refused_and_their_neighbours_taken(served: Served) -> None:
    """An absurd span costs nobody else anything: the request goes on without it."""
    backend, processor = served
    absurd = span({f"attribute-{number}": number for number in range(100_000)})
    kept = [span({"place": "before"}), span({"place": "after"})]
    before = processor.counts.refused

    reply = running.export(processor.receiver_address, encoded(kept[0], absurd, kept[1]))

    assert ExportTraceServiceResponse.FromString(reply).partial_success.rejected_spans == 1
    assert spans_of(backend.traces[-1]) == kept
    assert processor.counts.refused == before + 1


@pytest.mark.parametrize("name", [semconv.MODEL_NAME, semconv.DECISION, semconv.CHANNEL, semconv.CLIENT_ID, "other"])
def test_long_texts_are_kept_on_the_span_and_cut_in_what_we_remember(name: str, served: Served) -> None:
    """A megabyte where a name belongs is forwarded, and not kept in memory."""
    _, processor = served
    sent = encoded(span({name: "x" * (1 << 20)}))

    assert last_received(served, sent) == sent
    processor.pipeline.flush()
    assert max(len(str(standing.series)) for standing in processor.pipeline.panorama.standings()) < 1_000


def _memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
@pytest.mark.parametrize("name", [semconv.MODEL_NAME, semconv.CHANNEL, semconv.DECISION])
def test_a_hundred_thousand_distinct_values_keep_memory_bounded(name: str) -> None:
    """Values that never repeat fill the tables once; as many again do not make the process grow."""
    limits = {"keys": 500, "slices_per_series": 50, "cells_per_window": 20_000, "texts": 4_096}
    with running.processor(limits=limits, detection=FAST) as processor:
        sizes: list[float] = []
        for wave in range(2):
            sent = encoded(*(span({name: f"wave-part-{number:04}-{'x' * 100}"}) for number in range(2_000)))
            for part in range(50):
                running.export(processor.receiver_address, sent.replace(b"wave-part", f"{wave:04}-{part:04}".encode()))
            processor.pipeline.flush()
            sizes.append(_memory_mb())
        shown = len(processor.pipeline.panorama.standings())

    print("resident megabytes after each wave", sizes)
    assert processor.counts.accepted == 200_000
    assert sizes[1] - sizes[0] < 40
    assert shown <= 501


@pytest.mark.parametrize("name", ["start_time_unix_nano", "end_time_unix_nano"])
@pytest.mark.parametrize("time_ns", [0, 1, 1 << 62, 1 << 63, (1 << 64) - 1, 4_102_444_800_000_000_000])
def test_absurd_times_are_kept_and_hold_up_nobody(name: str, time_ns: int) -> None:
    """A span from 1970, from 2100 or with a sign bit goes through; others' windows go on and none of theirs is late."""
    fields: Any = {name: time_ns}
    sent = encoded(span(**fields))
    with running.backend() as (backend, port), running.processor(port, detection=FAST) as processor:
        assert last_received((backend, processor), sent) == sent
        for _ in range(3):
            running.export(processor.receiver_address, encoded(span(), span()))
            assert eventually(lambda: bool(processor.pipeline.panorama.standings()))
        panorama = processor.pipeline.panorama
        assert eventually(lambda: abs(time.time_ns() - panorama.watermark_ns) < 60_000_000_000)

    assert processor.counts.late <= 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 5e-324, -0.0])
@pytest.mark.parametrize("name", [semconv.SCORE, semconv.FEATURES_SPARSITY, semconv.GEN_AI_USAGE_INPUT_TOKENS])
def test_numbers_that_are_none_or_out_of_range_are_kept(name: str, value: float, served: Served) -> None:
    """NaN and infinities go through unchanged and do not poison a baseline."""
    _, processor = served
    sent = encoded(span({name: value}))

    assert last_received(served, sent) == sent
    processor.pipeline.flush()


WRONG_TYPES = {
    "text": any_value("not a number"),
    "integer": any_value(-(1 << 63)),
    "boolean": any_value(True),
    "bytes": any_value(b"\xff\x00"),
    "list": nested(1),
    "deep list": nested(30),
    "nothing": type(nested(0))(),
}


@pytest.mark.parametrize("kind", WRONG_TYPES)
def test_attributes_of_the_wrong_type_are_kept(kind: str, served: Served) -> None:
    """Every role takes whatever comes: what cannot be read says nothing, and the span is forwarded as it came."""
    _, processor = served
    names = [
        semconv.MODEL_NAME,
        semconv.MODEL_VERSION,
        semconv.SCORE,
        semconv.DECISION,
        semconv.CHANNEL,
        semconv.CLIENT_ID,
        semconv.FEATURES_HASH,
        semconv.FEATURES_FINGERPRINT,
        semconv.FEATURES_COUNT,
        semconv.GEN_AI_USAGE_INPUT_TOKENS,
        semconv.ERROR_TYPE,
    ]
    sent = encoded(span(dict.fromkeys(names, WRONG_TYPES[kind])))

    assert last_received(served, sent) == sent
    processor.pipeline.flush()


def test_unknown_fields_and_enum_values_pass_through(served: Served) -> None:
    """What a newer OTLP may add is none of our business: fields at every level, new kinds and states."""
    backend, processor = served
    unknown = b"\xfa\x3f\x03new\xc0\x3e\x07"
    made = span()
    made.MergeFromString(unknown + b"\x30\x63")  # kind 99
    made.status.MergeFromString(b"\x18\x4d" + unknown)  # status 77
    sent = request([made])
    for message in (
        sent,
        sent.resource_spans[0],
        sent.resource_spans[0].scope_spans[0],
        sent.resource_spans[0].resource,
    ):
        cast("Any", message).MergeFromString(unknown)
    before = len(backend.traces)

    running.export(processor.receiver_address, sent.SerializeToString())

    assert backend.traces[before].SerializeToString() == sent.SerializeToString()
    assert sent.SerializeToString().count(unknown) == 6


@pytest.mark.parametrize("place", ["first", "middle", "last", "alone", "twice", "any suffix", "any type"])
def test_forged_verdicts_are_removed_wherever_they_stand(place: str, served: Served) -> None:
    """Attributes under the processor's prefix are removed and counted; their neighbours stay."""
    backend, processor = served
    name = "spanward.anomaly.invented" if place == "any suffix" else semconv.ANOMALY_FINDING_ID
    value = nested(2) if place == "any type" else any_value("forged")
    made = span({"a": 1, "b": 2})
    kept = [] if place == "alone" else list(made.attributes)
    forged = [type(made.attributes[0])(key=name, value=value)] * (2 if place == "twice" else 1)
    at = {"first": 0, "middle": 1}.get(place, len(kept))
    sent, expected = span(), span()
    for target, attributes in ((sent, [*kept[:at], *forged, *kept[at:]]), (expected, kept)):
        target.CopyFrom(made)
        del target.attributes[:]
        target.attributes.extend(attributes)
    before = len(backend.traces), processor.counts.removed

    running.export(processor.receiver_address, encoded(sent, made))

    assert spans_of(backend.traces[before[0]]) == [expected, made]
    assert processor.counts.removed == before[1] + len(forged)


@pytest.mark.parametrize("place", ["resource", "scope", "both"])
def test_forged_verdicts_on_resources_and_scopes_are_removed(place: str, served: Served) -> None:
    """Many consumers show a resource's attributes as the span's own; there nobody may claim to have been judged either."""
    backend, processor = served
    sent, expected = request([span()]), ExportTraceServiceRequest()
    expected.CopyFrom(sent)
    resource = sent.resource_spans[0]
    if place != "scope":
        resource.resource.attributes.add(key=semconv.ANOMALY_SCORE).value.double_value = 9.0
    if place != "resource":
        resource.scope_spans[0].scope.attributes.add(key=semconv.ANOMALY_SCORE).value.double_value = 9.0
    if place != "resource":
        expected.resource_spans[0].scope_spans[0].scope.SetInParent()
    before = processor.counts.removed

    running.export(processor.receiver_address, sent.SerializeToString())

    assert backend.traces[-1].SerializeToString() == expected.SerializeToString()
    assert processor.counts.removed == before + (2 if place == "both" else 1)


def test_many_clients_at_once_are_all_served(served: Served) -> None:
    """Sixteen senders with connections of their own lose nothing, and every span is counted once."""
    backend, processor = served
    before = processor.counts.accepted, len(backend.traces)

    def send(client: int) -> None:
        with grpc.insecure_channel(processor.receiver_address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = cast("Any", channel).unary_unary(METHOD)
            for number in range(20):
                assert call(encoded(*[span({"client": client, "number": number})] * 5), timeout=60) == b""

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(16)))

    assert (before[0] + 1600, before[1] + 320) == (processor.counts.accepted, len(backend.traces))
    seen = {
        tuple(item.value.int_value for item in spans_of(each)[0].attributes[1:]) for each in backend.traces[before[1] :]
    }
    assert seen == {(client, number) for client in range(16) for number in range(20)}


METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01half",
        bytes(4096),
    ],
)
def test_a_connection_that_breaks_off_disturbs_nobody(sent: bytes, served: Served) -> None:
    """Half a handshake, another protocol, a frame that never ends: the next sender is served."""
    _, processor = served
    host, _, port = processor.receiver_address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)

    assert last_received(served, GOOD) == GOOD


def test_a_sender_that_leaves_in_mid_request_frees_its_place() -> None:
    """A cancelled request counts no longer as in flight, so the next one gets in."""
    limits = {"in_flight_requests": 1}
    with running.backend() as (backend, port), running.processor(port, limits=limits) as processor:
        backend.answering.clear()
        channel = grpc.insecure_channel(processor.receiver_address)
        leaving = cast("Any", channel).unary_unary(METHOD).future(GOOD, timeout=60)
        assert eventually(lambda: backend.asked == 1)
        assert cast("Any", refusal_of(processor.receiver_address, GOOD)).code() is grpc.StatusCode.UNAVAILABLE
        leaving.cancel()
        channel.close()
        backend.answering.set()

        assert eventually(lambda: _is_taken(processor))


def _is_taken(processor: Processor) -> bool:
    try:
        running.export(processor.receiver_address, GOOD)
    except grpc.RpcError:
        return False
    return True


def test_one_bad_sender_among_good_ones_changes_nothing_for_them(served: Served) -> None:
    """While one sends rubbish without pause, every good request is taken."""
    _, processor = served
    before = processor.counts.accepted
    with ThreadPoolExecutor(2) as pool:
        rubbish = pool.submit(lambda: [refusal_of(processor.receiver_address, UNDECODABLE["text"]) for _ in range(40)])
        good = pool.submit(lambda: [running.export(processor.receiver_address, GOOD) for _ in range(40)])
        assert good.result() == [b""] * 40
        assert len(rubbish.result()) == 40

    assert processor.counts.accepted == before + 40


def test_other_methods_and_services_are_unimplemented(served: Served) -> None:
    """A wrong path is told as such."""
    _, processor = served
    with grpc.insecure_channel(processor.receiver_address) as channel:
        call = cast("Any", channel).unary_unary("/opentelemetry.proto.collector.profiles.v1.ProfilesService/Export")
        with pytest.raises(grpc.RpcError) as refusal:
            call(b"", timeout=20)

    assert cast("Any", refusal.value).code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_request_of_another_encoding_is_the_same_request(served: Served) -> None:
    """Gzip on the way in is undone by gRPC; the backend gets the same message."""
    backend, processor = served
    before = len(backend.traces)
    with grpc.insecure_channel(processor.receiver_address, compression=grpc.Compression.Gzip) as channel:
        cast("Any", channel).unary_unary(METHOD)(GOOD, timeout=20)

    assert backend.traces[before] == ExportTraceServiceRequest.FromString(GOOD)
