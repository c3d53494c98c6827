"""The senders: as fast as they are answered, or at a fixed rate whatever the answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, cast

import grpc

from spanward_processor.bench.corpus import Feed
from spanward_processor.signals import Signal
from spanward_processor.status import may_retry, retry_delay_s

_TIMEOUT_S: Final = 60.0
_LARGEST: Final = 64 << 20
_WAIT_S: Final = 0.1  # where a receiver does not say how long


class Senders:
    """Connections to one receiver; an async context manager.

    Args:
        address: HOST:PORT of the receiver.
        connections: How many, each with one request under way at most in a closed loop.
        gzip: Whether requests are compressed.
    """

    def __init__(self, address: str, connections: int, *, gzip: bool) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", _LARGEST)]
        compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        self._channels = [
            grpc.aio.insecure_channel(address, options=options, compression=compression) for _ in range(connections)
        ]
        self._exports: list[Callable[..., Awaitable[bytes]]] = [
            cast("Any", channel).unary_unary(f"/{Signal.TRACES.service}/Export") for channel in self._channels
        ]

    async def __aenter__(self) -> Self:
        """Connections are made by the first requests."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await asyncio.gather(*(channel.close() for channel in self._channels))

    async def closed(self, feed: Feed, requests: int) -> None:
        """Send a number of requests, on each connection the next as soon as the one before is answered.

        Raises:
            grpc.aio.AioRpcError: One was refused for good, or came back for a minute.
        """
        remaining = iter(range(requests))

        async def go_on(export: Callable[..., Awaitable[bytes]]) -> None:
            for _ in remaining:
                await _send(export, feed.take())

        async with asyncio.TaskGroup() as sending:
            for export in self._exports:
                sending.create_task(go_on(export))

    async def open(self, feed: Feed, spans_per_s: float, requests: int) -> None:
        """Send a number of requests at a fixed rate, each stamped with the moment it was due.

        A receiver that falls behind is sent the next request all the same, and the stamp counts the time a request had to
        wait for its sender, so that a pause is seen by every request it held up.

        Raises:
            grpc.aio.AioRpcError: One was refused for good, or came back for a minute.
        """
        interval_ns = feed.spans_per_request / spans_per_s * 1e9
        began = time.monotonic_ns()
        async with asyncio.TaskGroup() as sending:
            for number in range(requests):
                due = began + int(number * interval_ns)
                await asyncio.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
                export = self._exports[number % len(self._exports)]
                sending.create_task(_send(export, feed.take(due)))


async def _send(export: Callable[..., Awaitable[bytes]], request: bytes) -> None:
    """Send a request, and again as often as it is asked to come back; OTLP's exporters do so too."""
    until_s = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            await export(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            delay_s = _asked_s(error)
            if not may_retry(error.code().value[0], delay_s) or time.monotonic() >= until_s:
                raise
        else:
            return
        await asyncio.sleep(delay_s or _WAIT_S)


def _asked_s(error: grpc.aio.AioRpcError) -> float | None:
    """Return how long the receiver asks a sender to wait, seconds; None where it does not say."""
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    return retry_delay_s(details) if isinstance(details, bytes) else None
