"""What the service talks to: a backend that keeps its spans, and another service that may answer late."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv
from spanward_processor.signals import Signal

_LARGEST: Final = 64 << 20


class Backend:
    """Keeps every span it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._more = asyncio.Condition()

    async def export(self, request: bytes, _: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        """Take one request with spans."""
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        async with self._more:
            self._more.notify_all()
        return b""

    async def calls(self, model: str, count: int) -> list[Span]:
        """Return the calls of a model, once there are as many."""
        async with self._more:
            while len(found := [span for span in self.spans if _is_of(span, model)]) < count:
                await self._more.wait()
        return found


def _is_of(span: Span, model: str) -> bool:
    return any(item.key == semconv.MODEL_NAME and item.value.string_value == model for item in span.attributes)


def _service(name: str, take: Callable[[bytes, Any], Awaitable[bytes]]) -> grpc.GenericRpcHandler:
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(take)
    return grpc.method_handlers_generic_handler(name, {"Export": method})


async def _ignore(_request: bytes, _context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
    return b""


@asynccontextmanager
async def backend() -> AsyncGenerator[tuple[Backend, int]]:
    """Run a backend on loopback; yield it and its port."""
    kept = Backend()
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", _LARGEST), ("grpc.so_reuseport", 0)])
    for signal in Signal:
        take = kept.export if signal is Signal.TRACES else _ignore
        server.add_generic_rpc_handlers((_service(signal.service, take),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield kept, port
    finally:
        await server.stop(0)


class Remote:
    """Another service: answers each question after a while, with one byte."""

    def __init__(self) -> None:
        self.answers_after_s = 0.0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        await reader.read(1)
        await asyncio.sleep(self.answers_after_s)
        writer.write(b"!")
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def remote() -> AsyncGenerator[tuple[Remote, int]]:
    """Run another service on loopback; yield it and its port."""
    kept = Remote()
    server = await asyncio.start_server(kept.answer, "127.0.0.1", 0)
    async with server:
        yield kept, int(server.sockets[0].getsockname()[1])
