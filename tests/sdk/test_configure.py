"""configure() and shutdown(): whose provider is used, which key holds."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import http_servers
import running
from spanward.config import Settings, resolve
from spanward.exporters import exporters

KEY = "0123456789abcdef"


def run(program: str, **environment: str) -> str:
    """Run a program in a fresh process, since the global provider can be set once only; return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "SPANWARD_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=kept | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_existing_provider_is_used_and_never_replaced() -> None:
    """A user's TracerProvider stays, and gets no exporter of ours."""
    out = run(
        "import spanward\n"
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "mine = TracerProvider(); trace.set_tracer_provider(mine)\n"
        "spanward.configure(hashing_key='0123456789abcdef')\n"
        "assert trace.get_tracer_provider() is mine\n"
        "assert mine._active_span_processor._span_processors == ()\n"
        "spanward.shutdown()\n"
        "mine.get_tracer('t').start_span('still works').end(); print('ok')\n"
    )

    assert out == "ok\n"


def test_arguments_that_an_existing_provider_makes_void_are_told() -> None:
    """Who names a service or an endpoint beside a provider of their own learns that it has no effect."""
    out = run(
        "import spanward\n"
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "trace.set_tracer_provider(TracerProvider())\n"
        "spanward.configure(endpoint='http://nowhere', hashing_key='0123456789abcdef')\n"
    )

    assert out == "a TracerProvider is set already and stays: service_name and endpoint have no effect\n"


def test_without_a_provider_one_is_made_from_the_standard_variables() -> None:
    """The service name and resource of `OTEL_*` are honoured; arguments win over them."""
    program = (
        "import spanward\n"
        "from opentelemetry import trace\n"
        "spanward.configure({arguments})\n"
        "attributes = trace.get_tracer_provider().resource.attributes\n"
        "print(attributes['service.name'], attributes['team'])\n"
        "spanward.shutdown()\n"
    )
    environment = {
        "OTEL_SERVICE_NAME": "from-env",
        "OTEL_RESOURCE_ATTRIBUTES": "team=ml",
        "SPANWARD_HASHING_KEY": KEY,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }

    assert run(program.format(arguments=""), **environment) == "from-env ml\n"
    assert run(program.format(arguments="service_name='mine'"), **environment) == "mine ml\n"


def test_nothing_happens_at_import() -> None:
    """Importing the package sets no provider and starts no thread."""
    out = run(
        "import threading, spanward\n"
        "from opentelemetry import trace\n"
        "print(type(trace.get_tracer_provider()).__name__, threading.active_count())\n"
    )

    assert out == "ProxyTracerProvider 1\n"


def test_without_a_key_there_is_one_warning() -> None:
    """A random key of the process is used, and said once."""
    out = run(
        "import logging; logging.basicConfig()\n"
        "import spanward\n"
        "from spanward.testing import capture_spans\n"
        "with capture_spans():\n"
        "    predict = spanward.inference(model='m')(lambda text: 1)\n"
        "    for _ in range(3): predict('x')\n"
    )

    assert out.count("no hashing key") == 1


def test_the_key_comes_from_argument_then_variable_then_file(tmp_path: Path) -> None:
    """Each source is used when the ones before it are silent."""
    file = tmp_path / "key"
    file.write_bytes(b"fedcba9876543210\n")
    both = {"SPANWARD_HASHING_KEY": KEY, "SPANWARD_HASHING_KEY_FILE": str(file), "SPANWARD_KEY_ID": "k1"}

    assert resolve(hashing_key=b"a" * 16, environment=both).hashing_key == b"a" * 16
    assert resolve(environment=both) == Settings(hashing_key=KEY.encode(), key_id="k1")
    assert resolve(environment={"SPANWARD_HASHING_KEY_FILE": str(file)}).hashing_key == b"fedcba9876543210"


PROGRAM = """
import spanward
spanward.configure({arguments})
spanward.inference(model="m", version="1")(lambda text: 7)("x")
spanward.shutdown()
"""


def received(requests: list[ExportTraceServiceRequest]) -> tuple[str, str]:
    """Return service and span name of the only span."""
    (request,) = requests
    (resource,) = request.resource_spans
    (service,) = (item.value.string_value for item in resource.resource.attributes if item.key == "service.name")
    (span,) = resource.scope_spans[0].spans
    return service, span.name


