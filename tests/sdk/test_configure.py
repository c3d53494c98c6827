"""configure() and shutdown(): whose provider is used, which key holds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spanward.config import Settings, resolve

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
        "spanward.configure(service_name='x', hashing_key='0123456789abcdef')\n"
        "assert trace.get_tracer_provider() is mine\n"
        "assert mine._active_span_processor._span_processors == ()\n"
        "spanward.shutdown()\n"
        "mine.get_tracer('t').start_span('still works').end(); print('ok')\n"
    )

    assert out == "ok\n"


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


@pytest.mark.parametrize("length", [0, 15, 65])
def test_keys_of_wrong_length_are_refused(length: int) -> None:
    """The error says the rule and the length, never the key."""
    with pytest.raises(ValueError, match=f"hashing_key: must be 16 to 64 bytes, got {length}"):
        resolve(hashing_key=b"k" * length, environment={})


def test_an_unreadable_key_file_is_refused(tmp_path: Path) -> None:
    """The error names the variable and the path."""
    with pytest.raises(ValueError, match="SPANWARD_HASHING_KEY_FILE: must name a readable file"):
        resolve(environment={"SPANWARD_HASHING_KEY_FILE": str(tmp_path / "none")})
