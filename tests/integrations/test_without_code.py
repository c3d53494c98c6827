"""`opentelemetry-instrument python app.py`: programs that know nothing of telemetry, and what arrives of them at a real OTLP server."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import triton_running
from requiring import require_peer
from spanward import semconv
from spanward_integrations import INTEGRATIONS
from spanward_integrations.leaving import Received, receiving

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = (sys.executable, "-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()")
"""What the script `opentelemetry-instrument` does."""

FASTAPI: Final = """
from fastapi import FastAPI
from starlette.testclient import TestClient
app = FastAPI()
app.add_api_route("/models/{name}", lambda name: name)
assert TestClient(app).get("/models/router").json() == "router"
"""
SKLEARN: Final = """
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
assert model.predict([[1.0]]).tolist() == ["yes"]
"""
ONNXRUNTIME: Final = """
import numpy, onnxruntime
session = onnxruntime.InferenceSession(GIVEN, providers=["CPUExecutionProvider"])
assert session.run(None, {"x": numpy.zeros((1, 2), "f4")})[0].shape == (1, 3)
"""
OPENAI: Final = """
from openai import OpenAI
with OpenAI(base_url=f"http://{GIVEN}/v1", api_key="k", max_retries=0) as client:
    asked = {"model": "router", "messages": [{"role": "user", "content": "hello"}]}
    chunks = list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked))
assert chunks[-1].usage.total_tokens > 0
"""
HUGGINGFACE: Final = """
from transformers import pipeline
assert pipeline("text-classification", model=GIVEN)("my invoice is wrong")[0]["score"] > 0
"""
TRITON: Final = """
import numpy
from tritonclient.grpc import InferenceServerClient, InferInput
rows = numpy.array([[0.25, 1, 2]], "f4")
tensor = InferInput("features", [1, 3], "FP32")
tensor.set_data_from_numpy(rows)
with InferenceServerClient(GIVEN) as client:
    assert client.infer("router", [tensor]).as_numpy("probabilities").shape == (1, 2)
"""


@contextmanager
def arguments(name: str, folder: Path) -> Generator[str]:
    """Give a program what it needs: a model's file or folder, or a server's address; nothing where it needs nothing."""
    if name == "onnxruntime":
        from onnx_models import softmax_model

        (folder / "router.onnx").write_bytes(softmax_model())
        yield str(folder / "router.onnx")
    elif name == "huggingface":
        from huggingface_models import classifier

        classifier().save_pretrained(folder / "router")
        yield str(folder / "router")
    elif name == "openai":
        from openai_server import OpenAIServer
        from serving import serving

        with serving(OpenAIServer().app) as address:
            yield address
    elif name == "triton":
        yield f"127.0.0.1:{triton_running.server().grpc_port}"
    else:
        yield ""


def installed(folder: Path) -> Path:
    """Return a folder with what this checkout's installation would say of entry points: the one in the environment may be older."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    place = folder / "installed" / f"spanward-{project['version']}.dist-info"
    place.mkdir(parents=True)
    place.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: spanward\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    place.joinpath("entry_points.txt").write_text("\n".join(groups))
    return place.parent


