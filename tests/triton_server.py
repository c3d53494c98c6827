"""A real Triton server with one model, started by a test: `python triton_server.py HTTP_PORT GRPC_PORT [OTLP_URL]`.

It prints a line once it is ready, and ends when its standard input does.
"""

import sys
from importlib import import_module
from typing import Any

import numpy as np


def double(requests: list[Any]) -> list[dict[str, Any]]:
    """Answer two probabilities for each row; a negative number is an error."""
    answers: list[dict[str, Any]] = []
    for request in requests:
        first = request["features"][:, :1]
        if (first < 0).any():
            raise ValueError("secret")
        answers.append({"probabilities": np.concatenate([first, 1 - first], axis=1).astype(np.float32)})
    return answers


def main() -> None:
    """Serve until the standard input ends."""
    model: Any = import_module("pytriton.model_config")
    triton: Any = import_module("pytriton.triton")
    ports = {"http_port": int(sys.argv[1]), "grpc_port": int(sys.argv[2]), "http_address": "127.0.0.1"}
    trace = {}
    if len(sys.argv) > 3:
        trace = {
            "trace_config": ["mode=opentelemetry", "rate=1", "level=TIMESTAMPS", f"opentelemetry,url={sys.argv[3]}"]
        }
    config = triton.TritonConfig(**ports, grpc_address="127.0.0.1", allow_metrics=False, **trace)
    with triton.Triton(config=config) as server:
        server.bind(
            model_name="router",
            infer_func=double,
            inputs=[model.Tensor(name="features", dtype=np.float32, shape=(-1,))],
            outputs=[model.Tensor(name="probabilities", dtype=np.float32, shape=(-1,))],
            config=model.ModelConfig(max_batch_size=8),
            model_version=7,
        )
        server.run()
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
