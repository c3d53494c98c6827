"""Every registered detector through every check."""

import importlib
import inspect
import pkgutil

import pytest

from spanward_processor import detectors
from spanward_processor.detectors import DETECTORS
from spanward_processor.testing import checks
from spanward_processor.testing.checks import CHECKS, Check, Factory, yield_checks

SEED = 20_261_124

NOT_DETECTORS = {"base", "fitted", "wording"}  # the contract, what two detectors are made of, and words that they share


@pytest.mark.parametrize("factory", DETECTORS, ids=lambda factory: factory.name)
@pytest.mark.parametrize(
    ("name", "check"), list(yield_checks()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_detector(factory: Factory, name: str, check: Check) -> None:
    """Each detector passes each check of the kit."""
    print(f"seed {SEED}, {name}")
    check(factory, SEED)


def test_registry_lists_every_file() -> None:
    """The tuple of detectors names exactly the modules of the folder."""
    files = {module.name for module in pkgutil.iter_modules(detectors.__path__)} - NOT_DETECTORS

    assert {factory.__module__.rpartition(".")[2] for factory in DETECTORS} == files


def test_names_equal_modules() -> None:
    """A detector's name in findings is the name of its file."""
    for factory in DETECTORS:
        module = importlib.import_module(factory.__module__)

        assert getattr(factory, "name") == module.__name__.rpartition(".")[2]  # noqa: B009 - a factory's type has no name


def test_kit_lists_every_check() -> None:
    """The tuple of checks names every check function of the kit."""
    functions = {
        function for name, function in inspect.getmembers(checks, inspect.isfunction) if name.startswith("check_")
    }

    assert set(CHECKS) == functions
