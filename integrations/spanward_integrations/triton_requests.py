"""What all of Triton's clients share: how a call begins with a request, and how requests and answers are read."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from inspect import signature
from typing import Any, Final, cast

from opentelemetry.context import Context
from opentelemetry.propagate import inject
from opentelemetry.trace import SpanKind

import spanward
from spanward import Call, Inference, Outcome
from spanward_integrations.served import value_of

_MODELS: Final = 256  # a name may be what a stranger asked for


class Models:
    """The models that are asked.

    Args:
        settings: Those that were given to the instrumentor.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.outcome: Callable[[Any], Outcome] | None = settings.get("outcome")
        self._settings: dict[str, Any] = {name: settings.get(name) for name in ("tracer_provider", "meter_provider")}
        self._inference = lru_cache(_MODELS)(self._make_inference)

    def start(self, asked: Mapping[str, Any]) -> Call:
        """Begin the call of a request.

        Args:
            asked: The arguments of the client's method.
        """
        value = value_of({one.name(): _array_of(one) for one in asked["inputs"]})
        return self._inference(str(asked["model_name"])).start(*(() if value is None else (value,)))

    def _make_inference(self, model: str) -> Inference:
        return spanward.inference(
            model, framework="triton", span_kind=SpanKind.CLIENT, outcome=self.outcome, **self._settings
        )


def arguments_of(method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of a client's method by name; None where they do not fit, as the method itself says best."""
    try:
        return signature(method).bind(*args, **kwargs).arguments
    except TypeError:
        return None


def with_trace(asked: Mapping[str, Any], context: Context | None = None) -> dict[str, str]:
    """Return a request's headers, and the trace in them.

    Args:
        asked: The arguments of the client's method.
        context: What holds the trace; default the current context.
    """
    headers = dict(asked.get("headers") or {})
    inject(headers, context=context)
    return headers


def read(message: Any, name: str) -> Any:
    """Return a field of a response: JSON over HTTP, a message over gRPC."""
    return cast("dict[str, Any]", message).get(name) if isinstance(message, dict) else getattr(message, name)


def answer_of(result: Any, response: Any) -> object:
    """Return what a result holds: its only output, or all by name."""
    names = [str(read(output, "name")) for output in read(response, "outputs") or ()]
    return value_of({name: result.as_numpy(name) for name in names})


def _array_of(tensor: Any) -> Any:
    """Return an input as the array it was made of; None where its bytes are not in the request."""
    import numpy as np

    utils: Any = import_module("tritonclient.utils")
    over_grpc = hasattr(tensor, "_get_content")
    raw: bytes | None = tensor._get_content() if over_grpc else tensor._get_binary_data()  # noqa: SLF001 - it is not public
    kind, shape = tensor.datatype(), list(tensor.shape())
    if raw is None:
        listed: Any = None if over_grpc else tensor._data  # noqa: SLF001 - JSON
        return None if listed is None else np.array(listed, utils.triton_to_np_dtype(kind)).reshape(shape)
    if kind == "BYTES":
        return utils.deserialize_bytes_tensor(raw).reshape(shape)
    if kind == "BF16":
        return utils.deserialize_bf16_tensor(raw).reshape(shape)
    return np.frombuffer(raw, utils.triton_to_np_dtype(kind)).reshape(shape)