def test_endpoint_headers_and_service_name_come_from_the_standard_variables() -> None:
    """With nothing but `OTEL_*` set, spans arrive at a real OTLP/gRPC server, with the headers."""
    with running.backend() as (backend, port):
        run(
            PROGRAM.format(arguments=""),
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_HEADERS="x-tenant=seven",
            OTEL_SERVICE_NAME="from-env",
            SPANWARD_HASHING_KEY=KEY,
        )

    assert received(backend.traces) == ("from-env", "inference m")
    assert backend.headers[0]["x-tenant"] == "seven"


def test_arguments_win_over_the_standard_variables() -> None:
    """An endpoint and a name that are given hold, also against a variable that asks for TLS."""
    with running.backend() as (backend, port):
        run(
            PROGRAM.format(arguments=f"service_name='mine', endpoint='http://127.0.0.1:{port}'"),
            OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
            OTEL_EXPORTER_OTLP_INSECURE="false",
            OTEL_SERVICE_NAME="from-env",
            SPANWARD_HASHING_KEY=KEY,
        )

    assert received(backend.traces) == ("mine", "inference m")


@contextmanager
def http_server() -> Generator[tuple[list[tuple[str, bytes]], int]]:
    """Run an OTLP/HTTP server on loopback; yield the paths and bodies it got, and its port."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

    with http_servers.served(Handler) as port:
        yield got, port


@pytest.mark.parametrize("by", ["variable", "argument"])
def test_the_http_protocol_is_honoured(by: str) -> None:
    """`OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf` sends over HTTP, to the path that OTLP fixes."""
    with http_server() as (got, port):
        endpoint = f"http://127.0.0.1:{port}"
        environment = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "SPANWARD_HASHING_KEY": KEY}
        if by == "variable":
            run(PROGRAM.format(arguments=""), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **environment)
        else:
            run(PROGRAM.format(arguments=f"endpoint='{endpoint}'"), **environment)

    bodies = dict(got)
    assert bodies.keys() == {"/v1/traces", "/v1/metrics"}
    assert received([ExportTraceServiceRequest.FromString(bodies["/v1/traces"])])[1] == "inference m"


@pytest.mark.parametrize(
    "switch",
    [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}],
    ids=str,
)
def test_telemetry_can_be_switched_off(switch: dict[str, str]) -> None:
    """The standard switches send nothing and start no thread, and the user's code works."""
    program = (
        "import spanward, threading\n"
        "spanward.configure()\n"
        "print(spanward.inference(model='m')(lambda text: 7)('x'), threading.active_count())\n"
        "spanward.shutdown()\n"
    )
    with running.backend() as (backend, port):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "SPANWARD_HASHING_KEY": KEY}
        out = run(program, **environment, **switch)

    assert out == "7 1\n"
    assert backend.traces == []


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "none,smoke"}, "OTEL_TRACES_EXPORTER: must name installed exporters, got 'smoke'"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: must be grpc or http/protobuf, got 'http/json'",
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "smoke", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: must be grpc or http/protobuf, got 'smoke'",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_what_no_exporter_can_do_is_refused_at_once(environment: dict[str, str], message: str) -> None:
    """A variable that names nothing we have is an error at start, not silence."""
    with pytest.raises(ValueError, match=message):
        list(exporters(None, environment))


def test_other_exporters_are_found_by_name() -> None:
    """An exporter that a package registers, as the SDK's console, is used."""
    (exporter,) = exporters(None, {"OTEL_TRACES_EXPORTER": "console"})

    assert type(exporter).__name__ == "ConsoleSpanExporter"


def test_configured_twice_the_provider_stays_and_the_newer_key_holds() -> None:
    """No second exporter sends everything twice; a call without a key does not take the key away."""
    out = run(
        "import spanward\n"
        "from opentelemetry import trace\n"
        "from spanward.api import hasher\n"
        "spanward.configure(hashing_key='0123456789abcdef', key_id='old')\n"
        "provider = trace.get_tracer_provider()\n"
        "spanward.configure(hashing_key='fedcba9876543210', key_id='new')\n"
        "spanward.configure()\n"
        "assert trace.get_tracer_provider() is provider\n"
        "print(len(provider._active_span_processor._span_processors), hasher().key_id)\n"
        "spanward.shutdown()\n",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )

    assert out == "1 new\n"


