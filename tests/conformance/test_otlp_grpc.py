"""What OTLP asks of a gRPC server, and of a server of either kind: a real processor, grpcio's and httpx's clients."""

import gzip
from collections.abc import Generator
from typing import Any, cast

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

import running
from everysignal import BOTH, EXCESSIVE, FEW, REJECTED, REPLIES, SIGNALS, Critical, sent_of
from spans import encoded, eventually, request, span
from spanward_processor.configuration.config import Config
from spanward_processor.server import Processor


@pytest.fixture(scope="module")
def served() -> Generator[Processor]:
    """A processor in front of a backend that takes everything."""
    with running.backend() as (_, port), running.processor(port, receiver=BOTH, limits=FEW) as processor:
        yield processor


def refusal_of(processor: Processor, sent: bytes) -> Any:
    """Return how a request is refused."""
    with pytest.raises(grpc.RpcError) as refusal:
        running.export(processor.receiver_address, sent)
    return refusal.value


def retry_delay_s(refusal: Any) -> float:
    """Return the delay of a refusal's RetryInfo, seconds."""
    info = RetryInfo()
    status = Status.FromString(dict(refusal.trailing_metadata())["grpc-status-details-bin"])
    assert status.details[0].Unpack(info)
    delay_s: float = info.retry_delay.ToTimedelta().total_seconds()
    return delay_s


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
@pytest.mark.parametrize("signal", SIGNALS)
def test_server_takes_none_and_gzip(signal: str, compression: grpc.Compression, served: Processor) -> None:
    """Both, for every signal, over gRPC and over HTTP."""
    name = signal.capitalize()
    with grpc.insecure_channel(served.receiver_address, compression=compression) as channel:
        call = cast("Any", channel).unary_unary(f"/opentelemetry.proto.collector.{signal}.v1.{name}Service/Export")
        assert call(sent_of(signal), timeout=20) == b""
    packed = compression is grpc.Compression.Gzip
    headers = {"content-type": "application/x-protobuf"} | ({"content-encoding": "gzip"} if packed else {})
    body = gzip.compress(sent_of(signal)) if packed else sent_of(signal)
    path = "traces" if signal == "trace" else signal
    answer = httpx.post(f"http://{served.http_address}/v1/{path}", content=body, headers=headers, timeout=20)
    assert (answer.status_code, answer.content) == (200, b"")


def test_grpc_server_limits_message_size() -> None:
    """The default is 16 MiB; beyond it the answer is final: no RetryInfo."""
    with running.processor(limits={"message_bytes": 10_000}) as processor:
        refusal = refusal_of(processor, encoded(span({"text": "x" * 10_000})))

    assert Config().limits.message_bytes == 16 << 20
    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" not in dict(refusal.trailing_metadata())


def test_grpc_server_serves_concurrent_requests() -> None:
    """Several are under way before the first is answered, then each is."""
    with running.backend() as (backend, port), running.processor(port) as processor:
        backend.answering.clear()
        with grpc.insecure_channel(processor.receiver_address) as channel:
            call = cast("Any", channel).unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            waiting = [call.future(encoded(span()), timeout=60) for _ in range(3)]
            assert eventually(lambda: backend.asked == 3)
            backend.answering.set()
            assert [each.result() for each in waiting] == [b""] * 3


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("sent", [b"", b"\x0a\x00", b"\x0a\x02\x12\x00"], ids=["nothing", "resource", "scope"])
def test_grpc_empty_request_is_success(signal: str, sent: bytes, served: Processor) -> None:
    """Nothing at all, and envelopes without content."""
    assert running.export(served.receiver_address, sent, signal) == b""


@pytest.mark.parametrize("signal", SIGNALS)
def test_grpc_success_is_the_export_response(signal: str, served: Processor) -> None:
    """The bytes are that message and nothing else."""
    reply = running.export(served.receiver_address, sent_of(signal), signal)

    assert REPLIES[signal].FromString(reply) == REPLIES[signal]()


@pytest.mark.parametrize("signal", SIGNALS)
def test_grpc_success_leaves_partial_success_unset(signal: str, served: Processor) -> None:
    """Also where a backend sets the field and says nothing in it."""
    replies = [running.export(served.receiver_address, sent_of(signal), signal)]
    with running.backend(kept=Critical(0, "")) as (_, port), running.processor(port) as processor:
        replies.append(running.export(processor.receiver_address, sent_of(signal), signal))

    assert [REPLIES[signal].FromString(reply).HasField("partial_success") for reply in replies] == [False, False]


