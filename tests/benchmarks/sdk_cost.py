"""What one observed call costs beside a plain span of the OpenTelemetry SDK, and beside the decorators of others.

Run it on a quiet machine, from the repository's root:

    PYTHONPATH=tests python -m benchmarks.sdk_cost

Every case runs in one process, in blocks that are shuffled anew each round, and is measured in CPU time of the calling thread,
so that a slow moment of the machine hits all cases alike. Spans that are recorded go to a processor that drops them, metrics
to a reader that keeps them. Each x compares with the plain span that carries the same number of attributes.
OpenInference, Traceloop and Logfire are measured where they are installed; their spans get the same attributes by hand, and
none of them hashes.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider as AnyMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.util.types import AttributeValue

import spanward
from benchmarks.in_turns import measure
from spanward import semconv

TEXT: Final = " ".join(f"word{number:04d}" for number in range(114))[:1024]
BYTES: Final = TEXT.encode()
VECTOR: Final = [number / 768 for number in range(768)]
PLAIN: Final = "plain span, 12 attributes"
METERED: Final = "decorated, 1 KB bytes, metrics"

Function = Callable[[object], Any]

ATTRIBUTES: Final[dict[str, AttributeValue]] = {
    semconv.MODEL_NAME: "router",
    semconv.MODEL_VERSION: "1.0",
    semconv.MODEL_FRAMEWORK: "scikit-learn",
    semconv.MODEL_TASK: "text-classification",
    semconv.CODE_FUNCTION_NAME: "app.classify",
    semconv.CHANNEL: "web",
    semconv.FEATURES_COUNT: 1024,
    semconv.FEATURES_HASH: "3d42c11ad7eb6fd8ac899b919d438835",
    semconv.FEATURES_KEY_ID: "d68bb81f",
    semconv.DECISION: "billing",
    semconv.SCORE: 0.75,
    semconv.SCORE_KIND: "probability",
}

MEASURED: Final = {
    semconv.GEN_AI_OPERATION_NAME: "inference",
    semconv.GEN_AI_REQUEST_MODEL: "router",
    semconv.MODEL_VERSION: "1.0",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured.

    Args:
        call: Does it once.
        metrics: Which metrics are on meanwhile.
    """

    call: Callable[[], object]
    metrics: str = "off"


def classify(text: object) -> dict[str, object]:
    """Answer as a model would, at no cost."""
    return {"label": "billing", "score": 0.75}


def decorated(
    provider: TracerProvider, meters: AnyMeterProvider | None = None
) -> Callable[[object], dict[str, object]]:
    """Return the function under the decorator, with as many attributes as the plain span has."""
    decorate = spanward.inference(
        "router",
        version="1.0",
        framework="scikit-learn",
        task="text-classification",
        channel="web",
        tracer_provider=provider,
        meter_provider=meters,
    )
    return decorate(classify)


def plain(provider: TracerProvider) -> Callable[[object], dict[str, object]]:
    """Return the function inside a span made by hand, all attributes given at once."""
    tracer = provider.get_tracer("bench")

    def traced(text: object) -> dict[str, object]:
        with tracer.start_as_current_span("inference router", attributes=ATTRIBUTES):
            return classify(text)

    return traced


def plain_with_record(provider: TracerProvider, meters: AnyMeterProvider) -> Callable[[object], dict[str, object]]:
    """Return the same with one record of a histogram by hand, of the attributes ours has: what metrics cost by themselves."""
    traced = plain(provider)
    duration = meters.get_meter("bench").create_histogram("duration", unit="s")

    def recorded(text: object) -> dict[str, object]:
        since = time.perf_counter()
        result = traced(text)
        duration.record(time.perf_counter() - since, MEASURED)
        return result

    return recorded


def in_block(provider: TracerProvider) -> Callable[[], None]:
    """Return a `with` block whose observation is made once, as a module would."""
    router = spanward.inference("router", version="1.0", task="text-classification", tracer_provider=provider)

    def ask() -> None:
        with router as call:
            call.set(input=BYTES, result=classify(BYTES))

    return ask


def stream(provider: TracerProvider) -> Callable[[], None]:
    """Return a generator function of 100 items under the decorator, and its consumer."""

    def words() -> Iterator[str]:
        yield from ["word"] * 100

    observed = spanward.inference("writer", tracer_provider=provider)(words)

    def consume() -> None:
        for _ in observed():
            pass

    return consume


def cases() -> dict[str, Case]:
    """Return what is compared."""
    recording, dropping = TracerProvider(shutdown_on_exit=False), TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    recording.add_span_processor(SpanProcessor())
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    observed, unseen, metered = decorated(recording), decorated(dropping), decorated(recording, meters)
    unseen_metered, traced, untraced = decorated(dropping, meters), plain(recording), plain(dropping)
    recorded = plain_with_record(recording, meters)
    return {
        "bare function": Case(lambda: classify(BYTES)),
        PLAIN: Case(lambda: traced(BYTES)),
        "plain span and a plain record": Case(lambda: recorded(BYTES)),
        "plain span, sampled out": Case(lambda: untraced(BYTES)),
        "decorated, number": Case(lambda: observed(7)),
        "decorated, 1 KB bytes": Case(lambda: observed(BYTES)),
        METERED: Case(lambda: metered(BYTES), "duration"),
        "decorated, sampled out": Case(lambda: unseen(BYTES)),
        "decorated, sampled out, metrics": Case(lambda: unseen_metered(BYTES), "duration"),
        "with block, 1 KB bytes": Case(in_block(recording)),
        "decorated, 1 KB text with fingerprint": Case(lambda: observed(TEXT)),
        "decorated, list of 768 floats": Case(lambda: observed(VECTOR)),
        "stream of 100 items": Case(stream(recording)),
        **peer_cases(recording),
    }


def peer_cases(provider: TracerProvider) -> dict[str, Case]:
    """Return a call for each peer that is installed, as its own documentation has it, with the same attributes by hand."""

    def described(text: object) -> dict[str, object]:
        trace.get_current_span().set_attributes(ATTRIBUTES)
        return classify(text)

    return {name: Case(functools.partial(peer, BYTES)) for name, peer in _peers(provider, described)}


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
    sdk.Traceloop.init(app_name="bench", processor=SpanProcessor(), instruments=set(), telemetry_enabled=False)
    decorators: Any = import_module("traceloop.sdk.decorators")
    decorated: Function = decorators.task(name="classify")(described)
    return decorated


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    asked: Any = parser.parse_args()
    measured = cases()
    spanward.configure(hashing_key=b"a key of the benchmark's", metrics="off")
    calls = {name: case.call for name, case in measured.items()}
    times = measure(
        calls, asked.rounds, asked.calls, asked.seed, lambda name: spanward.configure(metrics=measured[name].metrics)
    )
    least, middle = min(times[PLAIN]), statistics.median(times[PLAIN])
    print(
        f"us of CPU per call, {asked.rounds} rounds of {asked.calls} calls, seed {asked.seed}; x is the plain span's\n"
    )
    print(f"{'case':40} {'min':>8} {'median':>8} {'max':>8} {'x (min)':>9} {'x (median)':>11}")
    for name, taken in times.items():
        low, median = min(taken), statistics.median(taken)
        print(f"{name:40} {low:8.1f} {median:8.1f} {max(taken):8.1f} {low / least:9.2f} {median / middle:11.2f}")


if __name__ == "__main__":
    main()
