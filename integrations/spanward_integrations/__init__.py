"""Framework integrations: one framework, one file; importing this imports none of them."""

from typing import Final

from spanward_integrations.base import DidNotEnableError, Integration

INTEGRATIONS: Final[tuple[Integration, ...]] = (Integration(name="fastapi", extra="fastapi"),)
"""Every integration; a test compares this tuple with the folder."""

__all__ = ["INTEGRATIONS", "DidNotEnableError", "Integration"]
