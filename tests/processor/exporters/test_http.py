"""The OTLP/HTTP exporter against real servers that answer well, badly, late and never."""

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import Coroutine, Sequence
from email.utils import formatdate
from typing import Any, TypeVar

import pytest
import trustme
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.types import Receive, Scope, Send

from serving import serving
from spanward_processor.exporters.base import Refusal, Taken, Verdict
from spanward_processor.exporters.http import HttpExporter
from spanward_processor.signals import Signal

T = TypeVar("T")


class Backend:
    """Keeps what it is sent and answers as it is told; an ASGI application.

    Args:
        status: Of the answer.
        headers: Of the answer.
        body: Of the answer.
        hangs: Stop before the answer, or after its head, until the client goes away; None answers in full.
    """

    def __init__(
        self, status: int = 200, headers: Sequence[tuple[str, str]] = (), body: bytes = b"", hangs: str | None = None
    ) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.peers: set[tuple[str, int]] = set()
        self._start = {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }
        self._body = body
        self._hangs = hangs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.requests.append((scope["path"], {name.decode(): value.decode() for name, value in scope["headers"]}, body))
        self.peers.add(scope["client"])
        if self._hangs == "before the answer":
            await receive()
            return
        await send(self._start)
        if self._hangs == "after its head":
            await receive()
        await send({"type": "http.response.body", "body": self._body})


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run work in an event loop of its own."""
    return asyncio.run(work)


async def export(
    endpoint: str,
    signal: Signal = Signal.TRACES,
    parts: Sequence[bytes] = (b"one", b"two"),
    *,
    headers: Sequence[tuple[str, str]] = (),
    gzipped: bool = False,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = 20.0,
) -> Taken:
    """Try once with an exporter of its own."""
    exporter = HttpExporter(endpoint, headers, gzip=gzipped, tls=tls)
    try:
        return await exporter.export(signal, parts, timeout_s)
    finally:
        await exporter.close()


def refusal_of(backend: Backend, **options: Any) -> Refusal:
    """Return how a backend refuses."""
    with serving(backend) as address, pytest.raises(Refusal) as caught:
        run(export(f"http://{address}", **options))
    return caught.value


@pytest.mark.parametrize(
    ("signal", "path"),
    [(Signal.TRACES, "/v1/traces"), (Signal.METRICS, "/v1/metrics"), (Signal.LOGS, "/v1/logs")],
)
def test_parts_are_posted_as_one_body(signal: Signal, path: str) -> None:
    """Each signal has its path; the parts follow each other, the length is told, and the operator's headers are sent."""
    backend = Backend()
    with serving(backend) as address:
        taken = run(export(f"http://{address}/", signal, headers=[("x-scope", "team")]))
    ((asked, headers, body),) = backend.requests

    assert (taken, asked, body) == (Taken(), path, b"onetwo")
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["content-length"] == "6"
    assert headers["x-scope"] == "team"
    assert headers["user-agent"].startswith("spanward/")


def test_body_is_compressed_on_wish() -> None:
    """gzip, and the header that says so."""
    backend = Backend()
    with serving(backend) as address:
        run(export(f"http://{address}", gzipped=True))
    ((_, headers, body),) = backend.requests

    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == b"onetwo"


def test_large_request_arrives_whole() -> None:
    """Megabytes pass unchanged."""
    backend = Backend()
    parts = [bytes([number]) * (3 << 20) for number in range(3)]
    with serving(backend) as address:
        run(export(f"http://{address}", parts=parts))

    assert backend.requests[0][2] == b"".join(parts)


def test_connection_is_kept() -> None:
    """Request follows request on one connection."""
    backend = Backend()

    async def thrice(endpoint: str) -> None:
        exporter = HttpExporter(endpoint, [], gzip=False, tls=None)
        for _ in range(3):
            await exporter.export(Signal.TRACES, [b"x"], 20.0)
        await exporter.close()

    with serving(backend) as address:
        run(thrice(f"http://{address}"))

    assert (len(backend.requests), len(backend.peers)) == (3, 1)


def partial(signal: Signal) -> bytes:
    """Return a response that rejects two."""
    if signal is Signal.TRACES:
        traces = ExportTraceServiceResponse()
        traces.partial_success.rejected_spans, traces.partial_success.error_message = 2, "too old"
        return traces.SerializeToString()
    if signal is Signal.METRICS:
        metrics = ExportMetricsServiceResponse()
        metrics.partial_success.rejected_data_points, metrics.partial_success.error_message = 2, "too old"
        return metrics.SerializeToString()
    logs = ExportLogsServiceResponse()
    logs.partial_success.rejected_log_records, logs.partial_success.error_message = 2, "too old"
    return logs.SerializeToString()


@pytest.mark.parametrize("signal", list(Signal))
def test_partial_success_is_told(signal: Signal) -> None:
    """What was rejected is counted and never sent again."""
    with serving(Backend(body=partial(signal))) as address:
        assert run(export(f"http://{address}", signal)) == Taken(2, "too old")


