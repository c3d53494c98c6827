"""Every registered integration through every check."""

import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import spanward_integrations
from spanward_integrations import INTEGRATIONS, Integration, testing
from spanward_integrations.testing import CHECKS, Case, Check, yield_checks

NOT_INTEGRATIONS = {"base", "asgi", "testing"}  # the contract, the plain ASGI middleware, the kit


class FastAPICase:
    """A FastAPI application with one good and one failing endpoint."""

    def __init__(self, integration: Integration) -> None:
        self.integration = integration

    def target(self) -> FastAPI:
        """Return a fresh application."""
        app = FastAPI()
        app.add_api_route("/good", lambda: 1)
        app.add_api_route("/bad", self._raise)
        return app

    def _raise(self) -> None:
        raise ValueError("secret")

    def state(self, target: Any) -> object:
        """Return the middleware list and the native telemetry switch."""
        return [id(entry) for entry in target.user_middleware], dict(getattr(target, "_telemetry", {}))

    def call(self, target: Any) -> None:
        """Ask the good endpoint."""
        assert TestClient(target).get("/good").json() == 1

    def fail(self, target: Any) -> BaseException:
        """Ask the failing endpoint."""
        with pytest.raises(ValueError, match="secret") as caught:
            TestClient(target).get("/bad")
        return caught.value


CASES: dict[str, Callable[[Integration], Case]] = {"fastapi": FastAPICase}


@pytest.mark.parametrize("integration", INTEGRATIONS, ids=lambda integration: integration.name)
@pytest.mark.parametrize("check", [check for _, check in yield_checks()], ids=lambda check: check.__name__)
def test_integration(integration: Integration, check: Check) -> None:
    """Each integration passes each check of the kit."""
    check(CASES[integration.name](integration))


def test_registry_lists_every_file() -> None:
    """The tuple of integrations names exactly the modules of the folder."""
    files = {module.name for module in pkgutil.iter_modules(spanward_integrations.__path__)} - NOT_INTEGRATIONS

    assert {integration.name for integration in INTEGRATIONS} == files


def test_kit_lists_every_check() -> None:
    """The tuple of checks names every check function of the kit."""
    functions = {function for name, function in inspect.getmembers(testing, inspect.isfunction) if name[:6] == "check_"}

    assert set(CHECKS) == functions
