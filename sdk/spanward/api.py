"""Configure and shut down; nothing happens at import."""

import logging
import os
import threading
from collections.abc import Mapping
from typing import Final

from opentelemetry import metrics as otel_metrics
from opentelemetry import trace
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from spanward import semconv
from spanward.config import OFF, SPANWARD_METRICS, Settings, resolve
from spanward.exporters import exporters, metric_exporters
from spanward.hashing import Hasher
from spanward.keys import KeySource
from spanward.process import measure_process

_log = logging.getLogger("spanward")
_lock: Final = threading.Lock()


class _State:
    """What configure() made: the hasher and the metrics in force, and the providers where they were ours to make.

    Beside it what the environment says, once it was asked without configure().
    """

    __slots__ = ("environment", "hasher", "meters", "metrics", "provider")

    def __init__(self) -> None:
        self.environment: Settings | None = None
        self.hasher: Hasher | None = None
        self.metrics: str | None = None
        self.meters: MeterProvider | None = None
        self.provider: TracerProvider | None = None


_state: Final = _State()


def configure(
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    hashing_key: KeySource | None = None,
    key_id: str | None = None,
    hashing_algorithm: str | None = None,
    previous_hashing_key: KeySource | None = None,
    previous_key_id: str | None = None,
    metrics: str | None = None,
    process_metrics: bool = False,
) -> Settings:
    """Set the hashing key and, where nobody has yet, the global TracerProvider and MeterProvider.

    A TracerProvider that is already set is used as it is: it is not replaced and gets no second exporter, so `service_name`
    and `endpoint` then have no effect, and a warning says so. Otherwise one is made with a batch processor and an OTLP
    exporter, all of which read the standard `OTEL_*` variables; where `OTEL_SDK_DISABLED` is true, none is made. Called again,
    the provider stays, and a newer key holds from then on; without one the key in force stays too.

    Args:
        service_name: Name of the service; default `OTEL_SERVICE_NAME`.
        endpoint: OTLP endpoint, as `http://localhost:4317`; default `OTEL_EXPORTER_OTLP_ENDPOINT`.
        hashing_key: 16 to 64 bytes or characters, or a function that fetches them; default `SPANWARD_HASHING_KEY` or
            `SPANWARD_HASHING_KEY_FILE`.
        key_id: Name of the key in spans; default `SPANWARD_KEY_ID`, else derived from the key.
        hashing_algorithm: `blake2b`, the default, or `hmac-sha256`.
        previous_hashing_key: The key before, while processes change over; spans then carry hashes under both.
        previous_key_id: Its name in spans; default `SPANWARD_PREVIOUS_KEY_ID`, else derived from the key.
        metrics: `off`, `duration` of calls, or `all`, which adds token counts; default `SPANWARD_METRICS`, else `duration`.
        process_metrics: Whether CPU and memory of the process are reported too; needs the extra `runtime`.

    Returns:
        What was asked for, by arguments and environment.

    Raises:
        RuntimeError: Process metrics are asked for, and what they need is not installed.
        TypeError: The key is neither bytes nor text.
        ValueError: The key is too short or too long, its file cannot be read, the endpoint has no scheme, or a variable names
            metrics, an exporter or a protocol that are not there.
    """
    settings = resolve(
        service_name=service_name,
        endpoint=endpoint,
        hashing_key=hashing_key,
        key_id=key_id,
        hashing_algorithm=hashing_algorithm,
        previous_hashing_key=previous_hashing_key,
        previous_key_id=previous_key_id,
        metrics=metrics,
    )
    with _lock:
        if settings.hashing_key is not None or _state.hasher is None:
            _state.hasher = Hasher.of(settings)
        if metrics is not None or _state.metrics is None:
            _state.metrics = settings.metrics
        if os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
            return settings
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _state.provider = _provider(settings)
            trace.set_tracer_provider(_state.provider)
            if settings.metrics != OFF and _are_meters_unset():
                _state.meters = _meter_provider(settings)
                otel_metrics.set_meter_provider(_state.meters)
        elif service_name is not None or endpoint is not None:
            _log.warning("a TracerProvider is set already and stays: service_name and endpoint have no effect")
    if process_metrics:
        measure_process()
    return settings


def _provider(settings: Settings) -> TracerProvider:
    chosen = list(exporters(settings.endpoint))
    named = {semconv.SERVICE_NAME: settings.service_name} if settings.service_name else {}
    provider = TracerProvider(resource=Resource.create(named))
    for exporter in chosen:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _are_meters_unset() -> bool:
    # OpenTelemetry exports the class that stands in for a missing TracerProvider, and not this one.
    return type(otel_metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider"


def _meter_provider(settings: Settings) -> MeterProvider:
    readers = [PeriodicExportingMetricReader(exporter) for exporter in metric_exporters(settings.endpoint)]
    named = {semconv.SERVICE_NAME: settings.service_name} if settings.service_name else {}
    return MeterProvider(readers, Resource.create(named))


def metrics_mode() -> str:
    """Return which metrics are recorded; before configure() what the environment says."""
    found = _state.metrics
    if found is None:
        with _lock:
            found = _state.metrics = _state.metrics or _settings_of_environment().metrics
    return found


def hasher() -> Hasher:
    """Return the hasher in force; before configure() that of the environment's key, or of a random one."""
    found = _state.hasher
    if found is None:
        with _lock:
            found = _state.hasher = _state.hasher or Hasher.of(_settings_of_environment())
    return found


def _settings_of_environment() -> Settings:
    """Return what the environment says; a part of it that is wrong is told once, and the rest of it holds."""
    if _state.environment is None:
        _state.environment = _readable(os.environ)
    return _state.environment


def _readable(environment: Mapping[str, str]) -> Settings:
    # configure() would have raised; here a model is being asked, and it must be answered.
    of_metrics = {name: value for name, value in environment.items() if name == SPANWARD_METRICS}
    of_keys = {name: value for name, value in environment.items() if name != SPANWARD_METRICS}
    told: set[str] = set()
    for part in (environment, of_keys, of_metrics):
        try:
            return resolve(environment=part)
        except ValueError as error:
            if str(error) not in told:
                told.add(str(error))
                _log.warning("%s", error)
    return Settings()


def shutdown() -> None:
    """Deliver what is waiting and stop the providers that configure() made; a provider of the user's is left alone.

    OpenTelemetry lets a process set its provider once, so after this no more spans leave it. The hashing key stays in force.
    """
    with _lock:
        provider, _state.provider = _state.provider, None
        meters, _state.meters = _state.meters, None
    if provider is not None:
        provider.shutdown()
    if meters is not None:
        meters.shutdown()
