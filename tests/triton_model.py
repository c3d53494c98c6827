"""A model of Triton's Python backend, which Triton itself loads: it answers two probabilities for each row.

The decoupled one answers as often as the first number says, an error where it is negative, and nothing but the end where it is zero.
"""

import json
import os
from importlib import import_module
from typing import Any

import numpy as np

import spanward
from spanward_integrations.python_backend import observe_model

backend: Any = import_module("triton_python_backend_utils")


@observe_model
class TritonPythonModel:
    """What Triton looks for."""

    decoupled = False

    def initialize(self, args: dict[str, str]) -> None:
        """Send spans where the server's environment says."""
        policy = json.loads(args["model_config"])["model_transaction_policy"]
        self.decoupled = policy["decoupled"]
        if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:
            spanward.configure(service_name="backend", hashing_key="k" * 32)

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Answer."""
        if self.decoupled:
            for request in requests:
                self.stream(request)
            return None
        return [self.answer(features(request)) for request in requests]

    def answer(self, rows: Any) -> Any:
        """Return two probabilities for each row; a negative number is an error."""
        first = rows[:, :1]
        if (first < 0).any():
            return backend.InferenceResponse(error=backend.TritonError("secret"))
        both = np.concatenate([first, 1 - first], axis=1).astype(np.float32)
        return backend.InferenceResponse([backend.Tensor("probabilities", both)])

    def stream(self, request: Any) -> None:
        """Answer as often as the first number says, then send the end alone."""
        sender, count = request.get_response_sender(), int(features(request)[0, 0])
        for _ in range(abs(count)):
            sender.send(self.answer(np.array([[0.25 if count > 0 else -1]], np.float32)))
        sender.send(flags=backend.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def features(request: Any) -> Any:
    """Return a request's rows."""
    return backend.get_input_tensor_by_name(request, "features").as_numpy()