def test_grpc_partial_success_is_the_export_response(served: Processor) -> None:
    """Status OK, and the message with partial_success set."""
    reply = running.export(served.receiver_address, encoded(span(), EXCESSIVE))

    assert ExportTraceServiceResponse.FromString(reply).HasField("partial_success")


@pytest.mark.parametrize("signal", SIGNALS)
def test_grpc_partial_success_counts_what_was_rejected(signal: str, served: Processor) -> None:
    """Spans that we refuse, and what the backend rejects of any signal."""
    with running.backend(kept=Critical(7, "too old")) as (_, port), running.processor(port) as processor:
        reply = running.export(processor.receiver_address, sent_of(signal), signal)
    ours = ExportTraceServiceResponse.FromString(
        running.export(served.receiver_address, encoded(EXCESSIVE, span(), EXCESSIVE))
    )

    assert getattr(REPLIES[signal].FromString(reply).partial_success, REJECTED[signal]) == 7
    assert ours.partial_success.rejected_spans == 2


def test_grpc_partial_success_says_why(served: Processor) -> None:
    """The limit by its name, so that the operator finds it, and what was found."""
    reply = running.export(served.receiver_address, encoded(span(), EXCESSIVE))

    assert ExportTraceServiceResponse.FromString(reply).partial_success.error_message == (
        "limits.attributes_per_span: a span must have at most 20 attributes, got 31 in span 2 of 2; spans refused for this: 1"
    )


@pytest.mark.parametrize("signal", SIGNALS)
def test_grpc_warning_has_a_message_and_no_count(signal: str) -> None:
    """A backend's warning reaches the sender as it is."""
    with running.backend(kept=Critical(0, "use less")) as (_, port), running.processor(port) as processor:
        reply = running.export(processor.receiver_address, sent_of(signal), signal)
    partial = REPLIES[signal].FromString(reply).partial_success

    assert (getattr(partial, REJECTED[signal]), partial.error_message) == (0, "use less")


def test_grpc_server_says_unavailable_for_what_passes() -> None:
    """A backend that takes nothing for now, and too much in flight."""
    with running.backend() as (backend, port), running.processor(port, forwarding={"max_wait_s": 0.2}) as processor:
        backend.refusal = (grpc.StatusCode.UNAVAILABLE, "down")
        refusal = refusal_of(processor, encoded(span()))

    assert refusal.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_delay_s(refusal) > 0


@pytest.mark.parametrize("signal", SIGNALS)
def test_grpc_server_says_invalid_argument_for_bad_data(signal: str, served: Processor) -> None:
    """What cannot be decoded, with the reason and nothing that asks to come back."""
    with pytest.raises(grpc.RpcError) as caught:
        running.export(served.receiver_address, b"\x0a\xff", signal)
    refusal: Any = caught.value

    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.details()
    assert "grpc-status-details-bin" not in dict(refusal.trailing_metadata())


def test_grpc_server_signals_backpressure() -> None:
    """Who comes again when it was told to is taken; before, it is not."""
    with running.processor(limits={"requests_per_s": 2}) as processor:
        for _ in range(4):
            running.export(processor.receiver_address, encoded(span()))
        refusal = refusal_of(processor, encoded(span()))

    assert refusal.code() is grpc.StatusCode.UNAVAILABLE
    assert 0 < retry_delay_s(refusal) <= 0.5


def test_grpc_default_port_is_4317() -> None:
    """Without a configuration."""
    assert Config().receiver.listen == "127.0.0.1:4317"


def test_unknown_fields_do_no_harm() -> None:
    """Of a newer sender they are forwarded as they came; in a newer backend's answer they mean nothing."""
    unknown = b"\xfa\x3f\x03new"
    sent = request([span()])
    sent.MergeFromString(unknown)
    sent.resource_spans[0].scope_spans[0].spans[0].MergeFromString(unknown)
    with running.backend() as (backend, port), running.processor(port) as processor:
        backend.reply.MergeFromString(unknown)
        reply = running.export(processor.receiver_address, sent.SerializeToString())
        counted = processor.delivery.backends[0].sent.spans

    assert (reply, counted) == (b"", 1)
    assert backend.traces[0].SerializeToString() == sent.SerializeToString()


def test_no_empty_envelopes_are_made() -> None:
    """A scope and a resource all of whose spans are refused are left out; a request of such spans only is not sent."""
    empty = encoded(EXCESSIVE)
    with running.backend() as (backend, port), running.processor(port, limits=FEW) as processor:
        running.export(processor.receiver_address, empty)
        running.export(processor.receiver_address, empty + encoded(span({"k": "kept"})) + empty)

    assert [len(each.resource_spans) for each in backend.traces] == [1]
