"""An integration that is in force for the time of a test."""

from collections.abc import Generator
from contextlib import contextmanager

from spanward_integrations import INTEGRATIONS


@contextmanager
def instrumented(name: str) -> Generator[None]:
    """Instrument a framework, and undo it at the end.

    Args:
        name: Name of the integration.
    """
    integration = next(one for one in INTEGRATIONS if one.name == name)
    integration.instrument()
    try:
        yield
    finally:
        integration.uninstrument()
