"""How the kit exercises each framework: one case, one class."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

import pytest

import contents
import triton_running
from pytriton_case import PyTritonCase
from spanward_integrations.base import Integration
from spanward_integrations.testing import Case


class FastAPICase:
    """A FastAPI application with one good and one failing endpoint."""

    def __init__(self, integration: Integration) -> None:
        self.integration = integration

    def target(self) -> Any:
        """Return a fresh application."""
        from fastapi import FastAPI

        app = FastAPI()
        app.add_api_route("/good", lambda: 1)
        app.add_api_route("/bad", self._raise)
        return app

    def _raise(self) -> None:
        raise ValueError("secret")

    def instrument(self, target: Any) -> None:
        """Instrument the one application."""
        from spanward_integrations.fastapi import instrument_fastapi

        instrument_fastapi(target)

    def uninstrument(self, target: Any) -> None:
        """Undo that."""
        from spanward_integrations.fastapi import uninstrument_fastapi

        uninstrument_fastapi(target)

    def patched(self) -> dict[str, object]:
        """Return how applications are made."""
        from fastapi import FastAPI

        return {"FastAPI.__init__": vars(FastAPI)["__init__"]}

    def state(self, target: Any) -> object:
        """Return the middleware list and the native telemetry switch."""
        return [id(entry) for entry in target.user_middleware], dict(getattr(target, "_telemetry", {}))

    def call(self, target: Any) -> None:
        """Ask the good endpoint."""
        from starlette.testclient import TestClient

        assert TestClient(target).get("/good").json() == 1

    def fail(self, target: Any) -> BaseException:
        """Ask the failing endpoint."""
        from starlette.testclient import TestClient

        with pytest.raises(ValueError, match="secret") as caught:
            TestClient(target).get("/bad")
        return caught.value

    def use_content(self, target: Any, content: str) -> dict[str, object]:
        """Put content wherever it can be."""
        return contents.use_fastapi(target, content)


class _WholeFramework:
    """A framework that is instrumented as a whole."""

    def __init__(self, integration: Integration) -> None:
        self.integration = integration

    def instrument(self, target: Any) -> None:
        """Instrument all of it."""
        self.integration.instrument()

    def uninstrument(self, target: Any) -> None:
        """Undo that."""
        self.integration.uninstrument()

    def patched(self) -> dict[str, object]:
        """Return what the instrumentor patches."""
        raise NotImplementedError

    def state(self, target: Any) -> object:
        """Return what instrumenting may change."""
        return {name: id(one) for name, one in self.patched().items()}


def _own(owner: Any, name: str) -> object:
    """Return what a class itself defines."""
    return cast("dict[str, object]", vars(owner)).get(name, "inherited")


class HuggingFaceCase(_WholeFramework):
    """A text classification pipeline around a small real model."""

    def target(self) -> Any:
        """Return the pipeline."""
        from huggingface_models import classifier

        return classifier()

    def patched(self) -> dict[str, object]:
        """Return the pipelines' calls and the loading of models."""
        transformers: Any = import_module("transformers")
        return {
            "Pipeline.__call__": vars(transformers.Pipeline)["__call__"],
            "Pipeline.forward": vars(transformers.Pipeline)["forward"],
            "PreTrainedModel.from_pretrained": vars(transformers.PreTrainedModel)["from_pretrained"],
        }

    def call(self, target: Any) -> None:
        """Classify one text."""
        assert target("my invoice is wrong")[0]["score"] > 0

    def fail(self, target: Any) -> BaseException:
        """Ask with what is no text."""
        with pytest.raises(Exception, match=r".") as caught:
            target(object())
        return caught.value

    def use_content(self, target: Any, content: str) -> dict[str, object]:
        """Put content wherever it can be."""
        return contents.use_huggingface(target, content)


class OpenAICase(_WholeFramework):
    """A client of a server that speaks OpenAI's wire format; the server lives as long as one use."""

    def target(self) -> Any:
        """Return the server's application."""
        from openai_server import OpenAIServer

        return OpenAIServer()

    def patched(self) -> dict[str, object]:
        """Return what sends requests, and what closes streams."""
        from spanward_integrations.openai import HELPERS, SURFACES

        found: dict[str, object] = {}
        methods = [(one.module, one.resource, method) for one in SURFACES for method in one.methods]
        for module, owner, method in [*methods, *((module, helper, "close") for module, helper in HELPERS)]:
            for name in (owner, "Async" + owner):
                found[f"{module}.{name}.{method}"] = vars(getattr(import_module(module), name))[method]
        return found

    def call(self, target: Any) -> None:
        """Ask for an answer."""
        assert self._ask(target, "router").usage.total_tokens > 0

    def fail(self, target: Any) -> BaseException:
        """Ask a model whose server fails."""
        with pytest.raises(Exception, match="hidden-message") as caught:
            self._ask(target, "fails")
        return caught.value

    def use_content(self, target: Any, content: str) -> dict[str, object]:
        """Put content wherever it can be."""
        return contents.use_openai(target, content)

    def _ask(self, target: Any, model: str) -> Any:
        from openai import OpenAI

        from serving import serving

        with serving(target.app) as address, OpenAI(base_url=f"http://{address}/v1", api_key="k", max_retries=0) as one:
            return one.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])


