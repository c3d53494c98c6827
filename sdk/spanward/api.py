"""Configure and shut down; nothing happens at import."""

import threading
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from spanward import semconv
from spanward.config import Settings, resolve
from spanward.hashing import Hasher

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
    and `endpoint` then have no effect. Otherwise one is made with a batch processor and the OTLP/gRPC exporter, which read
    the standard `OTEL_*` variables. Called again, the newer key holds and the provider stays.

    Args:
        service_name: Name of the service; default `OTEL_SERVICE_NAME`.
        endpoint: OTLP/gRPC endpoint, as `http://localhost:4317`; default `OTEL_EXPORTER_OTLP_ENDPOINT`.
        hashing_key: 16 to 64 bytes or characters; default `SPANWARD_HASHING_KEY` or `SPANWARD_HASHING_KEY_FILE`.
        key_id: Name of the key in spans; default `SPANWARD_KEY_ID`, else derived from the key.

    Returns:
        The settings in force.

    Raises:
        ValueError: The key is too short or too long, or its file cannot be read.
    """
    settings = resolve(service_name=service_name, endpoint=endpoint, hashing_key=hashing_key, key_id=key_id)
    with _lock:
        _state.hasher = Hasher.of(settings)
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _state.provider = _provider(settings)
            trace.set_tracer_provider(_state.provider)
    return settings


def _provider(settings: Settings) -> TracerProvider:
    named = {semconv.SERVICE_NAME: settings.service_name} if settings.service_name else {}
    provider = TracerProvider(resource=Resource.create(named))
    insecure = settings.endpoint.startswith("http://") if settings.endpoint else None
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.endpoint, insecure=insecure)))
    return provider


def hasher() -> Hasher:
    """Return the hasher in force; before configure() that of the environment's key, or of a random one."""
    found = _state.hasher
    if found is None:
        with _lock:
            found = _state.hasher = _state.hasher or Hasher.of(resolve())
    return found


def shutdown() -> None:
    """Deliver what is waiting and stop the provider that configure() made; a provider of the user's is left alone."""
    with _lock:
        provider, _state.provider, _state.hasher = _state.provider, None, None
    if provider is not None:
        provider.shutdown()
