"""OTLP over HTTP as its senders see it: a real server, real clients, and whatever the specification says of answers."""

import gzip
import json
import logging
import socket
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import zstandard
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from starlette.types import ASGIApp

from serving import serving
from spanward_processor.decode import UndecodableError
from spanward_processor.forward.delivery import RefusedError
from spanward_processor.receive.admission import BusyError
from spanward_processor.receive.gate import Gate
from spanward_processor.receive.http import http_app
from spanward_processor.receive.rates import PeerRates
from spanward_processor.receive.tokens import Tokens
from spanward_processor.signals import Signal

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
MOST = 1 << 20
TOKEN = "a-token-of-decent-length"


class Intake:
    """Keeps what it takes, or fails as it is told; `later` makes it answer from another turn of the event loop."""

    def __init__(self, reply: bytes = b"", error: Exception | None = None, *, later: bool = False) -> None:
        self.taken: list[tuple[Signal, bytes]] = []
        self._reply = reply
        self._error = error
        self._later = later

    async def turn(self) -> None:
        """Let everybody go on at once."""

    def take(self, signal: Signal, payload: bytes, within_s: float | None = None) -> bytes | Awaitable[bytes]:
        """Take a request."""
        return self._take_later(signal, payload) if self._later else self._take(signal, payload)

    def _take(self, signal: Signal, payload: bytes) -> bytes:
        if self._error:
            raise self._error
        self.taken.append((signal, payload))
        return self._reply

    async def _take_later(self, signal: Signal, payload: bytes) -> bytes:
        return self._take(signal, payload)


def app_of(intake: Intake, gate: Gate | None = None, body_s: float = 20.0, buffered_bytes: int = 1 << 30) -> ASGIApp:
    """Return a receiver with small limits."""
    return http_app(
        intake,
        gate or Gate(),
        lambda _: 0,
        most_bytes=MOST,
        most_ratio=100.0,
        body_s=body_s,
        buffered_bytes=buffered_bytes,
    )


def post(
    intake: Intake,
    body: bytes | Iterator[bytes],
    headers: dict[str, str],
    path: str = "/v1/traces",
    gate: Gate | None = None,
) -> httpx.Response:
    """Serve, send one request, and return what is answered."""
    with serving(app_of(intake, gate)) as address:
        return httpx.post(f"http://{address}{path}", content=body, headers=headers, timeout=20)


def problem(response: httpx.Response) -> Status:
    """Return the google.rpc.Status of a binary answer."""
    assert response.headers["content-type"] == "application/x-protobuf"
    return Status.FromString(response.content)


def one_span() -> bytes:
    """Return an encoded request of one span."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="predict", trace_id=b"\1" * 16)
    return request.SerializeToString()


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("path", "signal"),
    [("/v1/traces", Signal.TRACES), ("/v1/metrics", Signal.METRICS), ("/v1/logs", Signal.LOGS)],
)
def test_each_path_takes_its_signal(path: str, signal: Signal, later: bool) -> None:
    """Bytes arrive as they were sent, and full success is 200 with an empty message in the same type."""
    intake = Intake(later=later)
    response = post(intake, b"\x0a\x00", PROTOBUF, path)

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/x-protobuf"
    assert intake.taken == [(signal, b"\x0a\x00")]


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_taken_as_protobuf_and_answered_in_json(content_type: str) -> None:
    """The type of the request is the type of the answer; parameters do no harm."""
    intake = Intake()
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "predict", "traceId": "01" * 16}]}]}]}
    response = post(intake, json.dumps(document).encode(), {"content-type": content_type})

    assert (response.status_code, response.content) == (200, b"{}")
    assert response.headers["content-type"] == "application/json"
    assert [signal for signal, _ in intake.taken] == [Signal.TRACES]
    assert ExportTraceServiceRequest.FromString(intake.taken[0][1]) == ExportTraceServiceRequest.FromString(one_span())


def test_large_json_is_taken() -> None:
    """A document that is read in another thread arrives whole."""
    intake = Intake()
    spans = [{"name": "predict", "traceId": "01" * 16}] * 5_000
    post(intake, json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode(), JSON)

    ((_, payload),) = intake.taken
    assert len(ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans) == 5_000


def test_partial_success_is_told_in_the_type_of_the_request() -> None:
    """What was rejected is counted in a 200, in binary and in JSON."""
    reply = ExportTraceServiceResponse()
    reply.partial_success.rejected_spans = 3
    reply.partial_success.error_message = "too old"
    with serving(app_of(Intake(reply.SerializeToString()))) as address:
        binary = httpx.post(f"http://{address}/v1/traces", content=b"\x0a\x00", headers=PROTOBUF)
        text = httpx.post(f"http://{address}/v1/traces", content=b"{}", headers=JSON)

    assert (binary.status_code, ExportTraceServiceResponse.FromString(binary.content)) == (200, reply)
    assert text.status_code == 200
    assert text.json() == {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("identity", bytes),
    ],
)
def test_compressed_bodies_are_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Each encoding that is offered is understood."""
    intake = Intake()
    response = post(intake, pack(one_span()), PROTOBUF | {"content-encoding": encoding})

    assert response.status_code == 200
    assert intake.taken == [(Signal.TRACES, one_span())]


