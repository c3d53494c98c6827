"""Our client to a real OpenTelemetry Collector, and the Collector to our server: Go's gRPC at both borders."""

import asyncio
import gzip
import os
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import h2raw
from requiring import require_peer
from spanward_processor.h2.call import Answer, Status
from spanward_processor.h2.client import GrpcChannel

_PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spanward" / "peers"
_CONFIG = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{port}", max_recv_msg_size_mib: 64}}}}}}}}
exporters:
  otlp_grpc:
    {{endpoint: "127.0.0.1:{to}", tls: {{insecure: true}}, compression: {compression},
      sending_queue: {{enabled: false}}, retry_on_failure: {{enabled: false}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc]}}}}
"""


@contextmanager
def _collector(folder: Path, to: int, compression: str) -> Generator[int]:
    """Run a Collector that forwards traces without a queue, so that it answers what it is answered."""
    built = sorted(_CACHE.glob("otelcol-v*"))
    require_peer("OpenTelemetry Collector", bool(built), "none is built; tests/peers/collector.sh builds it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "collector.yaml"
    config.write_text(_CONFIG.format(port=port, to=to, compression=compression))
    process = subprocess.Popen([str(built[-1]), "--config", str(config)])
    try:
        h2raw.wait_for(lambda: _listens(port), "the Collector listens")
        yield port
    finally:
        process.terminate()
        process.wait(h2raw.DEADLINE_S)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _request(spans: int) -> bytes:
    request = ExportTraceServiceRequest()
    kept = request.resource_spans.add().scope_spans.add().spans
    for number in range(spans):
        kept.add(name=f"span {number}", trace_id=os.urandom(16), span_id=os.urandom(8))
    return request.SerializeToString()


def _span_ids(bodies: list[bytes]) -> list[bytes]:
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    return sorted(
        span.span_id
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


def _export(port: int, bodies: list[bytes], encoding: str | None = None) -> list[Answer]:
    async def main() -> list[Answer]:
        channel = GrpcChannel("127.0.0.1", port)
        try:
            calls = (channel.call(_PATH, body, timeout_s=60, encoding=encoding) for body in bodies)
            return await asyncio.gather(*calls)
        finally:
            await channel.close()

    return asyncio.run(main())


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_traces_through_a_collector(tmp_path: Path, compression: str) -> None:
    """Two hundred requests of one span to ten thousand go through and come out, compressed or not."""
    bodies = [_request(spans) for spans in [1, 64, 512, 10_000] * 50]
    with h2raw.serving(encodings=("identity", "gzip")) as server:
        server.handler.answer = lambda call: Answer()
        with _collector(tmp_path, server.port, compression) as port:
            sent = [gzip.compress(body, 1) for body in bodies] if compression == "gzip" else bodies
            answers = _export(port, sent, "gzip" if compression == "gzip" else None)
        assert set(answers) == {Answer(b"\n\x00")}  # an empty partial_success
        received = [gzip.decompress(call.body) if call.compressed else call.body for call in server.handler.calls]
    assert all(call.compressed == (compression == "gzip") for call in server.handler.calls)
    assert _span_ids(bodies) == _span_ids(received)


def test_a_refusal_goes_through_a_collector(tmp_path: Path) -> None:
    """What we refuse for good the Collector understands as such, and tells its sender."""
    with h2raw.serving() as server:
        server.handler.answer = lambda call: Answer(status=Status.INVALID_ARGUMENT, message="no such thing")
        with _collector(tmp_path, server.port, "none") as port:
            answer = _export(port, [_request(1)])[0]
    assert answer.status == Status.INVALID_ARGUMENT
    assert "no such thing" in answer.message
