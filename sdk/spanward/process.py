"""CPU time and memory of the process as OTLP metrics, by OpenTelemetry's own instrumentation for them."""

from importlib import import_module
from typing import Any, Final

from opentelemetry.metrics import MeterProvider

_MEASURED: Final = {
    "process.cpu.time": ["user", "system"],
    "process.cpu.utilization": ["user", "system"],
    "process.memory.usage": None,
    "process.memory.virtual": None,
    "process.thread.count": None,
}


def measure_process(provider: MeterProvider | None = None) -> None:
    """Report CPU and memory of this process from now on; asking again changes nothing.

    Args:
        provider: Takes the metrics; default the global one.

    Raises:
        RuntimeError: The instrumentation is not installed.
    """
    try:
        module: Any = import_module("opentelemetry.instrumentation.system_metrics")
    except ModuleNotFoundError as error:
        raise RuntimeError("process_metrics: needs another package: pip install 'spanward[runtime]'") from error
    instrumentor = module.SystemMetricsInstrumentor(config=_MEASURED)
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(meter_provider=provider)
