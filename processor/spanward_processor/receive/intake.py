"""The one door for every protocol: admit, judge, deliver, count, answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanward_processor.counts import Counts
from spanward_processor.decode import UndecodableError, count_spans
from spanward_processor.exporters.base import Taken
from spanward_processor.forward.delivery import Delivery, RefusedError
from spanward_processor.pipeline import Pipeline, Processed
from spanward_processor.receive.admission import Admission, BusyError
from spanward_processor.receive.joining import Joiner
from spanward_processor.receive.pace import Pace
from spanward_processor.resident import ALLOCATOR
from spanward_processor.signals import Signal

_JOINED_BYTES: Final = 320 << 10  # below it, some six hundred spans, requests that come together are taken as one
_INLINE_BYTES: Final = (
    512 << 10
)  # some thousand spans, a millisecond; below it a thread's hand-over costs more than it gains


class Intake:
    """Takes export requests of all three signals.

    Args:
        pipeline: Judges spans.
        delivery: Makes OK true.
        admission: Bounds what is in flight.
        pace: Shares the event loop between all who take requests in it.
        counts: Counts what happens.
        workers: Threads for large requests; kernels release the GIL.
        transport: What it takes requests from, `grpc` or `http`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        delivery: Delivery,
        admission: Admission,
        pace: Pace,
        counts: Counts,
        workers: Executor,
        transport: str = "grpc",
    ) -> None:
        self.pipeline = pipeline
        self.delivery = delivery
        self.admission = admission
        self.counts = counts
        self.workers = workers
        self._pace = pace
        self._received = counts.received[transport]
        self._joiner = Joiner(self._take_traces)

    def is_free(self) -> bool:
        """Return whether a request may be worked on at once; else it waits for its turn, by one of the next two."""
        return self._pace.is_free()

    def line_up(self, go: Callable[[], None], refuse: Callable[[BusyError], None]) -> None:
        """Let a request wait; one of both is called later, in the event loop, and raises nothing."""

        def count(error: BusyError) -> None:
            self.counts.refused_requests += 1
            refuse(error)

        self._pace.line_up(go, count)

    async def turn(self) -> None:
        """Wait until a request may be worked on; before anything is done for it.

        Raises:
            BusyError: More comes in than can be judged.
        """
        try:
            await self._pace.turn()
        except BusyError:
            self.counts.refused_requests += 1
            raise

    def take(self, signal: Signal, payload: bytes, within_s: float | None = None) -> bytes | Awaitable[bytes]:
        """Take one request.

        Args:
            signal: Which kind it is.
            payload: The encoded export request.
            within_s: How long its sender still waits, seconds.

        Returns:
            The encoded export response, or an awaitable of it where taking needs time; either raises what is below.

        Raises:
            UndecodableError: The bytes are malformed.
            BusyError: Too much is in flight.
            RefusedError: It could not be delivered.
        """
        if not payload:
            return b""
        self._look_for_room(signal, payload)
        if signal is not Signal.TRACES:
            self._check(signal, payload)
        if not self.delivery.at_once or len(payload) > _INLINE_BYTES:
            return self._take_in_time(signal, payload, within_s)
        if signal is not Signal.TRACES:
            return self._put(signal, payload, None)
        return self._joiner.add(payload) if len(payload) < _JOINED_BYTES else self._take_traces(payload, joined=False)

    def _look_for_room(self, signal: Signal, payload: bytes) -> None:
        """Refuse at once what could not be delivered once it was judged."""

        def spans() -> int:
            counted = count_spans(payload) if signal is Signal.TRACES else 0
            self._count_refused(counted)
            return counted

        try:
            self.delivery.check_room(len(payload), spans)
        except (UndecodableError, RefusedError):
            self.counts.refused_requests += 1
            raise

    def _check(self, signal: Signal, payload: bytes) -> None:
        """Refuse malformed metrics and logs, which would else spoil the requests they are delivered with."""
        try:
            (ExportMetricsServiceRequest if signal is Signal.METRICS else ExportLogsServiceRequest).FromString(payload)
        except DecodeError as error:
            self.counts.refused_requests += 1
            raise UndecodableError(f"not an export request of {signal.name.lower()}: {error}") from error

    def _take_traces(self, payload: bytes, joined: bool) -> bytes:
        """Take a request in the event loop; decoding it takes less than handing it to a thread."""
        try:
            processed = self.pipeline.process(payload, joined=joined)
        except UndecodableError:
            self.counts.refused_requests += 1
            raise
        return self._put(Signal.TRACES, payload, processed)

    def _put(self, signal: Signal, payload: bytes, processed: Processed | None) -> bytes:
        spans = processed.spans if processed else 0
        if processed and _nothing_left(processed):
            return self._settle(signal, payload, processed, ())
        try:
            self.delivery.put(signal, processed.payload if processed else payload, spans)
        except RefusedError:
            self._count_refused(spans + (processed.refusals.spans if processed else 0))
            self.counts.refused_requests += 1
            raise
        self.delivery.wake()
        return self._settle(signal, payload, processed, ())

    async def _take_in_time(self, signal: Signal, payload: bytes, within_s: float | None) -> bytes:
        try:
            with self.admission.admit(len(payload)):
                processed = await self._judge(payload) if signal is Signal.TRACES else None
                return await self._deliver(signal, payload, processed, within_s)
        except (UndecodableError, BusyError, RefusedError):
            self.counts.refused_requests += 1
            raise

    async def _judge(self, payload: bytes) -> Processed:
        if len(payload) <= _INLINE_BYTES:
            return self.pipeline.process(payload)
        ALLOCATOR.expect(len(payload))
        return await asyncio.get_running_loop().run_in_executor(self.workers, self.pipeline.process, payload)

    async def _deliver(
        self, signal: Signal, payload: bytes, processed: Processed | None, within_s: float | None
    ) -> bytes:
        spans = processed.spans if processed else 0
        if processed and _nothing_left(processed):
            return self._settle(signal, payload, processed, ())
        try:
            taken = await self.delivery.deliver(
                signal, processed.payload if processed else payload, spans=spans, within_s=within_s
            )
        except RefusedError:
            self._count_refused(spans + (processed.refusals.spans if processed else 0))
            raise
        return self._settle(signal, payload, processed, taken)

    def _count_refused(self, spans: int) -> None:
        self.counts.refused += spans
        self._received.refused += spans

    def _settle(self, signal: Signal, payload: bytes, processed: Processed | None, taken: Sequence[Taken]) -> bytes:
        """Count what was taken; return the reply."""
        if signal is Signal.METRICS:
            self.pipeline.why.gauges.offer(payload)
        if processed:
            self.counts.delivered(processed, self.pipeline.acknowledge(processed))
            self._received.accepted += processed.spans
            self._received.refused += processed.refusals.spans
            if processed.refusals.spans:
                return reply(signal, taken, Taken(processed.refusals.spans, processed.refusals.reason))
        return reply(signal, taken) if taken else b""


