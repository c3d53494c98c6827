"""What the processor says of itself and of every series: OTLP metrics to the backends, and a page for Prometheus."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spanward import semconv
from spanward_processor.exposition import CONTENT_TYPE, exposition
from spanward_processor.forward.delivery import Delivery, RefusedError
from spanward_processor.health import health_routes
from spanward_processor.metrics import Kind, Metric
from spanward_processor.readings import Read
from spanward_processor.signals import Signal

_PATIENCE_MS: Final = 5_000  # for one collection; no stop waits longer for a backend that hangs


class ForwardingExporter(MetricExporter):
    """Hands encoded metrics from the SDK's thread to the event loop's delivery."""

    def __init__(self, delivery: Delivery, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._delivery = delivery
        self._loop = loop

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:  # noqa: ARG002 - the SDK's signature
        """Deliver one collection; see the SDK."""
        payload = encode_metrics(metrics_data).SerializeToString()
        within_s = min(timeout_millis, _PATIENCE_MS) / 1e3  # of the last collection the SDK says its interval
        sending = self._delivery.deliver(Signal.METRICS, payload, within_s=within_s)
        try:
            asyncio.run_coroutine_threadsafe(sending, self._loop).result(within_s + 1)
        except (RefusedError, TimeoutError, CancelledError):  # cancelled: the processor stops before a backend answers
            return MetricExportResult.FAILURE
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Delivery is closed by its owner."""


class SelfTelemetry:
    """A meter provider of our own, never the global one: exports at intervals, and answers whoever asks.

    Args:
        delivery: Where metrics go.
        readings: How each metric is read.
        interval_s: Seconds between exports.
        version: Version of the processor.
    """

    def __init__(self, delivery: Delivery, readings: Mapping[Metric, Read], *, interval_s: float, version: str) -> None:
        exporter = ForwardingExporter(delivery, asyncio.get_running_loop())
        periodic = PeriodicExportingMetricReader(exporter, export_interval_millis=interval_s * 1e3)
        self._asked = InMemoryMetricReader()
        resource = Resource({semconv.SERVICE_NAME: "spanward-processor", semconv.SERVICE_VERSION: version})
        # in this order, since at the stop the second one may wait for a backend until no time is left
        self._provider = MeterProvider([self._asked, periodic], resource, shutdown_on_exit=False)
        meter = self._provider.get_meter("spanward.processor", version)
        for metric, read in readings.items():
            create = meter.create_observable_counter if metric.kind is Kind.COUNTER else meter.create_observable_gauge
            create(metric.name, [_observing(read)], metric.unit, metric.about)

    def exposition(self) -> str:
        """Return all metrics as Prometheus scrapes them; blocks for milliseconds."""
        return exposition(self._asked.get_metrics_data())

    async def shut_down(self) -> None:
        """Deliver the last collection and stop."""
        await asyncio.to_thread(self._provider.shutdown, _PATIENCE_MS)


def _observing(read: Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value, dict(labels)) for value, labels in read()]


def scraped_app(text: Callable[[], str], ready: Callable[[], bool]) -> Starlette:
    """Return the application that answers Prometheus at `/metrics`, and orchestrators as the live page does.

    Args:
        text: Returns the metrics; called in a thread.
        ready: Whether the processor takes spans.
    """

    async def answer(request: Request) -> Response:
        del request
        return Response(await asyncio.to_thread(text), headers={"Content-Type": CONTENT_TYPE})

    return Starlette(routes=[Route("/metrics", answer, methods=["GET"]), *health_routes(ready)])