@pytest.mark.parametrize("content_type", ["text/plain", "application/grpc", ""])
def test_other_types_are_unsupported(content_type: str) -> None:
    """415, and the message names the two types."""
    response = post(Intake(), b"x", {"content-type": content_type})

    assert response.status_code == 415
    assert "must be application/x-protobuf or application/json" in response.json()["message"]


def test_unknown_encoding_is_unsupported() -> None:
    """415, and the header says which there are."""
    response = post(Intake(), b"x", PROTOBUF | {"content-encoding": "br"})

    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "gzip, deflate, zstd"
    assert "got 'br'" in problem(response).message


def test_bad_data_is_described() -> None:
    """400 for what cannot be decoded, with a BadRequest, in binary and in JSON."""
    with serving(app_of(Intake(error=UndecodableError("a varint is cut short")))) as address:
        binary = httpx.post(f"http://{address}/v1/traces", content=b"\xff", headers=PROTOBUF)
        text = httpx.post(f"http://{address}/v1/traces", content=b"{", headers=JSON)
    described = BadRequest()

    assert (binary.status_code, text.status_code) == (400, 400)
    assert problem(binary).message == "a varint is cut short"
    assert problem(binary).details[0].Unpack(described)
    assert described.field_violations[0].description == "a varint is cut short"
    assert text.headers["content-type"] == "application/json"
    assert "byte 1: the document must be whole" in text.json()["details"][0]["fieldViolations"][0]["description"]


def test_damaged_compression_is_bad_data() -> None:
    """A body that does not unpack will not unpack the next time either."""
    response = post(Intake(), gzip.compress(one_span())[:-3], PROTOBUF | {"content-encoding": "gzip"})

    assert response.status_code == 400


def test_data_that_backends_refuse_for_good_is_bad_data() -> None:
    """The sender must not send it again."""
    response = post(Intake(error=RefusedError("backend a refused the data", for_good=True), later=True), b"x", PROTOBUF)

    assert (response.status_code, problem(response).message) == (400, "backend a refused the data")


