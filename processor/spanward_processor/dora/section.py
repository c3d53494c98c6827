"""How an operator writes it: the section `dora` of the configuration."""

from typing import Annotated

from pydantic import Field

from spanward_processor.configuration.sections import Count, Number, Positive, Section
from spanward_processor.dora.settings import Dora


class DoraConfig(Section):
    """When a version counts as deployed, and when a deployment has failed."""

    settle_s: Annotated[Number, Field(gt=0, le=3600)] = 60.0
    min_requests: Annotated[Count, Field(le=10_000)] = 100
    fails_within_s: Positive = 86_400.0
    deployments: Annotated[Count, Field(le=1_000_000)] = 10_000

    def as_settings(self) -> Dora:
        """Return what the counting of deployments is told."""
        return Dora(**self.model_dump())
