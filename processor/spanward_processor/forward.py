"""To the backends: the same bytes to every one, tried again while that makes sense.

Delivery is at least once: a sender whose request was taken by one backend and refused by another is asked to send it again,
and the first backend gets it twice.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import grpc

from spanward_processor.config import BackendConfig, Forwarding
from spanward_processor.status import may_retry, retry_delay_s

_log = logging.getLogger(__name__)

_LOG_EVERY_S: Final = 30.0
_LARGEST: Final = 64 << 20  # bytes of a forwarded message or a reply


class Signal(StrEnum):
    """A kind of telemetry, and the gRPC method that takes it."""

    TRACES = "trace"
    METRICS = "metrics"
    LOGS = "logs"

    @property
    def service(self) -> str:
        """Return the full gRPC service name."""
        return f"opentelemetry.proto.collector.{self.value}.v1.{self.value.capitalize()}Service"


class RefusedError(Exception):
    """A backend did not take a request.

    Args:
        backend: Its name.
        reason: What it said.
        for_good: Whether the request itself is at fault, so that sending it again is useless.
    """

    def __init__(self, backend: str, reason: str, *, for_good: bool) -> None:
        self.for_good = for_good
        super().__init__(f"backend {backend} {'refused the data' if for_good else 'is not taking data'}: {reason}")


@dataclass(slots=True)
class Sent:
    """What one backend took: requests, and of traces the spans."""

    requests: int = 0
    spans: int = 0
    failed_spans: int = 0


class Backend:
    """One OTLP/gRPC endpoint.

    Args:
        config: Where it is and how it is spoken to.
        forwarding: How patient we are.
        rng: Randomness of the back-off.
    """

    def __init__(self, config: BackendConfig, forwarding: Forwarding, rng: random.Random) -> None:
        self.name = config.name
        self.sent = Sent()
        self._config = config
        self._forwarding = forwarding
        self._rng = rng
        self._logged_at = -_LOG_EVERY_S
        self._channel = _channel(config)
        self._metadata = tuple((key.lower(), value) for key, value in config.headers.items())
        self._calls = {
            signal: self._channel.unary_unary(f"/{signal.service}/Export", _same, _same) for signal in Signal
        }

    async def send(self, signal: Signal, payload: bytes, deadline: float) -> bytes:
        """Deliver one request.

        Args:
            signal: Which kind it is.
            payload: The encoded request.
            deadline: Monotonic time, seconds, after which we give up.

        Returns:
            The backend's reply.

        Raises:
            RefusedError: It was not taken, for now or for good.
        """
        attempt = 0
        while True:
            try:
                timeout = max(min(self._config.timeout_s, deadline - time.monotonic()), 0.001)
                reply: bytes = await self._calls[signal](payload, timeout=timeout, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                await self._wait_or_give_up(error, attempt, deadline)
                attempt += 1
            else:
                return reply

    async def _wait_or_give_up(self, error: grpc.aio.AioRpcError, attempt: int, deadline: float) -> None:
        reason = f"{error.code().name} {error.details() or ''}".strip()
        if not may_retry(error):
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise RefusedError(self.name, reason, for_good=True) from error
            self._warn(reason)
            raise RefusedError(self.name, reason, for_good=False) from error
        most = min(self._forwarding.backoff_max_s, self._forwarding.backoff_initial_s * 2**attempt)
        delay = retry_delay_s(error)
        delay = self._rng.uniform(0, most) if delay is None else delay
        if time.monotonic() + delay >= deadline:
            self._warn(reason)
            raise RefusedError(self.name, reason, for_good=False) from error
        await asyncio.sleep(delay)

    def _warn(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            _log.warning("backend refuses backend=%s reason=%r", self.name, reason)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class Forwarder:
    """Every backend at once.

    Args:
        backends: Where to; none is allowed, then everything counts as delivered.
        max_wait_s: Longest a request waits for its backends, seconds.
    """

    def __init__(self, backends: Sequence[Backend], max_wait_s: float) -> None:
        self.backends = tuple(backends)
        self._max_wait_s = max_wait_s

    async def send(
        self, signal: Signal, payload: bytes, *, spans: int = 0, within_s: float | None = None
    ) -> list[bytes]:
        """Deliver one request to all backends.

        Args:
            signal: Which kind it is.
            payload: The encoded request.
            spans: Spans in it, for the count.
            within_s: How long its sender still waits, seconds.

        Returns:
            The replies.

        Raises:
            RefusedError: Not all took it; those that did are not asked again within this call.
        """
        deadline = time.monotonic() + min(self._max_wait_s, self._max_wait_s if within_s is None else within_s)
        tasks = [asyncio.ensure_future(backend.send(signal, payload, deadline)) for backend in self.backends]
        try:
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        return self._settle(outcomes, spans)

    def _settle(self, outcomes: Sequence[bytes | BaseException], spans: int) -> list[bytes]:
        replies: list[bytes] = []
        failures: list[BaseException] = []
        for backend, outcome in zip(self.backends, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                backend.sent.failed_spans += spans
                failures.append(outcome)
            else:
                backend.sent.requests += 1
                backend.sent.spans += spans
                replies.append(outcome)
        if failures:
            passing = [error for error in failures if not (isinstance(error, RefusedError) and error.for_good)]
            raise (passing or failures)[0]
        return replies

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(backend.close() for backend in self.backends))


def _same(payload: bytes) -> bytes:
    return payload


def _channel(config: BackendConfig) -> grpc.aio.Channel:
    scheme, _, target = config.endpoint.partition("://")
    options = [("grpc.max_send_message_length", _LARGEST), ("grpc.max_receive_message_length", _LARGEST)]
    compression = grpc.Compression.Gzip if config.compression == "gzip" else grpc.Compression.NoCompression
    if scheme == "http":
        return grpc.aio.insecure_channel(target, options=options, compression=compression)
    tls = config.tls
    files = [tls.ca_file, tls.key_file, tls.cert_file] if tls else [None] * 3
    contents = [file.read_bytes() if file else None for file in files]
    return grpc.aio.secure_channel(
        target, grpc.ssl_channel_credentials(*contents), options=options, compression=compression
    )