@pytest.mark.parametrize("body", [bytes(65_537), b"\xff" * 100], ids=["larger than is read", "no message"])
def test_success_that_cannot_be_read_is_a_success(body: bytes) -> None:
    """The status counts; a hostile or strange body changes nothing."""
    with serving(Backend(status=202, body=body)) as address:
        assert run(export(f"http://{address}")) == Taken()


def test_success_whose_body_never_comes_is_a_success() -> None:
    """A backend that accepts and then hangs has accepted."""
    with serving(
        Backend(headers=[("content-length", "5")], body=b"\x0a\x03\x12\x01m", hangs="after its head")
    ) as address:
        assert run(export(f"http://{address}", timeout_s=0.3)) == Taken()


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.LATER) for status in (429, 502, 503, 504)),
        *((status, Verdict.BARRED) for status in (401, 403, 404, 405, 408, 415, 500, 501, 302, 307)),
        *((status, Verdict.NEVER) for status in (400, 409, 422)),
        (413, Verdict.TOO_LARGE),
    ],
)
def test_status_decides_what_comes_next(status: int, verdict: Verdict) -> None:
    """OTLP's list decides what may be tried again, and only the data's own fault gives data up; no redirect is followed."""
    backend = Backend(status=status, headers=[("location", "http://192.0.2.1/")])
    refusal = refusal_of(backend)

    assert (refusal.verdict, refusal.delay_s) == (verdict, None)
    assert refusal.reason.startswith(str(status))
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/x-protobuf", Status(message="no room").SerializeToString(), "503 no room"),
        ("application/x-protobuf", b"\xff", "503 Service Unavailable"),
        ("text/html", b"<b>down</b>", "503 <b>down</b>"),
        ("text/plain", b"x" * 100_000, "503 Service Unavailable"),
        ("text/plain", b"x" * 1_000, "503 " + "x" * 300),
    ],
)
def test_reason_is_what_the_backend_says(content_type: str, body: bytes, reason: str) -> None:
    """A Status is read, text is cut, and nothing too long is read at all."""
    assert refusal_of(Backend(503, [("content-type", content_type)], body)).reason == reason


@pytest.mark.parametrize(("asked", "delay_s"), [("7", 7.0), ("0", 0.0), ("soon", None), ("-5", None), ("1.5", None)])
def test_retry_after_in_seconds(asked: str, delay_s: float | None) -> None:
    """Whole seconds are heard; anything else says nothing."""
    assert refusal_of(Backend(503, [("retry-after", asked)])).delay_s == delay_s


@pytest.mark.parametrize(("ahead_s", "delay_s"), [(30, 30.0), (-30, 0.0)])
def test_retry_after_as_a_date(ahead_s: int, delay_s: float) -> None:
    """A date is a wait from now; one that is past is none."""
    now_s = 1_800_000_000.0

    async def refused(endpoint: str) -> Refusal:
        exporter = HttpExporter(endpoint, [], gzip=False, tls=None, clock_s=lambda: now_s)
        with pytest.raises(Refusal) as caught:
            await exporter.export(Signal.TRACES, [b"x"], 20.0)
        await exporter.close()
        return caught.value

    with serving(Backend(429, [("retry-after", formatdate(now_s + ahead_s, usegmt=True))])) as address:
        assert run(refused(f"http://{address}")).delay_s == delay_s


def test_silent_backend_is_given_up_in_time() -> None:
    """A backend that accepts and never answers costs its time limit, no more."""
    began = time.monotonic()
    refusal = refusal_of(Backend(hangs="before the answer"), timeout_s=0.3)

    assert (refusal.verdict, refusal.reason) == (Verdict.LATER, "no answer within 0.3 s")
    assert time.monotonic() - began < 15


def test_absent_backend_is_tried_later() -> None:
    """Nobody listens: the network's fault."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(Refusal) as caught:
            run(export(f"http://127.0.0.1:{bound.getsockname()[1]}"))

    assert caught.value.verdict is Verdict.LATER


def test_backend_that_speaks_no_http_is_tried_later() -> None:
    """Nonsense instead of an answer is no reason to give data up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x00\x01 nonsense\r\n\r\n")
        await writer.drain()
        writer.close()

    async def refused() -> Refusal:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            with pytest.raises(Refusal) as caught:
                await export(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        return caught.value

    assert run(refused()).verdict is Verdict.LATER


def test_certificate_is_checked() -> None:
    """A backend that the authority vouches for is trusted; another is not, and nothing is sent to it."""
    authority: Any = trustme.CA()  # its types need pyOpenSSL's
    other: Any = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting, doubting = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(trusting)
    other.configure_trust(doubting)
    backend = Backend()
    with serving(backend, context) as address:
        assert run(export(f"https://{address}", tls=trusting)) == Taken()
        with pytest.raises(Refusal) as caught:
            run(export(f"https://{address}", tls=doubting))

    assert caught.value.verdict is Verdict.LATER
    assert len(backend.requests) == 1
