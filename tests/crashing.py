"""What crash tests are made of: a processor to kill, senders that remember every OK, a backend of changing mood."""

import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from spans import encoded, span, spans_of

MOODS = ("well", "slow", "flapping", "hanging", "down")
SPANS = 8  # of a request
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_REPLY = trace_service_pb2.ExportTraceServiceResponse()


class MoodyBackend(trace_service_pb2_grpc.TraceServiceServicer):
    """Counts how often each span arrived; answers as its mood is, and takes no other signal.

    Args:
        rng: Decides what a flapping backend refuses.
    """

    def __init__(self, rng: random.Random) -> None:
        self.arrived: Counter[bytes] = Counter()
        self.mood = "well"
        self._rng = rng
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None
        self._port = 0
        self.turn("well")

    @property
    def port(self) -> int:
        """Where it listens, also while it is down."""
        return self._port

    def turn(self, mood: str) -> None:
        """Change its mood."""
        self.mood = mood
        if mood == "down":
            self.close()
        elif self._server is None:
            server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
            cast("Any", trace_service_pb2_grpc).add_TraceServiceServicer_to_server(self, server)
            self._port = server.add_insecure_port(f"127.0.0.1:{self._port}")
            server.start()
            self._server = server

    def close(self) -> None:
        """Go down."""
        if self._server:
            self._server.stop(0).wait()
            self._server = None

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the stubs' name
        """Take a request, or not; some spans are taken and the answer is lost, as when a network breaks."""
        if self.mood == "flapping":
            with self._lock:
                turn = self._rng.random()
            if turn < 0.4:
                context.abort(grpc.StatusCode.UNAVAILABLE, "flapping")
            self._keep(request)
            if turn < 0.6:
                context.abort(grpc.StatusCode.UNAVAILABLE, "taken, and not said")
            return _REPLY
        if self.mood == "hanging":
            while self.mood == "hanging" and context.is_active():
                time.sleep(0.02)
            context.abort(grpc.StatusCode.UNAVAILABLE, "hung")
        if self.mood == "slow":
            time.sleep(0.2)
        self._keep(request)
        return _REPLY

    def _keep(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        with self._lock:
            self.arrived.update(each.span_id for each in spans_of(request))


@dataclass
class Senders:
    """Threads that send requests of spans with unique ids, and remember which were acknowledged.

    Args:
        address: The processor's receiver.
        first: Number of the first request.
    """

    address: str
    first: int
    threads: int = 3
    acknowledged: list[bytes] = field(default_factory=list[bytes])
    sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def sending(self) -> Generator[None]:
        """Send while the block runs."""
        threads = [threading.Thread(target=self._send) for _ in range(self.threads)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _send(self) -> None:
        with grpc.insecure_channel(self.address) as channel:
            call = cast("Any", channel).unary_unary(METHOD)
            while not self._stop.is_set():
                with self._lock:
                    number = self.first + self.sent
                    self.sent += 1
                ids = [(number * SPANS + each + 1).to_bytes(8, "big") for each in range(SPANS)]
                try:
                    call(encoded(*(span({}, span_id=each) for each in ids)), timeout=5)
                except grpc.RpcError:
                    time.sleep(0.01)  # killed, or not there yet
                else:
                    with self._lock:
                        self.acknowledged += ids


@contextmanager
def processor(folder: Path, backend_port: int, extra: str = "") -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run a processor on the folder's journal as a process of its own; yield it and where it listens, when it is ready.

    Args:
        folder: Where its journal, its configuration and its log lie.
        backend_port: Where it delivers to.
        extra: Further lines of its configuration.
    """
    process = start(folder, backend_port, extra)
    try:
        yield process, address_of(process, folder)
    finally:
        process.kill()
        process.communicate()


def start(folder: Path, backend_port: int, extra: str = "", log: Path | None = None) -> subprocess.Popen[str]:
    """Start a processor; see `processor`. Its log is added to `log` in the folder unless another file is given."""
    file = folder / "processor.yaml"
    file.write_text(
        f"""
receiver: {{listen: "127.0.0.1:0", http_listen: null}}
live: null
journal: {{folder: "{folder / "journal"}"}}
backends: [{{name: moody, endpoint: "http://127.0.0.1:{backend_port}", timeout_s: 1}}]
{extra}
""",
        encoding="utf-8",
    )
    with (log or folder / "log").open("a") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "spanward_processor", "processor", "--config", str(file)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def address_of(process: subprocess.Popen[str], folder: Path) -> str:
    """Wait until a processor is ready; return where it listens."""
    assert process.stdout
    ready = re.match(r"ready receiver=(\S+)", process.stdout.readline())
    assert ready, (folder / "log").read_text(encoding="utf-8")
    return ready[1]
