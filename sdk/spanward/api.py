"""Configure and shut down; nothing happens at import."""

import logging
import os
import threading
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from spanward import semconv
from spanward.config import Settings, resolve
from spanward.exporters import exporters
from spanward.hashing import Hasher

_log = logging.getLogger("spanward")
_lock: Final = threading.Lock()


class _State:
    """What configure() made: the hasher in force, and the provider if it was ours to make."""

    __slots__ = ("hasher", "provider")

    def __init__(self) -> None:
        self.hasher: Hasher | None = None
        self.provider: TracerProvider | None = None


_state: Final = _State()


def configure(
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    hashing_key: bytes | str | None = None,
    key_id: str | None = None,
) -> Settings:
    """Set the hashing key and, where nobody has yet, the global TracerProvider.

    A TracerProvider that is already set is used as it is: it is not replaced and gets no second exporter, so `service_name`
    and `endpoint` then have no effect, and a warning says so. Otherwise one is made with a batch processor and an OTLP
    exporter, all of which read the standard `OTEL_*` variables; where `OTEL_SDK_DISABLED` is true, none is made. Called again,
    the provider stays, and a newer key holds from then on; without one the key in force stays too.

    Args:
        service_name: Name of the service; default `OTEL_SERVICE_NAME`.
        endpoint: OTLP endpoint, as `http://localhost:4317`; default `OTEL_EXPORTER_OTLP_ENDPOINT`.
        hashing_key: 16 to 64 bytes or characters; default `SPANWARD_HASHING_KEY` or `SPANWARD_HASHING_KEY_FILE`.
        key_id: Name of the key in spans; default `SPANWARD_KEY_ID`, else derived from the key.

    Returns:
        What was asked for, by arguments and environment.

    Raises:
        TypeError: The key is neither bytes nor text.
        ValueError: The key is too short or too long, its file cannot be read, or a variable names an exporter or protocol
            that is not there.
    """
    settings = resolve(service_name=service_name, endpoint=endpoint, hashing_key=hashing_key, key_id=key_id)
    with _lock:
        if settings.hashing_key is not None or _state.hasher is None:
            _state.hasher = Hasher.of(settings)
        if os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
            return settings
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _state.provider = _provider(settings)
            trace.set_tracer_provider(_state.provider)
        elif service_name is not None or endpoint is not None:
            _log.warning("a TracerProvider is set already and stays: service_name and endpoint have no effect")
    return settings


def _provider(settings: Settings) -> TracerProvider:
    chosen = list(exporters(settings.endpoint))
    named = {semconv.SERVICE_NAME: settings.service_name} if settings.service_name else {}
    provider = TracerProvider(resource=Resource.create(named))
    for exporter in chosen:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def hasher() -> Hasher:
    """Return the hasher in force; before configure() that of the environment's key, or of a random one."""
    found = _state.hasher
    if found is None:
        with _lock:
            found = _state.hasher = _state.hasher or _unconfigured()
    return found


def _unconfigured() -> Hasher:
    try:
        return Hasher.of(resolve())
    except (
        ValueError
    ) as error:  # configure() would have raised it; here a model is being asked, and it must be answered
        _log.warning("%s", error)
        return Hasher.of(Settings())


def shutdown() -> None:
    """Deliver what is waiting and stop the provider that configure() made; a provider of the user's is left alone.

    OpenTelemetry lets a process set its provider once, so after this no more spans leave it. The hashing key stays in force.
    """
    with _lock:
        provider, _state.provider = _state.provider, None
    if provider is not None:
        provider.shutdown()