@pytest.mark.parametrize("path", ["/", "/v1/trace", "/v1/traces/", "/v1development/profiles"])
def test_other_paths_are_not_found(path: str) -> None:
    """404 with a Status."""
    response = post(Intake(), b"x", PROTOBUF, path)

    assert response.status_code == 404
    assert "must be one of /v1/traces, /v1/metrics, /v1/logs" in problem(response).message


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_not_allowed(method: str) -> None:
    """405, and the header says which is."""
    with serving(app_of(Intake())) as address:
        response = httpx.request(method, f"http://{address}/v1/traces")

    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def pieces(size: int) -> Iterator[bytes]:
    """Return a body whose length is not told beforehand."""
    return (bytes(1 << 16) for _ in range(size >> 16))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (lambda: bytes(MOST + 1), {}),
        (lambda: pieces(16 * MOST), {}),
        (lambda: gzip.compress(bytes(range(256)) * (MOST // 256 + 1), 1), {"content-encoding": "gzip"}),
    ],
    ids=["length told", "length not told", "after unpacking"],
)
def test_too_large_body_is_refused_for_good(
    body: Callable[[], bytes | Iterator[bytes]], headers: dict[str, str]
) -> None:
    """413 without Retry-After, which reaches a sender that is still sending."""
    intake = Intake()
    response = post(intake, body(), PROTOBUF | headers)

    assert response.status_code == 413
    assert "retry-after" not in response.headers
    assert "limits." in problem(response).message
    assert intake.taken == []


def test_largest_body_is_taken() -> None:
    """The limit itself is allowed."""
    intake = Intake()

    assert post(intake, bytes(MOST), PROTOBUF).status_code == 200
    assert len(intake.taken[0][1]) == MOST


def tokens(folder: Path) -> Gate:
    """Return a gate that asks for a token."""
    file = folder / "tokens"
    file.write_text(f"{TOKEN}\n")
    return Gate(tokens=Tokens(file, time.monotonic))


def test_token_is_asked_for(tmp_path: Path) -> None:
    """401 says how to show one; with it the request is taken."""
    intake = Intake()
    with serving(app_of(intake, tokens(tmp_path))) as address:
        url = f"http://{address}/v1/traces"
        without = httpx.post(url, content=b"\x0a\x00", headers=PROTOBUF)
        wrong = httpx.post(url, content=b"\x0a\x00", headers=PROTOBUF | {"authorization": "Bearer wrong"})
        right = httpx.post(url, content=b"\x0a\x00", headers=PROTOBUF | {"authorization": f"Bearer {TOKEN}"})

    assert [without.status_code, wrong.status_code, right.status_code] == [401, 401, 200]
    assert without.headers["www-authenticate"] == "Bearer"
    assert len(intake.taken) == 1


def raw(address: str, head: str, body: bytes = b"") -> socket.socket:
    """Open a connection and send the head of a request, and what is given of its body."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    lines = ["POST /v1/traces HTTP/1.1", f"host: {address}", "content-type: application/x-protobuf", head, "", ""]
    connection.sendall("\r\n".join(lines).encode() + body)
    return connection


def status_of(connection: socket.socket) -> int:
    """Return the status that is answered."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(4096)
        assert piece, "the connection ended without an answer"
        received += piece
    return int(received.split()[1])


def test_sender_is_turned_away_before_its_body_is_read(tmp_path: Path) -> None:
    """Who has no token gets the answer to the head alone."""
    with serving(app_of(Intake(), tokens(tmp_path))) as address, raw(address, "content-length: 1000") as connection:
        assert status_of(connection) == 401


def test_fast_peer_is_asked_to_come_back() -> None:
    """503 with whole seconds, rounded up, in the header, and exactly in the Status."""
    rates = PeerRates(per_s=0.4, burst=1, most_peers=10, monotonic_s=lambda: 7.0)
    rates.wait_s("192.0.2.1")  # another peer, which changes nothing for this one
    with serving(app_of(Intake(), Gate(rates=rates))) as address:
        answers = [httpx.post(f"http://{address}/v1/traces", content=b"\x0a\x00", headers=PROTOBUF) for _ in "12"]
    info = RetryInfo()

    assert [answer.status_code for answer in answers] == [200, 503]
    assert answers[1].headers["retry-after"] == "3"
    assert problem(answers[1]).details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 2500


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    "error",
    [BusyError("too much is in flight"), RefusedError("the journal is full", for_good=False)],
    ids=["busy", "backends not taking"],
)
def test_what_passes_is_unavailable(error: Exception, later: bool) -> None:
    """503 with Retry-After and the reason, so that senders keep the data."""
    response = post(Intake(error=error, later=later), b"x", PROTOBUF)

    assert (response.status_code, problem(response).message) == (503, str(error))
    assert int(response.headers["retry-after"]) >= 1


def test_own_failure_is_logged_and_unavailable(caplog: pytest.LogCaptureFixture) -> None:
    """A bug of ours costs no data: the sender comes back; the reason is in the log, not in the answer."""
    response = post(Intake(error=KeyError("secret")), b"x", PROTOBUF)

    assert (response.status_code, "retry-after" in response.headers) == (503, True)
    assert "secret" not in problem(response).message
    assert [record.getMessage() for record in caplog.records] == ["request failed"]


