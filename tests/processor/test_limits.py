"""Every limit of the configuration holds; each test bears the name of its limit."""

import base64
import gzip
import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import running
from spans import any_value, encoded, eventually, span, spans_of
from spanward import semconv
from spanward_processor.configuration.config import Config
from spanward_processor.pruning import SPAN_LIMITS
from spanward_processor.server import Processor

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
FAST = {"window_s": 1, "lateness_s": 0}
NONE_OVER = dict.fromkeys(SPAN_LIMITS, 0)
BOTH = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"}


def test_every_limit_has_a_test_of_its_name() -> None:
    """A limit without a test is noticed."""
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}

    assert set(type(Config().limits).model_fields) <= tested


def refusal_of(processor: Processor, sent: bytes) -> Any:
    """Export bytes that are refused; return the refusal."""
    with pytest.raises(grpc.RpcError) as refusal:
        running.export(processor.receiver_address, sent)
    return refusal.value


def place(address: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT."""
    host, port = address.split(":")
    return host, int(port)


def post(processor: Processor, sent: bytes, source: str = "127.0.0.1", **headers: str) -> http.client.HTTPResponse:
    """Export bytes over HTTP on a connection of its own; return the answer's head."""
    return ask(processor, sent, source, **headers)[0]


def ask(
    processor: Processor, sent: bytes, source: str = "127.0.0.1", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """Export bytes over HTTP on a connection of its own; return the answer's head and its body."""
    connection = http.client.HTTPConnection(*place(processor.http_address), timeout=20, source_address=(source, 0))
    try:
        connection.request("POST", "/v1/traces", sent, {"content-type": "application/x-protobuf", **headers})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def shown(processor: Processor) -> list[str]:
    """Return the series that have a key of their own, by model and slice."""
    processor.pipeline.flush()
    return [
        f"{standing.series.model}{'/' + standing.series.slice[1] if standing.series.slice else ''}"
        for standing in processor.pipeline.panorama.standings()
    ]


def metric(backend: running.Backend, name: str) -> list[float]:
    """Return every value of a metric in the newest export."""
    newest = backend.metrics[-1].resource_metrics[0].scope_metrics[0].metrics
    points = [point for each in newest if each.name == name for point in (each.sum or each.gauge).data_points]
    return [point.as_int or point.as_double for point in points]


def assert_refuses_one_of_three(limits: dict[str, int], refused: Span, rule: str) -> None:
    """Send a refused span between two others, over gRPC and over HTTP in both encodings, with a journal and without.

    Each time the two others arrive to the byte, and the answer counts the one and says why.
    """
    first, last = span({"place": "first"}), span({"place": "last"})
    sent, kept = encoded(first, refused, last), encoded(first, last)
    name = next(iter(limits))
    with running.backend() as (backend, port), running.processor(port, receiver=BOTH, limits=limits) as processor:
        replies = [
            running.export(processor.receiver_address, sent),
            ask(processor, sent)[1],
            ParseDict(post_json(processor, sent), ExportTraceServiceResponse()).SerializeToString(),
        ]
        counts = processor.counts

    for reply in replies:
        partial = ExportTraceServiceResponse.FromString(reply).partial_success
        assert partial.rejected_spans == 1
        assert partial.error_message.startswith(f"limits.{name}: {rule}")
        assert "in span 2 of 3" in partial.error_message
    assert [each.SerializeToString() for each in backend.traces] == [kept] * 3
    assert (counts.accepted, counts.refused, counts.over_limit) == (6, 3, NONE_OVER | {name: 3})


def post_json(processor: Processor, sent: bytes) -> dict[str, object]:
    """Export a request over HTTP in JSON; return the decoded answer."""
    document = MessageToDict(ExportTraceServiceRequest.FromString(sent), use_integers_for_enums=True)
    for resource in document["resourceSpans"]:
        for each in (each for scope in resource["scopeSpans"] for each in scope["spans"]):
            each |= {name: base64.b64decode(each[name]).hex() for name in ("traceId", "spanId")}
    body = json.dumps(document).encode()
    answer: dict[str, object] = json.loads(ask(processor, body, **{"content-type": "application/json"})[1])
    return answer


def test_attributes_per_span() -> None:
    """A span with one attribute too many is refused alone; one with as many as allowed is taken."""
    most = {f"a{number}": number for number in range(39)}  # and the model's name
    refused = span(most | {"one more": 1})

    assert_refuses_one_of_three(
        {"attributes_per_span": 40}, refused, "a span must have at most 40 attributes, got 41 in span 2"
    )
    with running.processor(limits={"attributes_per_span": 40}) as processor:
        assert running.export(processor.receiver_address, encoded(span(most), span(most))) == b""


@pytest.mark.parametrize("place", ["attribute", "bytes", "list", "name", "event", "link", "status"])
def test_string_bytes(place: str) -> None:
    """A span with a value that is too long, wherever in it, is refused alone."""
    text = "x" * 1_001
    held = any_value(text)
    values = {"attribute": held, "bytes": any_value(text.encode()), "list": inside_list(held)}
    refused = span({"k": values[place]} if place in values else {}, name=text if place == "name" else "")
    if place == "event":
        refused.events.add().attributes.add(key="k").value.CopyFrom(held)
    if place == "link":
        refused.links.add(trace_state=text)
    refused.status.message = text if place == "status" else ""

    assert_refuses_one_of_three(
        {"string_bytes": 1_000}, refused, "a text or bytes value must have at most 1000 bytes, got 1001 in span 2"
    )


def inside_list(value: AnyValue) -> AnyValue:
    """Return a list that holds a value."""
    outer = AnyValue()
    outer.array_value.values.add().CopyFrom(value)
    return outer


def test_values_as_long_as_allowed_are_taken() -> None:
    """The limit itself is allowed, and many values that are long only together."""
    sent = encoded(span({f"k{number}": "x" * 1_000 for number in range(20)}))
    with running.backend() as (backend, port), running.processor(port, limits={"string_bytes": 1_000}) as processor:
        assert running.export(processor.receiver_address, sent) == b""

    assert backend.traces[0].SerializeToString() == sent


def test_refused_spans_stay_out_of_the_journal(tmp_path: Path) -> None:
    """With a journal the sender is told the same at once, and only the rest is kept and delivered."""
    journal = {"folder": str(tmp_path)}
    long, short = span({"k": "x" * 5_000}), span({"k": "short"})
    with (
        running.backend() as (backend, port),
        running.processor(port, limits={"string_bytes": 1_000}, journal=journal) as processor,
    ):
        told = running.export(processor.receiver_address, encoded(long, short))
        nothing_left = running.export(processor.receiver_address, encoded(long, long))
        assert eventually(lambda: len(backend.traces) > 0)
        assert eventually(lambda: processor.delivery.backends[0].sent.spans == 1)

    assert ExportTraceServiceResponse.FromString(told).partial_success.rejected_spans == 1
    assert ExportTraceServiceResponse.FromString(nothing_left).partial_success.rejected_spans == 2
    assert [spans_of(each) for each in backend.traces] == [[short]]


def test_a_refused_span_is_told_to_its_own_sender_only() -> None:
    """Of requests that come together, and are taken as one, each sender hears about its own."""
    long, short = encoded(span({"k": "x" * 5_000})), encoded(span({"k": "short"}))
    with running.processor(limits={"string_bytes": 1_000}) as processor:
        with grpc.insecure_channel(processor.receiver_address) as channel:
            call = cast("Any", channel).unary_unary(METHOD)
            sent = [long if number % 5 == 0 else short for number in range(50)]
            replies = [each.result() for each in [call.future(each, timeout=20) for each in sent]]
        counts = processor.counts

    rejected = [ExportTraceServiceResponse.FromString(reply).partial_success.rejected_spans for reply in replies]
    assert rejected == [int(each is long) for each in sent]
    assert (counts.accepted, counts.refused) == (40, 10)


def test_a_span_over_both_limits_counts_once() -> None:
    """The reasons of one request stand side by side, and their spans add up to what is rejected."""
    limits = {"attributes_per_span": 10, "string_bytes": 1_000}
    many = {f"a{number}": "x" for number in range(20)}
    with running.processor(limits=limits) as processor:
        spans = [span(many | {"k": "x" * 5_000}), span(many), span({"k": "x" * 5_000}), span()]
        reply = running.export(processor.receiver_address, encoded(*spans))
        counts = processor.counts
    partial = ExportTraceServiceResponse.FromString(reply).partial_success

    assert partial.rejected_spans == 3
    assert "limits.attributes_per_span" in partial.error_message
    assert "limits.string_bytes" in partial.error_message
    assert counts.over_limit == {"attributes_per_span": 2, "string_bytes": 1}


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_message_bytes(compression: grpc.Compression) -> None:
    """A larger message is refused, also one that is small only while compressed; the largest allowed one is taken.

    Over HTTP too.
    """
    fitting = encoded(span({"text": "x" * 99_000}))
    limits = {"message_bytes": len(fitting), "compression_ratio": 1_000}  # equal bytes pack more than 200-fold
    with running.backend() as (backend, port), running.processor(port, receiver=BOTH, limits=limits) as processor:
        longer = encoded(span({"text": "x" * 99_001}))
        with grpc.insecure_channel(processor.receiver_address, compression=compression) as channel:
            call = cast("Any", channel).unary_unary(METHOD)
            call(fitting, timeout=20)
            with pytest.raises(grpc.RpcError) as refusal:
                call(longer, timeout=20)
            call(fitting, timeout=20)
        packed = compression is grpc.Compression.Gzip
        headers = {"content-encoding": "gzip"} if packed else {}
        statuses = [
            post(processor, gzip.compress(each) if packed else each, **headers).status for each in (fitting, longer)
        ]

        assert cast("Any", refusal.value).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert statuses == [200, 413]
        assert len(backend.traces) == 3


def _told_to_come_back(error: Any) -> bool:
    info = RetryInfo()
    details: dict[str, bytes] = dict(error.trailing_metadata())
    unpacked: bool = Status.FromString(details["grpc-status-details-bin"]).details[0].Unpack(info)
    return unpacked and info.retry_delay.ToTimedelta().total_seconds() > 0


def test_in_flight_requests() -> None:
    """With a backend that hangs, one request too many is told to come back, over gRPC and HTTP; later it is taken."""
    _hold_two_refuse_third({"in_flight_requests": 2}, encoded(span()))


def test_in_flight_bytes() -> None:
    """The same for their bytes, a few hundred of headers included: two fit, the third does not."""
    sent = encoded(span({"text": "x" * 20_000}))

    _hold_two_refuse_third({"in_flight_bytes": 2 * len(sent) + 4_000}, sent)


def _hold_two_refuse_third(limits: dict[str, int], sent: bytes) -> None:
    with running.backend() as (backend, port), running.processor(port, receiver=BOTH, limits=limits) as processor:
        backend.answering.clear()
        with grpc.insecure_channel(processor.receiver_address) as channel:
            call = cast("Any", channel).unary_unary(METHOD)
            held = [call.future(sent, timeout=60) for _ in range(2)]
            assert eventually(lambda: backend.asked == 2)
            refusal = refusal_of(processor, sent)
            answer, body = ask(processor, sent)
            assert processor.counts.accepted == 0
            backend.answering.set()
            taken = [each.result() for each in held]
        running.export(processor.receiver_address, sent)

    assert refusal.code() is grpc.StatusCode.UNAVAILABLE
    assert "limits.in_flight_" in refusal.details()
    assert _told_to_come_back(refusal)
    assert (answer.status, "limits.in_flight_" in Status.FromString(body).message) == (503, True)
    assert int(answer.headers["retry-after"]) >= 1
    assert taken == [b"", b""]


def test_keys() -> None:
    """Only so many series get a key of their own; the rest share one, and their rows are counted."""
    limits = {"keys": 10}
    with running.backend() as (backend, port), running.processor(port, limits=limits, detection=FAST) as processor:
        spans = [span({semconv.MODEL_NAME: f"model-{number}"}) for number in range(25)]
        running.export(processor.receiver_address, encoded(*spans))
        names = shown(processor)

    assert [f"model-{number}" for number in range(10)] == sorted(names)[1:]
    assert "limits.keys" in min(names)
    assert metric(backend, "spanward.keys.overflowed") == [15]
    assert processor.counts.accepted == 25


def test_slices_per_series() -> None:
    """A series has only so many slices; rows of further ones count for the series alone."""
    limits = {"slices_per_series": 4}
    with running.backend() as (backend, port), running.processor(port, limits=limits, detection=FAST) as processor:
        spans = [span({semconv.CHANNEL: f"channel-{number}"}) for number in range(9)]
        running.export(processor.receiver_address, encoded(*spans))
        names = shown(processor)

    assert sorted(names) == ["m", *(f"m/channel-{number}" for number in range(4))]
    assert metric(backend, "spanward.keys.overflowed") == [5]


def test_cells_per_window() -> None:
    """Past the limit new values of a window are counted as one other value; no row is lost from the window."""
    limits = {"cells_per_window": 100}
    with running.processor(limits=limits, detection={"window_s": 3600, "lateness_s": 0}) as processor:
        spans = [span({semconv.DECISION: f"decision-{number}"}) for number in range(1_000)]
        running.export(processor.receiver_address, encoded(*spans))
        shown(processor)
        (standing,) = processor.pipeline.panorama.standings()

    assert standing.history[-1].rate_per_s * 3600 == pytest.approx(1_000)
    assert max(share for _, share in standing.decisions) > 0.9  # nearly all of them in one
    assert 900 <= processor.pipeline.others <= 1_000


def test_texts() -> None:
    """Texts beyond the limit are forgotten and shown by their code, and the newest are known."""
    with running.processor(limits={"texts": 2_048}, detection=FAST) as processor:
        for part in range(8):
            spans = [span({semconv.DECISION: f"decision-{part}-{number}"}) for number in range(1_000)]
            running.export(processor.receiver_address, encoded(*spans))
        running.export(processor.receiver_address, encoded(*[span({semconv.DECISION: "the last"})] * 3_000))
        shown(processor)
        (standing,) = processor.pipeline.panorama.standings()
        decisions = [name for name, _ in standing.decisions]

    assert decisions[0] == "the last"
    assert all(name == "the last" or name.startswith(("#", "decision-")) for name in decisions)


def test_explained_rows() -> None:
    """However many series there are, no more rows are kept to say why latency rose; each series keeps some of the newest."""
    with running.processor(limits={"explained_rows": 200}, detection=FAST) as processor:
        for _ in range(10):
            spans = [span({semconv.MODEL_NAME: f"model-{number % 50}"}) for number in range(1_000)]
            running.export(processor.receiver_address, encoded(*spans))
            processor.pipeline.flush()
        recent = processor.pipeline.why.recent

    assert 0 < len(recent) <= 200
    assert recent.series().size == 50


@pytest.mark.parametrize("idle_keys_s", [0.01, 86_400.0])
def test_idle_keys_s(idle_keys_s: float) -> None:
    """Series that were not seen for so long make room for others where room is scarce; before that, others share one."""
    with running.processor(limits={"keys": 10, "idle_keys_s": idle_keys_s}, detection=FAST) as processor:
        for number in range(60):
            spans = [span({semconv.MODEL_NAME: f"model-{number // 3}"})] * 10
            running.export(processor.receiver_address, encoded(*spans))
            processor.pipeline.flush()
            time.sleep(0.01)
        overflowed, evicted = (
            processor.pipeline.naming.directory.overflowed,
            processor.pipeline.naming.directory.evicted().sum(),
        )

    assert (overflowed == 0, evicted > 0) == ((True, True) if idle_keys_s < 1 else (False, False))


@pytest.mark.parametrize(("ahead_s", "counted_ahead_s"), [(1_200, 0), (300, 300)])
def test_future_s(ahead_s: int, counted_ahead_s: int) -> None:
    """A row further ahead than the limit counts in the present, one within it at its own time; nobody else is late."""
    with running.processor(limits={"future_s": 600}, detection=FAST) as processor:
        now_s = time.time()
        ahead = span(end_time_unix_nano=int((now_s + ahead_s) * 1e9))
        running.export(processor.receiver_address, encoded(ahead))
        processor.pipeline.tick()
        running.export(processor.receiver_address, encoded(span({semconv.MODEL_NAME: "other"})))
        processor.pipeline.flush()
        ends_s = {each.series.model: each.history[-1].t_s for each in processor.pipeline.panorama.standings()}

    assert ends_s["m"] - now_s == pytest.approx(counted_ahead_s, abs=60)
    assert processor.counts.late == 0


def test_compression_ratio() -> None:
    """What unpacks to more than its share is refused on both ways in; the same bytes unpacked are taken."""
    sent = encoded(span({"text": "x" * 200_000}))
    packed = gzip.compress(sent)
    limits = {"compression_ratio": len(sent) / len(packed) - 1}
    with running.processor(receiver=BOTH, limits=limits) as processor:
        packing = grpc.insecure_channel(processor.receiver_address, compression=grpc.Compression.Gzip)
        with packing as channel, pytest.raises(grpc.RpcError) as refusal:
            cast("Any", channel).unary_unary(METHOD)(sent, timeout=20)
        refused = post(processor, packed, **{"content-encoding": "gzip"})
        taken = post(processor, sent)
        running.export(processor.receiver_address, sent)

    assert cast("Any", refusal.value).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "limits.compression_ratio" in cast("Any", refusal.value).details()
    assert (refused.status, taken.status) == (413, 200)
    assert processor.counts.accepted == 2


def test_header_bytes() -> None:
    """Headers within the limit are taken; longer ones are answered 431 over HTTP, and end a gRPC connection."""
    with running.processor(receiver=BOTH, limits={"header_bytes": 4_096}) as processor:
        with grpc.insecure_channel(processor.receiver_address) as channel:
            call = cast("Any", channel).unary_unary(METHOD)
            call(encoded(span()), metadata=[("x-fits", "y" * 3_000)], timeout=20)
        farewell = _send_headers(processor.receiver_address, 5_000)
        taken = post(processor, encoded(span()), **{"x-fits": "y" * 3_000})
        refused = post(processor, encoded(span()), **{"x-long": "y" * 5_000})

    assert b"header block longer than the limit of 4096 bytes" in farewell
    assert (taken.status, refused.status) == (200, 431)


def _send_headers(address: str, size: int) -> bytes:
    """Begin HTTP/2 with a HEADERS frame of a size; return all that is said until the connection is closed."""
    settings, begin = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)), bytes((1, 4, 0, 0, 0, 1))
    with socket.create_connection(place(address), timeout=20) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + size.to_bytes(3, "big") + begin)
        return b"".join(iter(lambda: connection.recv(4_096), b""))


