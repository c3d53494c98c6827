"""What one decorated call costs beside a plain span of the OpenTelemetry SDK.

Run it on a quiet machine, from the repository's root:

    python tests/benchmarks/sdk_cost.py

Every case runs in one process, in blocks that are shuffled anew each round, and is measured in CPU time of the calling thread,
so that a slow moment of the machine hits all cases alike. All spans are recorded and handed to a processor that drops them.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.util.types import AttributeValue

import spanward
from spanward import semconv

TEXT: Final = " ".join(f"word{number:04d}" for number in range(114))[:1024]
BYTES: Final = TEXT.encode()
VECTOR: Final = [number / 768 for number in range(768)]
PLAIN: Final = "plain span, 12 attributes"

ATTRIBUTES: Final[dict[str, AttributeValue]] = {
    semconv.MODEL_NAME: "router",
    semconv.MODEL_VERSION: "1.0",
    semconv.MODEL_FRAMEWORK: "scikit-learn",
    semconv.MODEL_TASK: "text-classification",
    semconv.CODE_FUNCTION_NAME: "app.classify",
    semconv.CHANNEL: "web",
    semconv.FEATURES_COUNT: 1024,
    semconv.FEATURES_HASH: "18749d730edd1832596937fee37eaf2f",
    semconv.FEATURES_KEY_ID: "d68bb81f",
    semconv.DECISION: "billing",
    semconv.SCORE: 0.75,
    semconv.SCORE_KIND: "probability",
}


def classify(text: object) -> dict[str, object]:
    """Answer as a model would, at no cost."""
    return {"label": "billing", "score": 0.75}


def decorated() -> Callable[[object], object]:
    """Return the function under the decorator, with as many constants as the plain span has."""
    decorate = spanward.inference(
        model="router", version="1.0", framework="scikit-learn", task="text-classification", channel="web"
    )
    return decorate(classify)


def plain() -> Callable[[object], object]:
    """Return the function inside a span made by hand, all attributes given at once."""
    tracer = trace.get_tracer("bench")

    def traced(text: object) -> dict[str, object]:
        with tracer.start_as_current_span("inference router", attributes=ATTRIBUTES):
            return classify(text)

    return traced


def cases() -> dict[str, Callable[[], object]]:
    """Return what is compared."""
    observed, traced = decorated(), plain()
    return {
        "bare function": lambda: classify(TEXT),
        PLAIN: lambda: traced(TEXT),
        "decorated, number": lambda: observed(7),
        "decorated, 1 KB bytes": lambda: observed(BYTES),
        "decorated, 1 KB text with fingerprint": lambda: observed(TEXT),
        "decorated, list of 768 floats": lambda: observed(VECTOR),
    }


def measure(rounds: int, calls: int, seed: int) -> dict[str, list[float]]:
    """Return microseconds of CPU per call, one number a round, for each case.

    Args:
        rounds: How often each case has its turn.
        calls: Calls in one turn.
        seed: Seed of the order.
    """
    measured = cases()
    order, times = list(measured), {name: list[float]() for name in measured}
    rng = random.Random(seed)
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            call = measured[name]
            start = time.thread_time_ns()
            for _ in range(calls):
                call()
            times[name].append((time.thread_time_ns() - start) / calls / 1000)
    return times


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    trace.set_tracer_provider(provider)
    spanward.configure(hashing_key=b"a key of the benchmark's")
    times = measure(asked.rounds, asked.calls, asked.seed)
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
