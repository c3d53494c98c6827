"""What an integration is, and how it says that its framework is missing."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


class DidNotEnableError(RuntimeError):
    """An integration was asked for whose framework is not installed."""


@dataclass(frozen=True, slots=True)
class Integration:
    """One framework that Spanward instruments.

    Args:
        name: Name of the framework's package, and of the file here.
        extra: Extra of the distribution that installs it.
    """

    name: str
    extra: str

    def instrument(self, target: Any) -> None:
        """Instrument an application.

        Raises:
            DidNotEnableError: The framework is not installed.
        """
        self._function("instrument")(target)

    def uninstrument(self, target: Any) -> None:
        """Undo `instrument`."""
        self._function("uninstrument")(target)

    def _function(self, verb: str) -> Any:
        return getattr(import_module(f"spanward_integrations.{self.name}"), f"{verb}_{self.name}")


def missing(framework: str, extra: str) -> DidNotEnableError:
    """Return the error that names the command which installs a framework."""
    return DidNotEnableError(f"{framework} is not installed: pip install 'spanward[{extra}]'")