def _nothing_left(processed: Processed) -> bool:
    """Return whether every span of a request was refused, so that there is nothing to deliver."""
    return processed.spans == 0 and processed.refusals.spans > 0


def reply(signal: Signal, taken: Sequence[Taken], ours: Taken = Taken()) -> bytes:  # noqa: B008 - frozen
    """Return the reply to a sender: empty on full success, else what we and the strictest backend rejected.

    Args:
        signal: Which kind was taken.
        taken: What each backend said.
        ours: What we refused before.
    """
    rejected = ours.rejected + max((part.rejected for part in taken), default=0)
    message = "; ".join(dict.fromkeys(part.message for part in (ours, *taken) if part.message))
    if not rejected and not message:
        return b""
    if signal is Signal.TRACES:
        traces = ExportTraceServiceResponse()
        traces.partial_success.rejected_spans, traces.partial_success.error_message = rejected, message
        return traces.SerializeToString()
    if signal is Signal.METRICS:
        metrics = ExportMetricsServiceResponse()
        metrics.partial_success.rejected_data_points, metrics.partial_success.error_message = rejected, message
        return metrics.SerializeToString()
    logs = ExportLogsServiceResponse()
    logs.partial_success.rejected_log_records, logs.partial_success.error_message = rejected, message
    return logs.SerializeToString()