def run(program: str, folder: Path, address: str, *before: Path) -> None:
    """Run a program under OpenTelemetry's command, with standard variables only.

    Args:
        program: Its text.
        folder: Where it is put.
        address: Of the OTLP server.
        before: Folders in which modules are looked for first.
    """
    (folder / "app.py").write_text(program)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "SPANWARD_"))}
    kept.pop("PYTEST_CURRENT_TEST", None)
    places = [
        *map(str, before),
        str(installed(folder)),
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
    ]
    environment = kept | {
        "PYTHONPATH": os.pathsep.join(places),
        "OTEL_SERVICE_NAME": "support",
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "SPANWARD_HASHING_KEY": "k" * 32,
    }
    command = [*COMMAND, sys.executable, str(folder / "app.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Failed to auto initialize" not in done.stderr, done.stderr


def spans_in(received: list[Received]) -> dict[str, dict[str, Any]]:
    """Return what the spans of Spanward's say, by name; with the service that they come from."""
    found: dict[str, dict[str, Any]] = {}
    for body in [one.body for one in received if "TraceService" in one.method]:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _told(resource.resource.attributes)[semconv.SERVICE_NAME]
            for scope in resource.scope_spans:
                if scope.scope.name.startswith("spanward"):
                    found |= {span.name: {**_told(span.attributes), "service": service} for span in scope.spans}
    return found


def _told(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Program(NamedTuple):
    """A program that uses one framework.

    Args:
        text: The program; `GIVEN` is what it is given.
        spans: Names of its spans.
        told: What one of them tells.
    """

    text: str
    spans: set[str]
    told: str


PROGRAMS: Final = {
    "fastapi": Program(FASTAPI, {"GET /models/{name}"}, semconv.HTTP_ROUTE),
    "huggingface": Program(HUGGINGFACE, {"inference router", "load router"}, semconv.GEN_AI_USAGE_INPUT_TOKENS),
    "onnxruntime": Program(ONNXRUNTIME, {"inference router"}, semconv.FEATURES_HASH),
    "openai": Program(OPENAI, {"chat router"}, semconv.GEN_AI_USAGE_OUTPUT_TOKENS),
    "sklearn": Program(SKLEARN, {"inference LogisticRegression"}, semconv.DECISION),
    "triton": Program(TRITON, {"inference router"}, semconv.MODEL_VERSION),
}
"""Of each integration a program. Functions of pytriton run inside of a server, which imports them itself."""
TOGETHER: Final = ("fastapi", "onnxruntime", "openai", "sklearn")
"""Those of one environment are one program: most of its time is spent importing all of them."""


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(TOGETHER, id="together"),
        pytest.param(("huggingface",), id="huggingface", marks=pytest.mark.huggingface),
        pytest.param(("triton",), id="triton", marks=pytest.mark.triton),
    ],
)
@pytest.mark.filterwarnings("default")  # frameworks warn of their own use of older names
def test_a_program_is_observed_with_no_change_of_code(names: tuple[str, ...], tmp_path: Path) -> None:
    """Spans, with their hashes and counts, and durations arrive under the service that the variable names."""
    for integration in [one for one in INTEGRATIONS if one.name in names]:
        there = find_spec(integration.framework) is not None
        require_peer(integration.framework, there, f"pip install 'spanward[{integration.extra}]'")
    require_peer(
        "OpenTelemetry's distro", find_spec("opentelemetry.distro") is not None, "pip install 'spanward[auto]'"
    )
    with receiving() as (address, received), ExitStack() as stack:
        given = {name: stack.enter_context(arguments(name, tmp_path)) for name in names}
        run("".join(f"GIVEN = {given[name]!r}{PROGRAMS[name].text}" for name in names), tmp_path, address)
    spans = spans_in(received)

    assert spans.keys() == set().union(*(PROGRAMS[name].spans for name in names))
    assert {span["service"] for span in spans.values()} == {"support"}
    for name in names:
        assert any(PROGRAMS[name].told in spans[one] for one in PROGRAMS[name].spans)
    measured = b"".join(one.body for one in received if "MetricsService" in one.method)
    assert semconv.GEN_AI_CLIENT_OPERATION_DURATION.encode() in measured


def test_a_framework_that_is_missing_leaves_the_others_observed(tmp_path: Path) -> None:
    """An instrumentor whose framework is not there is passed over, whichever it is."""
    require_peer(
        "OpenTelemetry's distro", find_spec("opentelemetry.distro") is not None, "pip install 'spanward[auto]'"
    )
    missing = tmp_path / "missing"
    missing.mkdir()
    for framework in ("fastapi", "openai", "onnxruntime", "starlette", "transformers", "tritonclient", "pytriton"):
        text = f"raise ModuleNotFoundError({json.dumps(f'No module named {framework}')}, name={json.dumps(framework)})"
        (missing / f"{framework}.py").write_text(text)
    with receiving() as (address, received):
        run(SKLEARN, tmp_path, address, missing)

    assert spans_in(received).keys() == {"inference LogisticRegression"}
