"""Canaries: unique markers put wherever content can be; none may be in any byte that leaves the process."""

import base64
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import running
from spanward import semconv
from spanward_integrations.leaving import CANARY, forms_of, leaks

SERVICE = Path(__file__).with_name("leaky_service.py")
KEY, PREVIOUS = "c4n4ry-in-the-key-0123456789", "c4n4ry-in-the-key-before-0123"
KNOWN = (b"c4n4ry-streamed", b"c4n4ry-asked", b"c4n4ry-client", b"c4n4ry-nested", b"c4n4ry-key")
"""Inputs and names that the service surely hashes."""


FORMS = forms_of(whole=KNOWN) | {"failing": b"boom"}


def leaks_to(backend: running.Backend) -> list[str]:
    """Return the names of all forms of content that a backend was sent, in whatever letters."""
    requests = (*backend.traces, *backend.metrics, *backend.logs)
    sent = b"".join(request.SerializeToString() for request in requests) + str(backend.headers).encode()
    return leaks(sent, FORMS)


def export_of_the_service(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the service with the real exporter, as a user would: not under pytest, with standard variables only."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "SPANWARD_")) and name != "PYTEST_CURRENT_TEST"
    }
    environment = kept | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "SPANWARD_HASHING_KEY": KEY,
        "SPANWARD_PREVIOUS_HASHING_KEY": PREVIOUS,
    }
    command = [sys.executable, str(SERVICE), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def exported() -> tuple[running.Backend, subprocess.CompletedProcess[str]]:
    """What a real OTLP/gRPC server received from the service, and what the service's own clients got."""
    with running.backend() as (backend, port):
        done = export_of_the_service(port)
    return backend, done


Exported = tuple[running.Backend, subprocess.CompletedProcess[str]]


def test_no_canary_leaves_the_process(exported: Exported) -> None:
    """Inputs, outputs, exceptions, headers, paths, queries, bodies, client names and keys stay where they are."""
    backend, _ = exported

    assert leaks_to(backend) == []
    assert backend.metrics
    assert backend.logs == []


def test_the_search_finds_what_leaks() -> None:
    """Positive control: one text told as a channel, where it leaves as it is, and the search fails."""
    with running.backend() as (backend, port):
        export_of_the_service(port, "--leak")

    assert leaks_to(backend) == ["text"]


@pytest.mark.parametrize("name", FORMS)
def test_the_search_knows_every_form(name: str) -> None:
    """Content in each of the forms would be found in the middle of a span's name and in that of a metric."""
    form = FORMS[name]
    attribute = Span(trace_id=b"before" + form + b"after")
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.append(attribute)
    backend = running.Backend()
    backend.traces.append(request)

    assert name in leaks_to(backend)


def test_base64_is_searched_at_each_place() -> None:
    """Wherever content stands in what is encoded, one of the three forms is in it."""
    forms = [form for name, form in FORMS.items() if name.startswith("base64")]
    rng = random.Random(1)
    for _ in range(100):
        whole = base64.b64encode(rng.randbytes(rng.randrange(9)) + CANARY.encode() + rng.randbytes(rng.randrange(9)))
        assert any(form in whole for form in forms)


def test_no_canary_is_logged(exported: Exported) -> None:
    """What the SDK says on standard error names neither content nor keys, also where hashing failed."""
    assert "c4n4ry" not in exported[1].stderr.lower()


def test_no_path_of_the_machine_leaves(exported: Exported) -> None:
    """Code is named by module and function; the folders it lies in are nobody's business."""
    backend, _ = exported
    sent = b"".join(request.SerializeToString() for request in (*backend.traces, *backend.metrics))

    assert str(SERVICE.parent).encode() not in sent
    assert SERVICE.name.encode() not in sent
    assert b"__main__.predict" in sent


def test_fingerprints_and_both_keys_were_told(exported: Exported) -> None:
    """The search looked at spans that carry all there is to tell of an input and of a caller, of text and of numbers."""
    backend, _ = exported
    told = Counter(
        attribute.key
        for request in backend.traces
        for span in request.resource_spans[0].scope_spans[0].spans
        for attribute in span.attributes
    )

    for name in (semconv.FEATURES_HASH, semconv.FEATURES_FINGERPRINT, semconv.CLIENT_ID, semconv.FEATURES_KEY_ID):
        previous = name.replace("spanward.features.", "spanward.features.previous.").replace(
            ".client.", ".client.previous."
        )
        assert told[name] == told[previous] > 0


def test_the_canaries_were_there(exported: Exported) -> None:
    """The search above means something: the clients got content from each place, and every call made its span."""
    backend, done = exported
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
        "piece",
    ):
        assert f"c4n4ry-{place}" in done.stdout
    spans = Counter(
        span.name
        for request in backend.traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )

    assert spans == {
        "inference router": 6,
        "inference generator": 2,
        "inference summary": 2,
        "inference teller": 4,
        "inference matcher": 1,
        "inference block": 2,
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
