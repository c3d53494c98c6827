"""A real Triton server with some models, started by a test: `python triton_server.py HTTP_PORT GRPC_PORT [OTLP_URL OTLP_ENDPOINT]`.

`router` is a function of pytriton's, `words` one that streams, `scorer` and `counter` are models of Triton's Python backend, `counter` a
decoupled one. Where it is told, Triton sends its own spans to one address, and the models send those of ours to another. It
writes into the descriptor `READY_FD` once it is ready, and ends when its standard input does.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

HERE = Path(__file__).parent
CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "features" data_type: TYPE_FP32 dims: [-1] }]
output [{ name: "probabilities" data_type: TYPE_FP32 dims: [-1] }]
model_transaction_policy { decoupled: %s }
dynamic_batching { max_queue_delay_microseconds: 50000 }
"""


def double(requests: list[Any]) -> list[dict[str, Any]]:
    """Answer two probabilities for each row; a negative number is an error."""
    answers: list[dict[str, Any]] = []
    for request in requests:
        first = request["features"][:, :1]
        if (first < 0).any():
            raise ValueError("secret")
        answers.append({"probabilities": np.concatenate([first, 1 - first], axis=1).astype(np.float32)})
    return answers


async def stream(requests: list[Any]) -> AsyncIterator[list[dict[str, Any]]]:
    """Answer as often as the first number says, a hundred times a second; a negative one is an error after the first answer."""
    features = requests[0]["features"]
    for count in range(abs(int(features[0, 0]))):
        if count and features[0, 0] < 0:
            raise ValueError("secret")
        await asyncio.sleep(0.01)
        yield [{"probabilities": np.array([[0.25, 0.75]], np.float32)} for _ in requests]


def main() -> None:
    """Serve until the standard input ends."""
    triton: Any = import_module("pytriton.triton")
    ports = {"http_port": int(sys.argv[1]), "grpc_port": int(sys.argv[2]), "http_address": "127.0.0.1"}
    trace = {}
    if len(sys.argv) > 3:
        observe(sys.argv[4])
        told = ["mode=opentelemetry", "rate=1", "level=TIMESTAMPS", f"opentelemetry,url={sys.argv[3]}"]
        trace = {"trace_config": [*told, "opentelemetry,bsp_schedule_delay=100"]}
    config = triton.TritonConfig(**ports, grpc_address="127.0.0.1", allow_metrics=False, **trace)
    with TemporaryDirectory() as folder:
        workspace: Any = import_module("pytriton.utils.workspace").Workspace(Path(folder) / "workspace")
        for name, decoupled in (("scorer", "false"), ("counter", "true")):
            place = Path(workspace.model_store_path) / name
            (place / "3").mkdir(parents=True)
            (place / "config.pbtxt").write_text(CONFIG % decoupled)
            shutil.copy(HERE / "triton_model.py", place / "3" / "model.py")
        serve(triton.Triton(config=config, workspace=workspace))


def observe(endpoint: str) -> None:
    """Observe the functions that are bound from here on, and let models of the backend know where to send."""
    import spanward
    from spanward_integrations import INTEGRATIONS

    os.environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    spanward.configure(service_name="functions", hashing_key="k" * 32)
    next(one for one in INTEGRATIONS if one.name == "pytriton").instrument()


def described() -> dict[str, Any]:
    """Return the tensors of all models."""
    tensor: Any = import_module("pytriton.model_config").Tensor
    return {
        "inputs": [tensor(name="features", dtype=np.float32, shape=(-1,))],
        "outputs": [tensor(name="probabilities", dtype=np.float32, shape=(-1,))],
    }


def serve(server: Any) -> None:
    """Bind the functions and serve."""
    config: Any = import_module("pytriton.model_config").ModelConfig
    with server:
        server.bind("router", double, config=config(max_batch_size=8), model_version=7, **described())
        server.bind("words", stream, config=config(max_batch_size=8, decoupled=True), **described())
        server.run()
        os.write(int(os.environ["READY_FD"]), b"!")
        sys.stdin.read()


if __name__ == "__main__":
    main()
