"""What the FastAPI middleware adds to a request, beside OpenTelemetry's own instrumentor and FastAPI's native tracing.

Run it on a quiet machine, from the repository's root:

    PYTHONPATH=tests python -m benchmarks.middleware

Requests go straight into the ASGI application, without a socket, so that nothing but the application and what is around it is
measured: the CPU time of the whole process, since endpoints that are no coroutines run in a thread. Every case is an application of its
own in one process, in turns; spans go to a processor that drops them, metrics are off in all. What is added is the difference to the same
application without any of it. The official instrumentor is measured where `opentelemetry-instrumentation-fastapi` is installed.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from fastapi import FastAPI
from opentelemetry import propagate, trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from benchmarks.in_turns import measure
from spanward import semconv
from spanward_integrations.asgi import App, Receive, Send
from spanward_integrations.fastapi import instrument_fastapi
from spanward_integrations.origin import Scope

PLAIN: Final = "no tracing"
ENDPOINTS: Final = ("coroutine", "thread")
"""Where an endpoint runs; the first part of its path."""
SCOPE: Final[dict[str, Any]] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
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
ATTRIBUTES: Final[dict[str, AttributeValue]] = {
    semconv.HTTP_REQUEST_METHOD: "GET",
    semconv.URL_SCHEME: "http",
    semconv.NETWORK_PROTOCOL_VERSION: "1.1",
    semconv.SERVER_ADDRESS: "127.0.0.1",
    semconv.SERVER_PORT: 8000,
    semconv.HTTP_RESPONSE_STATUS_CODE: 200,
    semconv.HTTP_ROUTE: "/coroutine/{name}",
}


def application(*, native: bool = False) -> FastAPI:
    """Return an application with an endpoint that is a coroutine, and one that is none.

    Args:
        native: Whether FastAPI traces by itself, as it does from 0.165 on.
    """
    app = FastAPI()
    settings: Any = getattr(app, "_telemetry", None)
    if isinstance(settings, dict):
        settings["tracing"] = native

    async def show(name: str) -> dict[str, str]:
        return {"name": name}

    def show_in_thread(name: str) -> dict[str, str]:
        return {"name": name}

    app.add_api_route("/coroutine/{name}", show)
    app.add_api_route("/thread/{name}", show_in_thread)
    return app


def applications(provider: TracerProvider) -> dict[str, App]:
    """Return what is compared."""
    ours, native = application(), application(native=True)
    instrument_fastapi(ours)
    found: dict[str, App] = {
        PLAIN: application(),
        "a span by hand": by_hand(application(), provider.get_tracer("bench")),
        "Spanward's middleware": ours,
        "FastAPI's native tracing": native,
    }
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


def by_hand(app: App, tracer: Tracer) -> App:
    """Return an application in a span with the same parent, name and attributes, and nothing besides: what OpenTelemetry itself costs."""

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        with tracer.start_as_current_span("GET", propagate.extract(headers), SpanKind.SERVER) as span:
            await app(scope, receive, send)
            span.update_name("GET /coroutine/{name}")
            span.set_attributes(ATTRIBUTES)

    return traced


async def receive() -> dict[str, Any]:
    """Return a request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    """Take a response."""


def asking(app: App, endpoint: str, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Return what sends one request."""
    path = f"/{endpoint}/router"
    scope = {**SCOPE, "path": path, "raw_path": path.encode()}

    def ask() -> None:
        loop.run_until_complete(app({**scope, "headers": list(scope["headers"])}, receive, send))

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
    apps = applications(provider)
    cases = {f"{end} {name}": asking(app, end, loop) for end in ENDPOINTS for name, app in apps.items()}
    times = measure(cases, asked.rounds, asked.calls, asked.seed, clock=time.process_time_ns)
    loop.close()
    print(f"us of CPU per request, {asked.rounds} rounds of {asked.calls} requests, seed {asked.seed}")
    for end in ENDPOINTS:
        plain = times[f"{end} {PLAIN}"]
        print(f"\n{'endpoint in a ' + end:34} {'min':>8} {'median':>8} {'added (min)':>12} {'added (median)':>15}")
        for name in apps:
            taken = times[f"{end} {name}"]
            low, middle = min(taken), statistics.median(taken)
            added = low - min(plain), middle - statistics.median(plain)
            print(f"{name:34} {low:8.1f} {middle:8.1f} {added[0]:12.1f} {added[1]:15.1f}")


if __name__ == "__main__":
    main()
