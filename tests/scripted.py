"""Real backends that answer by a script, and remember when they were asked."""

import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import http_servers
import running


def with_retry_info(code: grpc.StatusCode, delay_s: float) -> bytes:
    """Return an encoded google.rpc.Status that asks for a delay."""
    number: Any = code.value
    status = Status(code=number[0], message="later")
    seconds = int(delay_s)
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=int((delay_s - seconds) * 1e9))))
    encoded: bytes = status.SerializeToString()
    return encoded


class GrpcBackend(running.Backend):
    """Refuses traces by a script of codes and delays, then takes them.

    Args:
        script: For each of the first attempts, how it is refused; the delay is that of RetryInfo, None for none.
    """

    def __init__(self, script: Sequence[tuple[grpc.StatusCode, float | None]] = ()) -> None:
        super().__init__()
        self.times: list[float] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._script = deque(script)

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the stubs' name
        """Take a request or refuse it, by the script."""
        if isinstance(request, ExportTraceServiceRequest):
            self.times.append(time.monotonic())
            if self._script:
                code, delay_s = self._script.popleft()
                if delay_s is not None:
                    details = with_retry_info(code, delay_s)
                    context.set_trailing_metadata((("grpc-status-details-bin", details),))
                context.abort(code, "by the script")
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return super().Export(request, context)
        finally:
            with self._lock:
                self._at_once -= 1


@dataclass(frozen=True)
class Posted:
    """One request that an HTTP backend got."""

    time_s: float
    path: str
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]


@dataclass(frozen=True)
class Reply:
    """How an HTTP backend answers once; status 0 closes the connection without an answer."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


class HttpBackend:
    """Answers by a script, then 200; `answering` holds answers back while it is not set.

    Args:
        script: The first answers.
        always: The answer once the script is through.
    """

    def __init__(self, script: Sequence[Reply] = (), always: Reply = Reply()) -> None:
        self.posted: list[Posted] = []
        self.answering = threading.Event()
        self.answering.set()
        self._script = deque(script)
        self._always = always

    def reply(self, posted: Posted) -> Reply:
        """Remember a request and return how it is answered."""
        self.posted.append(posted)
        reply = self._script.popleft() if self._script else self._always
        self.answering.wait()
        return reply

    @property
    def traces(self) -> list[Posted]:
        """Requests with traces."""
        return [each for each in self.posted if each.path == "/v1/traces"]


@contextmanager
def http_backend(backend: HttpBackend, port: int = 0) -> Generator[int]:
    """Serve an HTTP backend on loopback; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = backend.reply(Posted(time.monotonic(), self.path, headers, body, self.client_address))
            if not reply.status:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

    class Server(ThreadingHTTPServer):
        daemon_threads = True  # kept connections wait for requests
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that went away."""

    with http_servers.served(Handler, port, Server) as bound:
        try:
            yield bound
        finally:
            backend.answering.set()
