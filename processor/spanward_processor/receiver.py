"""The OTLP/gRPC receiver: raw bytes in, an honest answer out.

OK means: every backend took it (the journal, by which OK can mean "on disk", comes later). So the answer waits for the
backends, as long as the sender waits and `forwarding.max_wait_s` allows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanward_processor.admission import Admission, BusyError
from spanward_processor.counts import Counts
from spanward_processor.forward import Forwarder, RefusedError, Signal
from spanward_processor.pipeline import Pipeline, UndecodableError
from spanward_processor.status import throttled

_INLINE_BYTES: Final = 16 << 10  # below it a thread's hand-over costs more than the work
_BUSY_RETRY_S: Final = 1.0
_BACKEND_RETRY_S: Final = 5.0

_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Answers exports of all three signals.

    Args:
        pipeline: Judges spans.
        forwarder: Delivers.
        admission: Bounds what is in flight.
        counts: Counts what happens.
        workers: Threads for large requests; kernels release the GIL.
    """

    pipeline: Pipeline
    forwarder: Forwarder
    admission: Admission
    counts: Counts
    workers: Executor

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Return generic handlers that hand over undecoded bytes."""
        exports = {Signal.TRACES: self._traces, Signal.METRICS: self._metrics, Signal.LOGS: self._logs}
        return tuple(
            grpc.method_handlers_generic_handler(
                signal.service, {"Export": grpc.unary_unary_rpc_method_handler(self._guarded(export))}
            )
            for signal, export in exports.items()
        )

    def _guarded(
        self, export: Callable[[bytes, float | None], Awaitable[bytes]]
    ) -> Callable[[bytes, _Context], Awaitable[bytes]]:
        async def answer(request: bytes, context: _Context) -> bytes:
            try:
                with self.admission.admit(len(request)):
                    return await export(request, context.time_remaining())
            except UndecodableError as error:
                self.counts.refused_requests += 1
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except BusyError as error:
                self.counts.refused_requests += 1
                await _come_back(context, str(error), _BUSY_RETRY_S)
            except RefusedError as error:
                self.counts.refused_requests += 1
                if error.for_good:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                await _come_back(context, str(error), _BACKEND_RETRY_S)

        return answer

    async def _traces(self, request: bytes, within_s: float | None) -> bytes:
        if not request:
            return b""
        if len(request) < _INLINE_BYTES:
            processed = self.pipeline.process(request)
        else:
            loop = asyncio.get_running_loop()
            processed = await loop.run_in_executor(self.workers, self.pipeline.process, request)
        try:
            replies = await self.forwarder.send(
                Signal.TRACES, processed.payload, spans=processed.spans, within_s=within_s
            )
        except RefusedError:
            self.counts.refused += processed.spans
            raise
        self.counts.delivered(processed, self.pipeline.acknowledge(processed))
        return _reply(replies, ExportTraceServiceResponse, "rejected_spans")

    async def _metrics(self, request: bytes, within_s: float | None) -> bytes:
        if not request:
            return b""
        replies = await self.forwarder.send(Signal.METRICS, request, within_s=within_s)
        return _reply(replies, ExportMetricsServiceResponse, "rejected_data_points")

    async def _logs(self, request: bytes, within_s: float | None) -> bytes:
        if not request:
            return b""
        replies = await self.forwarder.send(Signal.LOGS, request, within_s=within_s)
        return _reply(replies, ExportLogsServiceResponse, "rejected_log_records")


_Response = type[ExportTraceServiceResponse] | type[ExportMetricsServiceResponse] | type[ExportLogsServiceResponse]


def _reply(replies: Sequence[bytes], response: _Response, count: str) -> bytes:
    """Return the reply to the sender: empty on full success, else the largest part any backend rejected."""
    partial = [response.FromString(reply).partial_success for reply in replies if reply]
    rejected = max((int(getattr(part, count)) for part in partial), default=0)
    messages = "; ".join(dict.fromkeys(part.error_message for part in partial if part.error_message))
    if not rejected and not messages:
        return b""
    answer = response()
    setattr(answer.partial_success, count, rejected)
    answer.partial_success.error_message = messages
    return answer.SerializeToString()


async def _come_back(context: _Context, message: str, delay_s: float) -> NoReturn:
    await context.abort(grpc.StatusCode.UNAVAILABLE, message, throttled(message, delay_s))
    raise AssertionError("abort always raises")


__all__ = ["Receiver"]
