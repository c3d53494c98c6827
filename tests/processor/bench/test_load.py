"""The bench's senders against a real server that asks them to come back, or never takes what they send."""

import asyncio

import grpc
import pytest

from spanward_processor.bench.corpus import Corpus, Feed, Shape
from spanward_processor.bench.load import Senders
from spanward_processor.signals import Signal
from spanward_processor.status import Code, encoded


class Busy(grpc.GenericRpcHandler):
    """Refuses some requests, then takes all.

    Args:
        code: How it refuses.
        times: How many requests.
    """

    def __init__(self, code: grpc.StatusCode, times: int) -> None:
        self.taken = 0
        self._code = code
        self._left = times

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Answer every method alike."""
        assert handler_call_details.method == f"/{Signal.TRACES.service}/Export"
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if self._left:
            self._left -= 1
            details = encoded(Code(self._code.value[0]), "busy", 0.01)
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
            await context.abort(self._code, "busy")
        self.taken += bool(request)
        return b""


async def send(busy: Busy) -> None:
    """Send three requests on two connections."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((busy,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Senders(f"127.0.0.1:{port}", 2, gzip=False) as senders:
            await senders.closed(Feed(Corpus(Shape(spans=2), 1), 1_700_000_000_000_000_000, 100.0, 1), 3)
    finally:
        await server.stop(None)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_who_is_asked_to_come_back_does(code: grpc.StatusCode) -> None:
    """Every request arrives, later."""
    busy = Busy(code, 4)

    asyncio.run(send(busy))

    assert busy.taken == 3


def test_what_is_refused_for_good_ends_the_measurement() -> None:
    """A receiver that cannot take the spans is an error, not a row of the table."""
    with pytest.raises(ExceptionGroup) as failed:
        asyncio.run(send(Busy(grpc.StatusCode.INVALID_ARGUMENT, 4)))

    assert failed.group_contains(grpc.aio.AioRpcError, match="busy")
