"""The kinds of telemetry OTLP carries."""

from enum import StrEnum
from typing import TypeAlias

Encoded: TypeAlias = bytes | memoryview
"""An encoded export request: the bytes that came, or where it was written anew."""


class Signal(StrEnum):
    """A kind of telemetry, and the gRPC method that takes it."""

    TRACES = "trace"
    METRICS = "metrics"
    LOGS = "logs"

    @property
    def service(self) -> str:
        """Return the full gRPC service name."""
        return f"opentelemetry.proto.collector.{self.value}.v1.{self.value.capitalize()}Service"
