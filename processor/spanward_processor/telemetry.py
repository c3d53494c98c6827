"""What the processor says of itself and of every series, as OTLP metrics.

Names and labels of the receiver's and exporter's counters are the Collector's, so that its dashboards carry over.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from spanward import semconv
from spanward_processor.counts import Counts
from spanward_processor.delivery import Delivery, RefusedError
from spanward_processor.panorama import Panorama, Standing
from spanward_processor.signals import Signal

_RECEIVER: Final = {"receiver": "otlp", "transport": "grpc"}
_Observe = Callable[[CallbackOptions], Iterable[Observation]]


class ForwardingExporter(MetricExporter):
    """Hands encoded metrics from the SDK's thread to the event loop's delivery."""

    def __init__(self, delivery: Delivery, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._delivery = delivery
        self._loop = loop

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:  # noqa: ARG002 - the SDK's signature
        """Deliver one collection; see the SDK."""
        payload = encode_metrics(metrics_data).SerializeToString()
        sending = self._delivery.deliver(Signal.METRICS, payload, within_s=timeout_millis / 1e3)
        try:
            asyncio.run_coroutine_threadsafe(sending, self._loop).result(timeout_millis / 1e3 + 1)
        except (RefusedError, TimeoutError, CancelledError):  # cancelled: the processor stops before a backend answers
            return MetricExportResult.FAILURE
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Delivery is closed by its owner."""


class SelfTelemetry:
    """A meter provider of our own, never the global one.

    Args:
        delivery: Where metrics go.
        counts: Running totals.
        panorama: How every series stands.
        overflowed: Returns how many rows found no key of their own.
        interval_s: Seconds between exports.
        version: Version of the processor.
    """

    def __init__(
        self,
        delivery: Delivery,
        counts: Counts,
        panorama: Panorama,
        overflowed: Callable[[], int],
        *,
        interval_s: float,
        version: str,
    ) -> None:
        exporter = ForwardingExporter(delivery, asyncio.get_running_loop())
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=interval_s * 1e3)
        resource = Resource({semconv.SERVICE_NAME: "spanward-processor", semconv.SERVICE_VERSION: version})
        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        self._meter = self._provider.get_meter("spanward.processor", version)
        self._count_spans(delivery, counts, overflowed)
        self._show_series(panorama)

    def _count_spans(self, delivery: Delivery, counts: Counts, overflowed: Callable[[], int]) -> None:
        def exported(read: Callable[[Any], int]) -> _Observe:
            return lambda _: [
                Observation(read(backend.sent), {"exporter": backend.name}) for backend in delivery.backends
            ]

        counters: dict[str, _Observe] = {
            "otelcol_receiver_accepted_spans": lambda _: [Observation(counts.accepted, _RECEIVER)],
            "otelcol_receiver_refused_spans": lambda _: [Observation(counts.refused, _RECEIVER)],
            "otelcol_exporter_sent_spans": exported(lambda sent: sent.spans),
            "otelcol_exporter_send_failed_spans": exported(lambda sent: sent.failed_spans),
            "spanward.receiver.refused_requests": lambda _: [Observation(counts.refused_requests)],
            "spanward.spans.refused": lambda _: [
                Observation(spans, {"limit": limit}) for limit, spans in counts.over_limit.items()
            ],
            "spanward.spans.late": lambda _: [Observation(counts.late)],
            "spanward.spans.annotated": lambda _: [Observation(counts.annotated)],
            "spanward.attributes.removed": lambda _: [Observation(counts.removed)],
            "spanward.findings.dropped": lambda _: [Observation(counts.dropped)],
            "spanward.keys.overflowed": lambda _: [Observation(overflowed())],
        }
        for name, observe in counters.items():
            self._meter.create_observable_counter(name, [observe])

    def _show_series(self, panorama: Panorama) -> None:
        self._meter.create_observable_counter(
            semconv.METRIC_FINDING_COUNT,
            [
                lambda _: [
                    Observation(count, {"kind": kind, "severity": severity, "detector": detector})
                    for (kind, severity, detector), count in panorama.opened().items()
                ]
            ],
        )
        gauges: dict[str, tuple[str, Callable[[Standing], float | None]]] = {
            semconv.METRIC_FINDING_OPEN: ("{finding}", lambda standing: panorama.open_count(standing.key)),
            semconv.METRIC_SERIES_READY: ("1", lambda standing: float(standing.ready)),
            semconv.METRIC_SERIES_RATE: ("{request}/s", lambda standing: standing.history[-1].rate_per_s),
            semconv.METRIC_SERIES_LATENCY: ("s", lambda standing: standing.history[-1].latency_p99_s),
            semconv.METRIC_SERIES_ERROR_RATIO: ("1", lambda standing: standing.history[-1].error_ratio),
        }
        for name, (unit, read) in gauges.items():
            self._meter.create_observable_gauge(name, [_per_series(panorama, read)], unit)

    async def shut_down(self) -> None:
        """Deliver the last collection and stop."""
        await asyncio.to_thread(self._provider.shutdown, 5_000)


def _per_series(panorama: Panorama, read: Callable[[Standing], float | None]) -> _Observe:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        for standing in panorama.standings():
            value = read(standing) if standing.history else None
            if value is not None:
                yield Observation(value, _labels(standing))

    return observe


def _labels(standing: Standing) -> dict[str, str]:
    series = standing.series
    labels = {
        semconv.SERVICE_NAME: series.service,
        semconv.MODEL_NAME: series.model,
        semconv.MODEL_VERSION: series.version,
    }
    return labels | ({series.slice[0]: series.slice[1]} if series.slice else {})
