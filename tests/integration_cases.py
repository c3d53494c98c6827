"""How the kit exercises each framework: one case, one class."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

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


CASES: dict[str, Callable[[Integration], Case]] = {"fastapi": FastAPICase, "huggingface": HuggingFaceCase}
