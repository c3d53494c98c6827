"""What the FastAPI middleware adds to a request, beside OpenTelemetry's own instrumentor and FastAPI's native tracing.

Run it on a quiet machine, from the repository's root:

    PYTHONPATH=tests python -m benchmarks.middleware

Requests go straight into the ASGI application, without a socket, so that nothing but the application and what is around it is
measured. Every case is an application of its own in one process, in turns; spans go to a processor that drops them, metrics are off in
all. What is added is the difference to the same application without any of it. The official instrumentor is measured where
`opentelemetry-instrumentation-fastapi` is installed.
"""

import argparse
import asyncio
import statistics
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from benchmarks.in_turns import measure
from spanward_integrations.fastapi import instrument_fastapi

PLAIN: Final = "no tracing"
SCOPE: Final[dict[str, Any]] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/models/router",
    "raw_path": b"/models/router",
    "query_string": b"",
    "root_path": "",
    "headers": [
        (b"host", b"127.0.0.1:8000"),
        (b"user-agent", b"bench"),
        (b"accept", b"*/*"),
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ],
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8000),
}


def application(*, native: bool = False) -> FastAPI:
    """Return an application with one route.

    Args:
        native: Whether FastAPI traces by itself, as it does from 0.165 on.
    """
    app = FastAPI()
    settings: Any = getattr(app, "_telemetry", None)
    if isinstance(settings, dict):
        settings["tracing"] = native

    async def show(name: str) -> dict[str, str]:
        return {"name": name}

    app.add_api_route("/models/{name}", show)
    return app


def applications(provider: TracerProvider) -> dict[str, FastAPI]:
    """Return what is compared."""
    ours, native = application(), application(native=True)
    instrument_fastapi(ours)
    found = {PLAIN: application(), "Spanward's middleware": ours, "FastAPI's native tracing": native}
    if find_spec("opentelemetry.instrumentation.fastapi"):
        for name, excluded in (
            ("official instrumentor", None),
            ("official, no spans of messages", ["receive", "send"]),
        ):
            app = application()
            module: Any = import_module("opentelemetry.instrumentation.fastapi")
            module.FastAPIInstrumentor.instrument_app(
                app, tracer_provider=provider, meter_provider=NoOpMeterProvider(), exclude_spans=excluded
            )
            found[name] = app
    return found


async def receive() -> dict[str, Any]:
    """Return a request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    """Take a response."""


def asking(app: FastAPI, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Return what sends one request."""

    def ask() -> None:
        loop.run_until_complete(app({**SCOPE, "headers": list(SCOPE["headers"])}, receive, send))

    return ask


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    trace.set_tracer_provider(provider)
    loop = asyncio.new_event_loop()
    cases = {name: asking(app, loop) for name, app in applications(provider).items()}
    times = measure(cases, asked.rounds, asked.calls, asked.seed)
    loop.close()
    least, middle = min(times[PLAIN]), statistics.median(times[PLAIN])
    print(f"us of CPU per request, {asked.rounds} rounds of {asked.calls} requests, seed {asked.seed}\n")
    print(f"{'case':34} {'min':>8} {'median':>8} {'added (min)':>12} {'added (median)':>15}")
    for name, taken in times.items():
        low, median = min(taken), statistics.median(taken)
        print(f"{name:34} {low:8.1f} {median:8.1f} {low - least:12.1f} {median - middle:15.1f}")


if __name__ == "__main__":
    main()
