"""The backend of every side: takes OTLP, keeps nothing, and counts by a scan that costs little.

Run as `python -m spanward_processor.bench.sink`; prints `ready receiver=HOST:PORT`.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self, cast

import grpc

from spanward_processor.bench.corpus import ANNOTATION_MARK, SPAN_MARK, STAMP_DIGITS, STAMP_MARK
from spanward_processor.signals import Signal

_OWN: Final = "spanward.bench.Sink"
_LARGEST: Final = 512 << 20  # the Collector joins requests to batches of 8,192 spans, whatever their size


@dataclass(slots=True)
class Taken:
    """What the sink has taken.

    Args:
        requests: Requests with spans.
        spans: Spans.
        annotated: Spans that carry our annotation.
        size_bytes: Bytes of the requests with spans, decompressed.
        others: Requests with metrics or logs.
        ways_ns: How long each stamped request was under way, nanoseconds, since last asked.
    """

    requests: int = 0
    spans: int = 0
    annotated: int = 0
    size_bytes: int = 0
    others: int = 0
    ways_ns: list[int] = field(default_factory=list[int])


class Sink:
    """Counts what comes, and answers who waits for a count."""

    def __init__(self) -> None:
        self._taken = Taken()
        self._more = asyncio.Event()

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Return the three OTLP services and our own."""
        takes = {Signal.TRACES: self._traces, Signal.METRICS: self._other, Signal.LOGS: self._other}
        return (
            *(_service(signal.service, "Export", take) for signal, take in takes.items()),
            _service(_OWN, "Await", self._await),
        )

    async def _traces(self, request: bytes) -> bytes:
        taken = self._taken
        now = time.monotonic_ns()
        taken.requests += 1
        taken.size_bytes += len(request)
        taken.spans += request.count(SPAN_MARK)
        taken.annotated += request.count(ANNOTATION_MARK)
        at = request.find(STAMP_MARK)
        while at >= 0:
            at += len(STAMP_MARK)
            stamp = int(request[at : at + STAMP_DIGITS])
            if stamp:
                taken.ways_ns.append(now - stamp)
            at = request.find(STAMP_MARK, at)
        self._more.set()
        return b""

    async def _other(self, request: bytes) -> bytes:
        del request
        self._taken.others += 1
        return b""

    async def _await(self, request: bytes) -> bytes:
        """Answer with everything taken, once as many spans as the request says have come."""
        while self._taken.spans < int(request):
            self._more.clear()
            await self._more.wait()
        answer = json.dumps(asdict(self._taken)).encode()
        self._taken.ways_ns = []
        return answer


def _service(name: str, method: str, answer: Callable[[bytes], Awaitable[bytes]]) -> grpc.GenericRpcHandler:
    async def call(request: bytes, _: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        return await answer(request)

    return grpc.method_handlers_generic_handler(name, {method: grpc.unary_unary_rpc_method_handler(call)})


class SinkClient:
    """Asks a running sink what it has taken.

    Args:
        address: HOST:PORT of the sink.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", _LARGEST)])
        self._ask = cast("Any", self._channel).unary_unary(f"/{_OWN}/Await")

    async def taken(self, spans: int = 0, *, within_s: float = 60.0) -> Taken:
        """Wait until the sink has taken a number of spans in all; return what it has taken.

        Raises:
            grpc.aio.AioRpcError: They did not come in time.
        """
        return Taken(**json.loads(await self._ask(b"%d" % spans, timeout=within_s)))

    async def __aenter__(self) -> Self:
        """The connection is made by the first question."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        await self._channel.close()


async def _run() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", _LARGEST), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(Sink().handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"ready receiver=127.0.0.1:{port}\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(_run())
