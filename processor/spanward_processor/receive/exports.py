"""The routes of OTLP over HTTP on which telemetry comes: from the bytes of a body to the intake, and its reply back."""

import asyncio
from collections.abc import Awaitable
from typing import Final, Protocol

from spanward_processor.receive.body import Body, BodyRoom
from spanward_processor.receive.compression import TooLargeError, decompress
from spanward_processor.receive.http_failures import Failure
from spanward_processor.receive.http_head import Head
from spanward_processor.receive.otlp_json import from_protobuf, to_protobuf
from spanward_processor.signals import Signal

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
PATHS: Final = {"/v1/traces": Signal.TRACES, "/v1/metrics": Signal.METRICS, "/v1/logs": Signal.LOGS}
_INLINE_JSON_BYTES: Final = 128 << 10  # below it a thread's hand-over costs more than it gains


class Intake(Protocol):
    """Takes export requests; `spanward_processor.receive.intake.Intake` is the real one."""

    async def turn(self) -> None:
        """Wait until a request may be worked on; raise BusyError when that takes too long."""
        ...

    def take(self, signal: Signal, payload: bytes, within_s: float | None = None) -> bytes | Awaitable[bytes]:
        """Take an encoded request; return the encoded response."""
        ...


class Exports:
    """The route of one signal.

    Args:
        signal: Which.
        intake: Takes requests.
        room: Where bodies are held while they come in.
        most_bytes: Largest body, both as it comes and decompressed, bytes.
        most_ratio: Largest ratio of a body to its compressed form.
    """

    def __init__(self, signal: Signal, intake: Intake, room: BodyRoom, most_bytes: int, most_ratio: float) -> None:
        self._signal = signal
        self._intake = intake
        self._room = room
        self._most_bytes = most_bytes
        self._most_ratio = most_ratio

    async def take(self, head: Head, body: Body) -> bytes:
        """Take a request; return the answer to it, encoded as the request is."""
        if head.content_type not in {PROTOBUF, JSON}:
            raise Failure(415, f"content-type: must be {PROTOBUF} or {JSON}, got {head.content_type[:100]!r}")
        encoding = head.encoding()
        if head.body_bytes > self._most_bytes:
            raise TooLargeError(f"content-length: must be <= {self._most_bytes} (limits.message_bytes)")
        with self._room.hold() as held:
            packed = await held.read(body, self._most_bytes)
            await self._intake.turn()
            payload = decompress(encoding, packed, self._most_bytes, self._most_ratio)
            if head.content_type == JSON:
                payload = await _from_json(self._signal, payload)
            taken = self._intake.take(self._signal, payload, None)
        reply = taken if isinstance(taken, bytes) else await taken
        return from_protobuf(self._signal, reply) if head.content_type == JSON else reply


async def _from_json(signal: Signal, document: bytes) -> bytes:
    if len(document) <= _INLINE_JSON_BYTES:
        return to_protobuf(signal, document)
    return await asyncio.to_thread(to_protobuf, signal, document)