def test_slow_body_ends() -> None:
    """Who does not finish in time gets 408 and frees the connection."""
    intake = Intake()
    with serving(app_of(intake, body_s=0.2)) as address, raw(address, "content-length: 1000", b"\x0a") as connection:
        assert status_of(connection) == 408
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert intake.taken == []


def test_sender_that_hangs_up_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that ends in mid-body takes nothing, logs nothing, and the next request is served."""
    intake = Intake()
    with serving(app_of(intake)) as address:
        raw(address, "content-length: 1000", b"\x0a").close()
        assert httpx.post(f"http://{address}/v1/logs", content=b"\x0a\x00", headers=PROTOBUF).status_code == 200

    assert intake.taken == [(Signal.LOGS, b"\x0a\x00")]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_sender_that_waits_to_be_asked_is_asked() -> None:
    """libcurl, in Triton's server too, sends only the head of a large request until it hears 100."""
    intake = Intake()
    body = one_span()
    with (
        serving(app_of(intake)) as address,
        raw(address, f"content-length: {len(body)}\r\nexpect: 100-continue") as connection,
    ):
        assert status_of(connection) == 100
        connection.sendall(body)
        assert status_of(connection) == 200
    assert intake.taken == [(Signal.TRACES, body)]


def test_sender_that_waits_to_be_asked_is_refused_before_it_sends(tmp_path: Path) -> None:
    """Who has no token is not asked for a body."""
    with (
        serving(app_of(Intake(), tokens(tmp_path))) as address,
        raw(address, "content-length: 1000\r\nexpect: 100-continue") as connection,
    ):
        assert status_of(connection) == 401


def test_bodies_coming_in_are_bounded_together() -> None:
    """While one slow sender fills the room, another is asked to come back; when it is gone there is room again."""
    intake = Intake()
    with serving(app_of(intake, buffered_bytes=100_000)) as address:
        url = f"http://{address}/v1/traces"
        with raw(address, "content-length: 90001", bytes(90_000)) as slow:
            status = 200
            deadline = time.monotonic() + 20
            while status == 200 and time.monotonic() < deadline:  # until the slow one's bytes have been read
                status = httpx.post(url, content=bytes(50_000), headers=PROTOBUF).status_code
            assert status == 503
            slow.sendall(b"\0")
            assert status_of(slow) == 200
        assert httpx.post(url, content=bytes(50_000), headers=PROTOBUF).status_code == 200


def test_connection_is_kept_after_a_refusal() -> None:
    """A sender that is refused sends its next request on the same connection."""
    used: list[tuple[int, object]] = []
    with serving(app_of(Intake(error=BusyError("busy")))) as address, httpx.Client() as client:
        for _ in range(2):
            answer = client.post(f"http://{address}/v1/traces", content=b"x", headers=PROTOBUF)
            used.append((answer.status_code, answer.extensions["network_stream"].get_extra_info("client_addr")))

    assert used[0][0] == 503
    assert used[0] == used[1]


@pytest.mark.parametrize("compression", list(Compression))
def test_official_exporter_delivers(compression: Compression) -> None:
    """The SDK's exporter and this receiver understand each other."""
    intake = Intake()
    with serving(app_of(intake)) as address:
        provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"http://{address}/v1/traces", compression=compression)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("test").start_span("predict").end()
        provider.shutdown()

    assert span_names(intake) == ["predict"]


def span_names(intake: Intake) -> list[str]:
    """Return the names of the spans taken."""
    requests = [ExportTraceServiceRequest.FromString(payload) for _, payload in intake.taken]
    return [span.name for request in requests for span in request.resource_spans[0].scope_spans[0].spans]


def test_official_exporter_delivers_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, encrypted, with a certificate that the exporter checks."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)  # requests lets it win over what the exporter is told
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    authority: Any = trustme.CA()  # its types need pyOpenSSL's
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    intake = Intake()
    with serving(app_of(intake), context) as address:
        provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"https://{address}/v1/traces", certificate_file=str(tmp_path / "ca.pem"))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("test").start_span("predict").end()
        provider.shutdown()

    assert span_names(intake) == ["predict"]
