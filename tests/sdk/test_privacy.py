"""Canaries: unique markers put wherever content can be; none may be in any byte that leaves the process."""

import base64
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import running

SERVICE = Path(__file__).with_name("leaky_service.py")
KEY = "c4n4ry-in-the-key-0123456789"


def export_of_the_service(port: int) -> subprocess.CompletedProcess[str]:
    """Run the service with the real exporter, as a user would: not under pytest, with standard variables only."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "SPANWARD_")) and name != "PYTEST_CURRENT_TEST"
    }
    environment = kept | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "SPANWARD_HASHING_KEY": KEY}
    return subprocess.run([sys.executable, SERVICE], env=environment, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def exported() -> tuple[running.Backend, str]:
    """What a real OTLP/gRPC server received from the service, and what the service's own clients got."""
    with running.backend() as (backend, port):
        done = export_of_the_service(port)
    return backend, done.stdout


def test_no_canary_leaves_the_process(exported: tuple[running.Backend, str]) -> None:
    """Inputs, outputs, exceptions, headers, paths, queries, bodies, client names and the key stay where they are."""
    backend, _ = exported
    requests = (*backend.traces, *backend.metrics)
    sent = b"".join(request.SerializeToString() for request in requests) + str(backend.headers).encode()

    for form in (b"c4n4ry", b"boom", base64.b64encode(b"c4n4ry"), b"c4n4ry".hex().encode()):
        assert form not in sent.lower()
    assert backend.metrics
    assert backend.logs == []


def test_the_canaries_were_there(exported: tuple[running.Backend, str]) -> None:
    """The search above means something: the clients got content from each place, and every call made its span."""
    backend, answered = exported
    for place in (
        "output",
        "exception",
        "input",
        "path",
        "query",
        "header",
        "generated",
        "json",
        "no-number",
        "detail",
    ):
        assert f"c4n4ry-{place}" in answered
    spans = Counter(
        span.name
        for request in backend.traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )

    assert spans == {
        "inference router": 5,
        "inference generator": 2,
        "inference summary": 1,
        "POST /predict/{name}": 2,
        "POST /generate/{name}": 2,
        "GET /unhandled/{name}": 1,
        "GET /refused/{name}": 1,
        "GET /stream/{name}": 1,
        "GET /stream-in-loop/{name}": 1,
        "GET /tenants/{who}/inner/{name}": 1,
        "GET": 1,
        "HTTP /refused/{name}": 1,
    }
