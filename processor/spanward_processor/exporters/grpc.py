"""To a backend over OTLP/gRPC.

Source: OpenTelemetry Protocol specification 1.x, "OTLP/gRPC Response" and "Failures".
"""

from collections.abc import Sequence
from typing import Final

from spanward_processor.exporters.base import Refusal, Taken, Verdict
from spanward_processor.exporters.replies import taken
from spanward_processor.h2.call import Answer
from spanward_processor.h2.client import GrpcChannel
from spanward_processor.h2.errors import CallTimeoutError, TransportError
from spanward_processor.receive.compression import compress_gzip
from spanward_processor.signals import Encoded, Signal
from spanward_processor.status import Code, may_retry, retry_delay_s

_TOO_LARGE: Final = "larger than max"  # how C-core and grpc-go word that a message is too long for the receiver


class GrpcExporter:
    """Calls the export services of a backend.

    Args:
        channel: The connection.
        headers: Sent with every call.
        gzip: Whether messages are compressed.
    """

    def __init__(self, channel: GrpcChannel, headers: Sequence[tuple[str, str]], *, gzip: bool) -> None:
        self._channel = channel
        self._headers = tuple(headers)
        self._gzip = gzip

    async def export(self, signal: Signal, parts: Sequence[Encoded], timeout_s: float) -> Taken:
        """Try once; see `Exporter.export`."""
        body = [compress_gzip(parts)] if self._gzip else parts
        try:
            answer = await self._channel.call(
                f"/{signal.service}/Export",
                body,
                timeout_s=timeout_s,
                headers=self._headers,
                encoding="gzip" if self._gzip else None,
            )
        except (TransportError, CallTimeoutError) as error:
            raise Refusal(str(error), Verdict.LATER) from error
        if answer.status:
            raise _refusal(signal, answer)
        return taken(signal, answer.body)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


def _refusal(signal: Signal, answer: Answer) -> Refusal:
    name = Code(answer.status).name if answer.status in set(Code) else str(answer.status)
    delay_s = retry_delay_s(answer.details)
    return Refusal(f"{name} {answer.message}".strip(), _verdict(signal, answer, delay_s), delay_s)


def _verdict(signal: Signal, answer: Answer, delay_s: float | None) -> Verdict:
    if answer.status == Code.INVALID_ARGUMENT:
        return Verdict.NEVER
    if answer.status == Code.UNIMPLEMENTED and signal is not Signal.TRACES:  # spans wait for a mended address
        return Verdict.FOREIGN
    if answer.status == Code.RESOURCE_EXHAUSTED and delay_s is None and _TOO_LARGE in answer.message:
        return Verdict.TOO_LARGE
    return Verdict.LATER if may_retry(answer.status, delay_s) else Verdict.BARRED