def test_shutdown_leaves_the_key_in_force() -> None:
    """A provider of the user's goes on after our shutdown, and its hashes stay comparable."""
    out = run(
        "import spanward\n"
        "from spanward.api import hasher\n"
        "from spanward.testing import capture_spans\n"
        "with capture_spans():\n"
        "    spanward.configure(hashing_key='0123456789abcdef', key_id='mine')\n"
        "    spanward.shutdown()\n"
        "    print(hasher().key_id)\n"
    )

    assert out == "mine\n"


def test_a_wrong_key_without_configure_is_told_and_the_model_answers() -> None:
    """Where nothing is raised at start, the log says what is wrong with the environment."""
    out = run(
        "import spanward\n"
        "from spanward.testing import capture_spans\n"
        "with capture_spans():\n"
        "    print(spanward.inference(model='m')(lambda text: 7)('x'))\n",
        SPANWARD_HASHING_KEY="short",
    )

    assert out.startswith("7\nSPANWARD_HASHING_KEY: must be 16 to 64 bytes, got 5\n")


@pytest.mark.parametrize(
    ("environment", "told", "holds"),
    [
        (
            {"SPANWARD_METRICS": "on"},
            "SPANWARD_METRICS: must be one of off, duration, all, got 'on'\n",
            "mine duration",
        ),
        ({"SPANWARD_METRICS": "off", "SPANWARD_HASHING_ALGORITHM": "md5"}, "SPANWARD_HASHING_ALGORITHM: ", "off"),
    ],
)
def test_what_is_wrong_in_the_environment_is_told_once_and_the_rest_of_it_holds(
    environment: dict[str, str], told: str, holds: str
) -> None:
    """A wrong name of metrics does not take the key away, nor a wrong algorithm the choice of metrics."""
    out = run(
        "import spanward\n"
        "from spanward.api import hasher, metrics_mode\n"
        "from spanward.testing import capture_spans\n"
        "with capture_spans():\n"
        "    spanward.inference(model='m')(lambda text: 7)('x')\n"
        "print(hasher().key_id, metrics_mode())\n",
        SPANWARD_HASHING_KEY="0123456789abcdef",
        SPANWARD_KEY_ID="mine",
        **environment,
    )

    assert out.count(told) == 1
    assert holds in out


def test_settings_do_not_show_the_key() -> None:
    """Settings that are logged tell everything but the key."""
    assert KEY not in repr(resolve(hashing_key=KEY, environment={}))


@pytest.mark.parametrize("endpoint", ["localhost:4317", "htp://localhost:4317", ""])
def test_an_endpoint_without_a_scheme_is_refused(endpoint: str) -> None:
    """It would be taken for TLS, and each export would fail at the handshake."""
    with pytest.raises(ValueError, match=f"^endpoint: must begin with http:// or https://, got '{endpoint}'$"):
        resolve(endpoint=endpoint, environment={})


def test_a_key_of_another_type_is_refused() -> None:
    """The error names the argument and the type."""
    with pytest.raises(TypeError, match="hashing_key: must be bytes or text, got int"):
        resolve(hashing_key=cast("Any", 7), environment={})


def test_the_error_names_where_a_wrong_key_came_from(tmp_path: Path) -> None:
    """A short key of a variable or file is blamed on it."""
    file = tmp_path / "key"
    file.write_bytes(b"short\n")

    with pytest.raises(ValueError, match=r"^SPANWARD_HASHING_KEY: must be 16 to 64 bytes, got 5$"):
        resolve(environment={"SPANWARD_HASHING_KEY": "short"})
    with pytest.raises(ValueError, match=r"^SPANWARD_HASHING_KEY_FILE '.*key': must be 16 to 64 bytes, got 5$"):
        resolve(environment={"SPANWARD_HASHING_KEY_FILE": str(file)})


@pytest.mark.parametrize("length", [0, 15, 65])
def test_keys_of_wrong_length_are_refused(length: int) -> None:
    """The error says the rule and the length, never the key."""
    with pytest.raises(ValueError, match=f"hashing_key: must be 16 to 64 bytes, got {length}"):
        resolve(hashing_key=b"k" * length, environment={})


def test_an_unreadable_key_file_is_refused(tmp_path: Path) -> None:
    """The error names the variable and the path."""
    with pytest.raises(ValueError, match="SPANWARD_HASHING_KEY_FILE: must name a readable file"):
        resolve(environment={"SPANWARD_HASHING_KEY_FILE": str(tmp_path / "none")})
