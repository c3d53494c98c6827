"""What an integration is, and how it says that its framework is missing."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, cast

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined] # it has no types

ENTRY_POINTS: Final = "opentelemetry_instrumentor"
"""Group of entry points under which `opentelemetry-instrument` finds instrumentors."""


__all__ = ["ENTRY_POINTS", "BaseInstrumentor", "DidNotEnableError", "Integration", "missing", "require"]


class DidNotEnableError(ModuleNotFoundError):
    """An integration was asked for whose framework is not installed; `opentelemetry-instrument` passes over such ones."""


@dataclass(frozen=True, slots=True)
class Integration:
    """One framework that Spanward instruments.

    Args:
        name: Name of the file here.
        framework: Package that is instrumented, as it is imported.
        extra: Extra of the distribution that installs it.
        instrumentor: Class in the file, which `opentelemetry-instrument` finds under its entry point.
    """

    name: str
    framework: str
    extra: str
    instrumentor: str

    def load(self) -> BaseInstrumentor:
        """Return the instrumentor; there is one per process.

        Raises:
            DidNotEnableError: The framework is not installed.
        """
        require(self.framework, self.extra)
        module = import_module(f"spanward_integrations.{self.name}")
        return cast("type[BaseInstrumentor]", getattr(module, self.instrumentor))()

    def instrument(self, **providers: Any) -> None:
        """Instrument the framework in this process; a second time changes nothing.

        Args:
            providers: `tracer_provider`, `meter_provider`; default the global ones.

        Raises:
            DidNotEnableError: The framework is not installed.
        """
        instrumentor = self.load()
        if not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument(**providers)

    def uninstrument(self) -> None:
        """Undo `instrument`; without it nothing happens."""
        instrumentor = self.load()
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()


def require(framework: str, extra: str) -> None:
    """Make sure that a framework is installed, without importing it.

    Raises:
        DidNotEnableError: It is not.
    """
    try:
        found = find_spec(framework) is not None
    except (ModuleNotFoundError, ValueError):  # a parent package is missing, or stands for a missing one
        found = False
    if not found:
        raise missing(framework, extra)


def missing(framework: str, extra: str) -> DidNotEnableError:
    """Return the error that names the command which installs a framework."""
    return DidNotEnableError(f"{framework} is not installed: pip install 'spanward[{extra}]'")
