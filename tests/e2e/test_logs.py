"""Floods of bad input against a real process: its log stays short, whatever senders and backends do."""

import contextlib
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import grpc

import crashing
import running
from spans import encoded, eventually, span

FLOOD: Final = 300
LINES: Final = 30  # far less than one for each of the hundreds of bad requests
LINE: Final = re.compile(r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=[A-Z]+ logger=[\w.]+ \S.*")


def post(address: str, sent: bytes, **headers: str) -> None:
    """Post a request that will be refused."""
    request = urllib.request.Request(
        f"http://{address}/v1/traces", sent, {k.replace("_", "-"): v for k, v in headers.items()}
    )
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=20).close()


def noise(address: str, sent: bytes) -> None:
    """Say bytes to a port that are no request, and go."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 20) as peer:
        peer.sendall(sent)


def flood(over_grpc: str, over_http: str) -> None:
    """Send everything that is wrong in one way or another, and what a backend refuses for good, hundreds of times."""
    json, protobuf = "application/json", "application/x-protobuf"
    with grpc.insecure_channel(over_grpc) as channel:
        call = cast("Any", channel).unary_unary(crashing.METHOD)
        for _ in range(FLOOD):
            for bad in (
                b"\xff",
                b"\x0a\x05\x01",
                encoded(span({"text": "\ud83d".encode("utf-16", "surrogatepass")}))[:-3],
            ):
                with contextlib.suppress(grpc.RpcError):
                    call(bad, timeout=20)
            call(encoded(span(end_time_unix_nano=1), span({"spanward.anomaly.score": 1.0})), timeout=20)
    for number in range(FLOOD):
        post(over_http, b"{", Content_Type=json)
        post(over_http, b"\xff", Content_Type=protobuf)
        post(over_http, b"\x1f\x8b", Content_Type=protobuf, Content_Encoding="gzip")
        post(over_http, b"", Content_Type="text/plain")
        noise(over_grpc, b"GET / HTTP/1.1\r\n\r\n" if number % 2 else bytes(40))
        noise(over_http, b"\x16\x03\x01" if number % 2 else b"GET " + bytes(20))


@contextmanager
def processor(folder: Path, backend_port: int) -> Generator[tuple[subprocess.Popen[str], str, str]]:
    """Run a processor as a process; yield it and where it takes gRPC and HTTP. Its log is a file in the folder."""
    (folder / "processor.yaml").write_text(
        f"""
receiver: {{listen: "127.0.0.1:0", http_listen: "127.0.0.1:0"}}
live: {{listen: "127.0.0.1:0"}}
journal: {{folder: "{folder / "journal"}"}}
backends: [{{name: b, endpoint: "http://127.0.0.1:{backend_port}"}}]
forwarding: {{joined_bytes: 1}}
""",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "spanward_processor", "processor", "--config", str(folder / "processor.yaml")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        ready = re.match(r"ready receiver=(\S+) http=(\S+)", process.stdout.readline())
        assert ready is not None, (folder / "log").read_text()
        yield process, ready[1], ready[2]
    finally:
        process.kill()
        process.communicate()


def test_a_flood_of_bad_input_leaves_a_short_log(tmp_path: Path) -> None:
    """One line for each kind of event and interval, each of them whole, and never one for a row or a request."""
    with running.backend() as (backend, port):
        backend.refusal = (grpc.StatusCode.INVALID_ARGUMENT, "bad\nlevel=INFO forged=1")
        with processor(tmp_path, port) as (process, over_grpc, over_http):
            flood(over_grpc, over_http)
            assert eventually(lambda: backend.refused >= FLOOD)
            process.terminate()
            assert process.wait(40) == 0
    logged = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    print(*logged, sep="\n")

    assert [line for line in logged if not LINE.fullmatch(line)] == []
    assert 1 <= sum("given up" in line for line in logged) <= 4  # a line in thirty seconds
    assert len(logged) <= LINES
