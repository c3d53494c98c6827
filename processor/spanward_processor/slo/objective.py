"""What an objective asks for, and how fast its budget may be used up."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from spanward_processor.findings import Series
from spanward_processor.slo.calendar import Calendar

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
PERIOD_S: Final = 30 * DAY_S
"""Period of a budget where none is named."""

MOST: Final = 64
"""Objectives at most: each is one bit of a row's mark."""


class Source(StrEnum):
    """What of a row an objective looks at."""

    ERROR = "error"
    LATENCY = "latency"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    INPUT_SIZE = "input_size"
    SPARSITY = "sparsity"
    SCORE = "score"


class Op(IntEnum):
    """How a value must stand to the objective's limit, to be good."""

    LTE = 0
    LT = 1
    GTE = 2
    GT = 3


class Severity(StrEnum):
    """Whether somebody is woken."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Burn:
    """One rule: an alert while the budget burns so fast in a long window and, still now, in a short one.

    Args:
        severity: Page or ticket.
        factor: Times the pace at which the budget lasts exactly its period.
        long_s: Length of the long window, seconds.
        short_s: Length of the short one; it ends the alert soon after the cause has gone.
        after_s: How long both must hold before the alert opens.
    """

    severity: Severity
    factor: float
    long_s: float
    short_s: float
    after_s: float = 0.0

    @classmethod
    def of_budget(cls, severity: Severity, share: float, within_s: float, period_s: float) -> "Burn":
        """Return the rule that a share of the budget is not to be used up within some time."""
        return cls(severity, share * period_s / within_s, within_s, within_s / 12)


DEFAULT_BURNS: Final = (
    Burn(Severity.PAGE, 14.4, HOUR_S, HOUR_S / 12),
    Burn(Severity.PAGE, 6.0, 6 * HOUR_S, HOUR_S / 2),
    Burn(Severity.TICKET, 3.0, DAY_S, 2 * HOUR_S),
    Burn(Severity.TICKET, 1.0, 3 * DAY_S, 6 * HOUR_S),
)
"""Rules of an objective that names none. Source: Google, "The Site Reliability Workbook", 2018, chapter 5, table 5-8."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Which series an objective is about; an empty part means any.

    Args:
        service: Name of the service.
        model: Name of the model.
        version: Version of the model.
        slice: Attribute name and value, where only one slice of the rows counts.
    """

    service: str = ""
    model: str = ""
    version: str = ""
    slice: tuple[str, str] | None = None

    def takes(self, series: Series) -> bool:
        """Return whether rows of a key belong to it; every row has one key of its series and one of each slice."""
        parts = ((self.service, series.service), (self.model, series.model), (self.version, series.version))
        return self.slice == series.slice and all(wanted in {"", got} for wanted, got in parts)

    def __str__(self) -> str:
        text = " / ".join(part for part in (self.service, f"{self.model} {self.version}".strip()) if part)
        return f"{text} [{'='.join(self.slice)}]" if self.slice else text


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective of one SLO.

    Args:
        name: Distinct among all.
        selector: Whose rows count.
        source: What of a row is looked at.
        op: How it must stand to the limit; without meaning for errors.
        limit: The limit, in the source's own unit: seconds for latency; without meaning for errors.
        target: Share of good rows that is asked for, above 0 and below 1.
        period_s: Period of the budget, seconds; of a calendar its usual length.
        burns: The rules.
        calendar: The calendar that the period follows; None for the time until now.
    """

    name: str
    selector: Selector
    source: Source
    op: Op
    limit: float
    target: float
    period_s: float = PERIOD_S
    burns: Sequence[Burn] = DEFAULT_BURNS
    calendar: Calendar | None = None

    @property
    def budget(self) -> float:
        """Share of bad rows that is allowed."""
        return 1.0 - self.target
