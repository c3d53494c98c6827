"""The same call under the decorators of OpenInference, Traceloop and Logfire, each as its own documentation has it."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.types import AttributeValue

Function = Callable[[object], Any]


def cases(
    provider: TracerProvider, function: Function, attributes: Mapping[str, AttributeValue], value: object
) -> dict[str, Callable[[], object]]:
    """Return a call for each peer that is installed.

    Args:
        provider: Makes the spans.
        function: What is decorated.
        attributes: What each span gets beside what the peer itself adds.
        value: The argument of the calls.
    """

    def described(text: object) -> Any:
        trace.get_current_span().set_attributes(attributes)
        return function(text)

    return {name: lambda peer=peer: peer(value) for name, peer in _peers(provider, described)}


def _peers(provider: TracerProvider, described: Function) -> Iterator[tuple[str, Function]]:
    if find_spec("openinference"):
        instrumentation = import_module("openinference.instrumentation")
        tracer: Any = instrumentation.OITracer(provider.get_tracer("bench"), instrumentation.TraceConfig())
        yield "OpenInference @tracer.chain", tracer.chain(described)
    if find_spec("logfire"):
        logfire: Any = import_module("logfire")
        instance = logfire.configure(
            local=True, send_to_logfire=False, console=False, metrics=False, inspect_arguments=False
        )
        yield "Logfire @instrument", instance.instrument("classify")(described)
    if find_spec("traceloop"):
        yield "Traceloop @task", _traceloop(described)


def _traceloop(described: Function) -> Function:
    sdk: Any = import_module("traceloop.sdk")
    exporting: Any = import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")

    class Dropping(exporting.InMemorySpanExporter):
        def export(self, spans: Any) -> Any:
            return None

    sdk.Traceloop.init(
        app_name="bench", exporter=Dropping(), disable_batch=True, instruments=set(), telemetry_enabled=False
    )
    return import_module("traceloop.sdk.decorators").task(name="classify")(described)
