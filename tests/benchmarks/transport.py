"""CPU of a relay per request: our HTTP/2 beside grpc.aio, both receiving and forwarding raw bytes.

    python tests/benchmarks/transport.py [--rounds 5] [--seconds 2]

A client of grpcio sends to the relay, the relay to a sink on our server. The relays are processes of their own and take turns;
what counts is their CPU time, which other work on the machine disturbs least.
"""

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import grpc

from spanward_processor.h2.call import Answer, Call
from spanward_processor.h2.client import GrpcChannel
from spanward_processor.h2.server import GrpcServer

_PATH: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_BODIES: Final = {"260 KB": 260_000, "33 KB": 33_000, "0.5 KB": 500}
_IN_FLIGHT: Final = 4


class _Sink:
    """Takes everything."""

    def open(self, path: str, headers: object, peer: object) -> Answer | None:
        return None

    def __call__(self, call: Call) -> Answer:
        return Answer()


@dataclass(frozen=True, slots=True)
class _Relay:
    """Answers what the next server answers."""

    channel: GrpcChannel

    def open(self, path: str, headers: object, peer: object) -> Answer | None:
        return None

    def __call__(self, call: Call) -> Awaitable[Answer]:
        return self.channel.call(call.path, call.body, timeout_s=10)


async def _serve_ours(to: int) -> None:
    channel = GrpcChannel("127.0.0.1", to)
    server = GrpcServer(_Relay(channel) if to else _Sink())
    sock = socket.create_server(("127.0.0.1", 0))
    await server.start(sock)
    await _until_told(sock.getsockname()[1])
    await server.stop(0)
    await channel.close()


async def _serve_grpcio(to: int) -> None:
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{to}", options)
    forward = cast("Any", channel).unary_unary(_PATH)

    async def export(request: bytes, _: Any) -> bytes:
        reply: bytes = await forward(request, timeout=10)
        return reply

    server = grpc.aio.server(options=options)
    service, method = _PATH[1:].split("/")
    handler: Any = cast("Any", grpc).unary_unary_rpc_method_handler(export)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await _until_told(port)
    await server.stop(0)
    await channel.close()


async def _until_told(port: int) -> None:
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


class _Process:
    """A relay or the sink."""

    def __init__(self, role: str, to: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--role", role, "--to", str(to)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def cpu_s(self) -> float:
        """Return what its threads spent, seconds; to the nanosecond, unlike `stat`."""
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def close(self) -> None:
        self._process.communicate("")


def _load(port: int, body: bytes, seconds: float) -> int:
    """Send for some time with a few requests in flight; return how many were answered."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = cast("Any", channel).unary_unary(_PATH)
        call(body, timeout=10, wait_for_ready=True)
        counts = [0] * _IN_FLIGHT
        until = time.monotonic() + seconds

        def send(slot: int) -> None:
            while time.monotonic() < until:
                call(body, timeout=10)
                counts[slot] += 1

        threads = [threading.Thread(target=send, args=(slot,)) for slot in range(_IN_FLIGHT)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(counts)


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):8.1f} {statistics.median(values):8.1f} {max(values):8.1f}"


def _run(rounds: int, seconds: float) -> None:
    sink = _Process("ours", 0)
    relays = {role: _Process(role, sink.port) for role in ("ours", "grpcio")}
    print(f"load average {os.getloadavg()[0]:.1f}; CPU us per request: min median max")
    try:
        for name, size in _BODIES.items():
            body = os.urandom(size)
            spent: dict[str, list[float]] = {role: [] for role in relays}
            for _ in range(rounds):
                for role, relay in relays.items():
                    before = relay.cpu_s()
                    requests = _load(relay.port, body, seconds)
                    spent[role].append((relay.cpu_s() - before) / requests * 1e6)
            ratio = statistics.median(spent["ours"]) / statistics.median(spent["grpcio"])
            for role, values in spent.items():
                print(f"{name:>7} {role:>6} {_spread(values)}")
            print(f"{name:>7}  ratio {ratio:.2f}", flush=True)
    finally:
        for process in (*relays.values(), sink):
            process.close()


def main() -> None:
    """Measure, or be one of the measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--role", choices=("ours", "grpcio"), help=argparse.SUPPRESS)
    parser.add_argument("--to", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        asyncio.run((_serve_ours if options.role == "ours" else _serve_grpcio)(options.to))
    else:
        _run(options.rounds, options.seconds)


if __name__ == "__main__":
    main()
