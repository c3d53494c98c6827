"""Every registered integration through every check."""

import base64
import hashlib
import inspect
import logging
import pkgutil
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry import metrics

import spanward
import spanward_integrations
import triton_running
from integration_cases import CASES, SklearnCase
from requiring import require_peer
from spanward_integrations import INTEGRATIONS, Integration, testing
from spanward_integrations.base import ENTRY_POINTS
from spanward_integrations.leaving import NUMBER
from spanward_integrations.testing import CHECKS, Case, Check, yield_checks

NOT_INTEGRATIONS = {
    "base",
    "asgi",
    "asking",
    "leaving",
    "naming",
    "origin",
    "patching",
    "pushed",
    "python_backend",
    "served",
    "sklearn_parts",
    "sklearn_reading",
    "testing",
    "triton_requests",
    "triton_streams",
}
"""The contract, the plain ASGI middleware and where its requests come from, how models are asked, what leaves, names that users give, patches,
the kit; what the one of scikit-learn is made of, what those of Triton share, and the decorator for models that Triton loads itself."""


MARKS = {one: [getattr(pytest.mark, one)] for one in ("huggingface", "triton")} | {"pytriton": [pytest.mark.triton]}
CASE_BY_CASE = [pytest.param(one, id=one.name, marks=MARKS.get(one.extra, [])) for one in INTEGRATIONS]


def case_of(integration: Integration) -> Case:
    """Return how an integration is exercised; skip where its framework is absent."""
    there = find_spec(integration.framework) is not None
    require_peer(integration.framework, there, f"pip install 'spanward[{integration.extra}]'")
    return CASES[integration.name](integration)


@pytest.mark.parametrize("integration", CASE_BY_CASE)
@pytest.mark.parametrize("check", [check for _, check in yield_checks()], ids=lambda check: check.__name__)
@pytest.mark.filterwarnings("default")  # frameworks warn of their own use of older names
def test_integration(integration: Integration, check: Check) -> None:
    """Each integration passes each check of the kit."""
    if integration.name == "pytriton":  # where it is, neither pytest is nor our numpy
        triton_running.check_there("pytriton_case.py", check.__name__)
    else:
        check(case_of(integration))


def test_registry_lists_every_file() -> None:
    """The tuple of integrations names exactly the modules of the folder."""
    files = {module.name for module in pkgutil.iter_modules(spanward_integrations.__path__)} - NOT_INTEGRATIONS

    assert {integration.name for integration in INTEGRATIONS} == files


def test_every_integration_is_found_by_opentelemetry_instrument() -> None:
    """The distribution's entry points name exactly the instrumentors."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

    assert project["entry-points"][ENTRY_POINTS] == {
        f"spanward_{integration.name}": f"spanward_integrations.{integration.name}:{integration.instrumentor}"
        for integration in INTEGRATIONS
    }


def test_every_integration_has_its_extra() -> None:
    """What an error tells a user to install is there to be installed."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

    assert {integration.extra for integration in INTEGRATIONS} <= set(project["optional-dependencies"])


class LeakyCase(SklearnCase):
    """A framework whose content gets out.

    Args:
        leak: Lets it out, given the content.
    """

    def __init__(self, integration: Integration, leak: Callable[[str], object]) -> None:
        super().__init__(integration)
        self._leak = leak

    def use_content(self, target: Any, content: str) -> dict[str, object]:
        """Use it, and let content out."""
        target.predict([[NUMBER]])
        self._leak(content)
        return {"content": content}


def tell(**settings: Any) -> None:
    """Tell of a call what its user must not."""
    spanward.inference("router", **settings)(lambda: "billing")()


LEAKS: Final[dict[str, Callable[[str], object]]] = {
    "text": lambda content: tell(channel=content),
    "base64": lambda content: tell(channel=base64.b64encode(content.encode()).decode()),
    "sha256 of": lambda content: tell(channel=hashlib.sha256(content.encode()).hexdigest()),
    "number as <d": lambda _: tell(score=lambda _: NUMBER),
    "text in a log": lambda content: logging.getLogger("spanward").warning("%s", content),
    "text in a metric": lambda content: metrics.get_meter("spanward").create_counter("c").add(1, {"told": content}),
}


@pytest.mark.parametrize("form", LEAKS)
def test_the_canary_check_finds_what_leaves(form: str) -> None:
    """Positive control: content that leaves in a span, a metric or a log record, as it is or in other clothes, fails the check."""
    case = LeakyCase(next(one for one in INTEGRATIONS if one.name == "sklearn"), LEAKS[form])

    with pytest.raises(AssertionError, match=rf"content leaves: .*{form.partition(' in ')[0]}"):
        testing.check_no_content_leaves(case)


def test_kit_lists_every_check() -> None:
    """The tuple of checks names every check function of the kit."""
    functions = {function for name, function in inspect.getmembers(testing, inspect.isfunction) if name[:6] == "check_"}

    assert set(CHECKS) == functions
