"""Where spans go, as the standard variables say; a transport is imported only when it is used.

Source: OpenTelemetry specification, "Environment Variable Specification" (exporter selection) and "OTLP Exporter".
"""

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Final, cast

from opentelemetry.sdk.trace.export import SpanExporter

OTEL_TRACES_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")  # the first that is set holds


def exporters(endpoint: str | None, environment: Mapping[str, str] = os.environ) -> Iterator[SpanExporter]:
    """Yield the exporters that `OTEL_TRACES_EXPORTER` names; without it OTLP, over gRPC unless the protocol says otherwise.

    Args:
        endpoint: OTLP endpoint, as `http://localhost:4317`; None leaves it to `OTEL_EXPORTER_OTLP_ENDPOINT`.
        environment: Where the variables are; the exporters themselves read the process's own.

    Raises:
        ValueError: An exporter or a protocol is named that is not there.
    """
    for name in (environment.get(OTEL_TRACES_EXPORTER) or "otlp").split(","):
        if name.strip() == "otlp":
            yield _otlp(endpoint, environment)
        elif name.strip() != "none":
            yield _named(name.strip())


def _otlp(endpoint: str | None, environment: Mapping[str, str]) -> SpanExporter:
    variable, protocol = next(
        ((name, environment[name]) for name in PROTOCOLS if environment.get(name)), (PROTOCOLS[0], "grpc")
    )
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as over_http

        return over_http.OTLPSpanExporter(endpoint and f"{endpoint.rstrip('/')}/v1/traces")
    if protocol != "grpc":
        msg = f"{variable}: must be grpc or http/protobuf, got {protocol!r}"
        raise ValueError(msg)
    from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as over_grpc

    # The scheme of an argument wins over OTEL_EXPORTER_OTLP_INSECURE; one without a scheme leaves it to the variable.
    insecure = True if endpoint and endpoint.startswith("http://") else None
    return over_grpc.OTLPSpanExporter(endpoint, insecure=insecure)


def _named(name: str) -> SpanExporter:
    for found in entry_points(group="opentelemetry_traces_exporter", name=name):
        return cast("SpanExporter", found.load()())
    msg = f"{OTEL_TRACES_EXPORTER}: must name installed exporters, got {name!r}"
    raise ValueError(msg)