def test_connections() -> None:
    """One connection too many is closed at once, over HTTP after a 503; once another has gone, one is taken again."""
    with running.processor(receiver=BOTH, limits={"connections": 2}) as processor:
        grpc_place, http_place = place(processor.receiver_address), place(processor.http_address)
        connect = socket.create_connection
        with connect(grpc_place, 20), connect(grpc_place, 20), connect(grpc_place, 20) as third:
            closed = third.recv(1)
        with connect(http_place, 20):
            taken = post(processor, b"")
            with connect(http_place, 20):
                assert eventually(lambda: post(processor, b"").status == 503)
        assert eventually(lambda: post(processor, b"").status == 200)
        with grpc.insecure_channel(processor.receiver_address) as channel:
            cast("Any", channel).unary_unary(METHOD)(encoded(span()), timeout=20, wait_for_ready=True)

    assert (closed, taken.status) == (b"", 200)


def test_requests_per_s() -> None:
    """A peer that asks too often is told when to come back, on whichever way in; another address is taken."""
    sent = encoded(span())
    with running.processor(receiver=BOTH, limits={"requests_per_s": 0.01}) as processor:
        running.export(processor.receiver_address, sent)
        refusal = refusal_of(processor, sent)
        refused = post(processor, sent)
        other = post(processor, sent, source="127.0.0.2")

    assert refusal.code() is grpc.StatusCode.UNAVAILABLE
    assert "limits.requests_per_s" in refusal.details()
    assert _told_to_come_back(refusal)
    assert refused.status == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 100
    assert other.status == 200
    assert processor.counts.accepted == 2
