"""What is deployed: a model, a service, a prompt template, an index or the rules of a guardrail."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Part(StrEnum):
    """What of a service has versions of its own."""

    MODEL = "model"
    SERVICE = "service"
    PROMPT = "prompt"
    INDEX = "index"
    GUARDRAIL = "guardrail"


ROLES: Final = {
    Part.SERVICE: "service_version",
    Part.PROMPT: "prompt_version",
    Part.INDEX: "index_version",
    Part.GUARDRAIL: "guardrail_version",
}
"""The role of an attribute that tells a part's version; a model's version is that of its series."""


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """One thing of which one version is in charge at a time.

    Args:
        service: Name of the service.
        model: Name of the model; empty for the service itself.
        part: What of it.
    """

    service: str
    model: str
    part: Part

    @classmethod
    def of(cls, service: str, model: str, part: Part) -> "Subject":
        """Return what a version of a part is a version of."""
        return cls(service, "" if part is Part.SERVICE else model, part)

    def __str__(self) -> str:
        named = " / ".join(name for name in (self.service, self.model) if name)
        return named if self.part is Part.MODEL else f"{named}, {self.part}"