class SklearnCase(_WholeFramework):
    """A fitted classifier."""

    def target(self) -> Any:
        """Return the classifier."""
        linear: Any = import_module("sklearn.linear_model")
        return linear.LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])

    def patched(self) -> dict[str, object]:
        """Return where its methods are defined, and how classes are."""
        methods = {
            "sklearn.linear_model": ("LogisticRegression.fit", "LogisticRegression.predict_proba"),
            "sklearn.linear_model._base": ("LinearClassifierMixin.predict",),
            "sklearn.pipeline": ("Pipeline.predict",),
            "sklearn.utils.parallel": ("Parallel.__call__",),
            "sklearn.base": ("BaseEstimator.__init_subclass__",),
        }
        found: dict[str, object] = {}
        for module, names in methods.items():
            for name in names:
                owner, _, method = name.partition(".")
                found[name] = _own(getattr(import_module(module), owner), method)
        return found

    def call(self, target: Any) -> None:
        """Classify one row."""
        assert target.predict([[1.0]]).tolist() == ["yes"]

    def fail(self, target: Any) -> BaseException:
        """Ask with a row of another width."""
        with pytest.raises(ValueError, match="features") as caught:
            target.predict([[1.0, 2.0]])
        return caught.value

    def use_content(self, target: Any, content: str) -> dict[str, object]:
        """Put content wherever it can be."""
        return contents.use_sklearn(target, content)


class OnnxRuntimeCase(_WholeFramework):
    """A session of a small model."""

    def target(self) -> Any:
        """Return the session."""
        from onnx_models import softmax_model

        onnxruntime: Any = import_module("onnxruntime")
        return onnxruntime.InferenceSession(softmax_model())

    def patched(self) -> dict[str, object]:
        """Return the methods that run a session."""
        onnxruntime: Any = import_module("onnxruntime")
        names = ("run", "run_with_ort_values", "run_with_iobinding", "run_async")
        return {name: _own(onnxruntime.InferenceSession, name) for name in names}

    def call(self, target: Any) -> None:
        """Run it once."""
        import numpy as np

        assert target.run(None, {"x": np.zeros((1, 2), "f4")})[0].shape == (1, 3)

    def fail(self, target: Any) -> BaseException:
        """Run it with an input of another shape."""
        import numpy as np

        with pytest.raises(Exception, match="dimensions") as caught:
            target.run(None, {"x": np.zeros((1, 5), "f4")})
        return caught.value

    def use_content(self, target: Any, content: str) -> dict[str, object]:
        """Put content wherever it can be."""
        return contents.use_onnxruntime(target, content)


class TritonCase(_WholeFramework):
    """A gRPC client of a real server."""

    def target(self) -> Any:
        """Return a client."""
        grpc: Any = import_module("tritonclient.grpc")
        return grpc.InferenceServerClient(f"127.0.0.1:{triton_running.server().grpc_port}")

    def patched(self) -> dict[str, object]:
        """Return how every client asks."""
        places: dict[str, dict[str, tuple[str, ...]]] = {
            "http": {"InferenceServerClient": ("infer", "async_infer"), "InferAsyncRequest": ("get_result",)},
            "http.aio": {"InferenceServerClient": ("infer",)},
            "grpc": {"InferenceServerClient": ("infer", "async_infer", "start_stream", "async_stream_infer")},
            "grpc._infer_stream": {"_InferStream": ("_init_handler",)},
            "grpc.aio": {"InferenceServerClient": ("infer", "stream_infer")},
        }
        return {
            f"{module}.{owner}.{name}": vars(getattr(import_module(f"tritonclient.{module}"), owner))[name]
            for module, owners in places.items()
            for owner, names in owners.items()
            for name in names
        }

    def call(self, target: Any) -> None:
        """Ask for one row."""
        answer = target.infer("router", triton_running.inputs("grpc", 0.25))
        assert answer.as_numpy("probabilities").shape == (1, 2)

    def fail(self, target: Any) -> BaseException:
        """Ask for what the model refuses."""
        with pytest.raises(Exception, match="secret") as caught:
            target.infer("router", triton_running.inputs("grpc", -1))
        return caught.value

    def use_content(self, target: Any, content: str) -> dict[str, object]:
        """Put content wherever it can be."""
        return contents.use_triton(target, content)


CASES: dict[str, Callable[[Integration], Case]] = {
    "fastapi": FastAPICase,
    "huggingface": HuggingFaceCase,
    "onnxruntime": OnnxRuntimeCase,
    "openai": OpenAICase,
    "pytriton": PyTritonCase,
    "sklearn": SklearnCase,
    "triton": TritonCase,
}
