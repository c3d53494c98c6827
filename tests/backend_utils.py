"""What Triton gives its Python backend's models as `triton_python_backend_utils`, as far as its documentation describes it.

The real module is part of a running server, and `pytest -m triton` asks models there. This one has the same names, so that the same
model runs without a server. Source: Triton Inference Server, README of the Python backend.
"""

import json
from typing import Any, Final

TRITONSERVER_RESPONSE_COMPLETE_FINAL: Final = 1


class Tensor:
    """An input or output.

    Args:
        name: Its name.
        array: Its content.
        on_device: Whether it lies in a device's memory.
    """

    def __init__(self, name: str, array: Any, *, on_device: bool = False) -> None:
        self._name, self._array, self._on_device = name, array, on_device

    def name(self) -> str:
        """Return its name."""
        return self._name

    def is_cpu(self) -> bool:
        """Return whether it lies in main memory."""
        return not self._on_device

    def as_numpy(self) -> Any:
        """Return its content; that of one on a device cannot be asked for."""
        if self._on_device:
            raise TritonError("Tensor is stored in GPU and cannot be converted to NumPy.")
        return self._array


class TritonError(Exception):
    """An error that an answer holds."""

    def message(self) -> str:
        """Return what it says."""
        return str(self)


class InferenceResponse:
    """An answer to one request.

    Args:
        output_tensors: Its outputs.
        error: What went wrong.
    """

    def __init__(self, output_tensors: list[Tensor] | None = None, error: TritonError | None = None) -> None:
        self._outputs, self._error = output_tensors or [], error

    def output_tensors(self) -> list[Tensor]:
        """Return its outputs."""
        return self._outputs

    def has_error(self) -> bool:
        """Return whether it is an error."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """Return what went wrong."""
        return self._error


class ResponseSender:
    """Sends the answers to a request of a decoupled model.

    Args:
        sent: What was sent, each with its flags.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[InferenceResponse | None, int]] = []

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Send one; after the last there are no more."""
        if self.sent and self.sent[-1][1] & TRITONSERVER_RESPONSE_COMPLETE_FINAL:
            raise TritonError("Unable to send response. Response sender has been closed.")
        self.sent.append((response, flags))


class Trace:
    """What Triton's own tracing says of a request.

    Args:
        headers: Those of its trace; none where Triton does not trace.
    """

    def __init__(self, headers: dict[str, str] | None) -> None:
        self._headers = headers

    def get_context(self) -> str | None:
        """Return the headers as JSON."""
        return None if self._headers is None else json.dumps(self._headers)


class InferenceRequest:
    """One request.

    Args:
        inputs: Its tensors.
        traced: Headers of the trace that Triton itself makes.
        parameters: Those of the request, with the headers that Triton was told to forward.
    """

    def __init__(
        self, inputs: list[Tensor], traced: dict[str, str] | None = None, parameters: dict[str, Any] | None = None
    ) -> None:
        self._inputs, self._trace, self._parameters = inputs, Trace(traced), parameters
        self.sender = ResponseSender()

    def inputs(self) -> list[Tensor]:
        """Return its tensors."""
        return self._inputs

    def trace(self) -> Trace:
        """Return its trace."""
        return self._trace

    def parameters(self) -> str:
        """Return its parameters as JSON; an empty text where there are none."""
        return "" if self._parameters is None else json.dumps(self._parameters)

    def get_response_sender(self) -> ResponseSender:
        """Return what sends its answers."""
        return self.sender


def get_input_tensor_by_name(request: Any, name: str) -> Tensor | None:
    """Return an input, or None."""
    return next((one for one in request.inputs() if one.name() == name), None)
