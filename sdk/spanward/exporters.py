"""Where spans and metrics go, as the standard variables say; a transport is imported only when it is used.

Source: OpenTelemetry specification, "Environment Variable Specification" (exporter selection) and "OTLP Exporter".
"""

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

TRACES: Final = "traces"
METRICS: Final = "metrics"


def exporters(endpoint: str | None, environment: Mapping[str, str] = os.environ) -> Iterator[SpanExporter]:
    """Yield the exporters that `OTEL_TRACES_EXPORTER` names; without it OTLP, over gRPC unless the protocol says otherwise.

    Args:
        endpoint: OTLP endpoint, as `http://localhost:4317`; None leaves it to `OTEL_EXPORTER_OTLP_ENDPOINT`.
        environment: Where the variables are; the exporters themselves read the process's own.

    Raises:
        ValueError: An exporter or a protocol is named that is not there.
    """
    return _exporters(TRACES, endpoint, environment)


def metric_exporters(endpoint: str | None, environment: Mapping[str, str] = os.environ) -> Iterator[MetricExporter]:
    """Yield the exporters that `OTEL_METRICS_EXPORTER` names, likewise.

    Args:
        endpoint: OTLP endpoint, as `http://localhost:4317`; None leaves it to `OTEL_EXPORTER_OTLP_ENDPOINT`.
        environment: Where the variables are; the exporters themselves read the process's own.

    Raises:
        ValueError: An exporter or a protocol is named that is not there.
    """
    return _exporters(METRICS, endpoint, environment)


def _exporters(signal: str, endpoint: str | None, environment: Mapping[str, str]) -> Iterator[Any]:
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    for name in (environment.get(variable) or "otlp").split(","):
        if name.strip() == "otlp":
            yield _otlp(signal, endpoint, environment)
        elif name.strip() != "none":
            yield _named(variable, name.strip(), f"opentelemetry_{signal}_exporter")


def _otlp(signal: str, endpoint: str | None, environment: Mapping[str, str]) -> Any:
    # The first that is set holds.
    variables = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    variable, protocol = next(
        ((name, environment[name]) for name in variables if environment.get(name)), (variables[0], "grpc")
    )
    if protocol == "http/protobuf":
        return _over_http(signal)(endpoint and f"{endpoint.rstrip('/')}/v1/{signal}")
    if protocol != "grpc":
        msg = f"{variable}: must be grpc or http/protobuf, got {protocol!r}"
        raise ValueError(msg)
    # The scheme of an argument wins over OTEL_EXPORTER_OTLP_INSECURE.
    insecure = True if endpoint and endpoint.startswith("http://") else None
    return _over_grpc(signal)(endpoint, insecure=insecure)


def _over_http(signal: str) -> Any:
    if signal == TRACES:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter


def _over_grpc(signal: str) -> Any:
    if signal == TRACES:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter


def _named(variable: str, name: str, group: str) -> Any:
    for found in entry_points(group=group, name=name):
        return found.load()()
    msg = f"{variable}: must name installed exporters, got {name!r}"
    raise ValueError(msg)
