"""How an operator writes it: the section `slo` of the configuration."""

from typing import Annotated, Any, Final

from pydantic import Field

from spanward_processor.configuration.sections import Number, ReadableFile, Section
from spanward_processor.slo.ledger import LONGEST_S
from spanward_processor.slo.objective import Objective, Severity
from spanward_processor.slo.openslo import Alert, read

_SHORTEST_S: Final = 60


class SloAlertConfig(Section):
    """An alert when a share of the budget is used up within some time."""

    budget_percent: Annotated[Number, Field(gt=0, le=100)]
    within_s: Annotated[Number, Field(ge=_SHORTEST_S, le=LONGEST_S)]
    severity: Severity = Severity.PAGE


class SloConfig(Section):
    """Service level objectives, as OpenSLO v1 documents."""

    files: tuple[ReadableFile, ...] = ()
    documents: tuple[dict[str, Any], ...] = ()
    alerts: tuple[SloAlertConfig, ...] = ()  # of SLOs without an alert policy of their own; none: the default four

    def objectives(self) -> tuple[Objective, ...]:
        """Return the objectives that the documents speak of.

        Raises:
            OpenSloError: Everything that is wrong with them.
        """
        inline = [(f"slo.documents[{number}]", document) for number, document in enumerate(self.documents)]
        alerts = [Alert(alert.severity, alert.budget_percent / 100, alert.within_s) for alert in self.alerts]
        return read(inline, self.files, alerts)
