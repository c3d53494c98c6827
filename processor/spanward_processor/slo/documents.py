"""OpenSLO documents, as far as they are ours to read, checked.

Source: OpenSLO specification v1, https://github.com/OpenSLO/OpenSLO.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, NaiveDatetime, Tag, model_validator
from pydantic.alias_generators import to_camel

from spanward_processor.lengths import length_s
from spanward_processor.slo.calendar import Calendar, calendar_of

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_DIGITS: Final = 12  # of a share that was written in percent: 99.99 is 0.9999, and not a little less
_LONGEST_NAME: Final = 253  # as of DNS, which the specification follows
REFERENCE: Final = "(reference)"
INLINE: Final = "(inline)"

_T = TypeVar("_T")


def _checked_length(text: str) -> str:
    length_s(text)
    return text


def _name(text: str) -> str:
    if not (_NAME.fullmatch(text) and len(text) <= _LONGEST_NAME):
        raise ValueError(f"must be lower-case letters, digits, '-' and '.', at most {_LONGEST_NAME}")
    return text


def _at_least_one(items: tuple[_T, ...]) -> tuple[_T, ...]:
    if not items:
        raise ValueError("must hold at least one")
    return items


def _at_most_one(items: tuple[_T, ...]) -> tuple[_T, ...]:
    if len(items) > 1:
        raise ValueError("must hold at most one")
    return items


def _is_reference(name: str) -> Discriminator:
    """Return what tells a reference from a part that stands in its place."""
    return Discriminator(lambda value: REFERENCE if isinstance(value, dict) and name in value else INLINE)


Length = Annotated[str, AfterValidator(_checked_length)]
Name = Annotated[str, AfterValidator(_name)]


class Part(BaseModel):
    """A mapping of a document; a key that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Metadata(Part):
    """What a document is called."""

    name: Name
    display_name: str = ""
    labels: Mapping[str, Any] = {}
    annotations: Mapping[str, str] = {}


class Rows(Part):
    """Whose rows, and what of them: the part of a metric source that is ours."""

    model: str = ""
    version: str = ""
    slice: Annotated[Mapping[str, str], Field(max_length=1)] = {}
    status: Literal["ok", "error"] | None = None
    value: Literal["latency_s", "input_tokens", "output_tokens", "input_size", "sparsity", "score"] | None = None


class MetricSource(Part):
    """Where a metric comes from: only this processor will do."""

    metric_source_ref: str = ""
    type: Literal["spanward"]
    spec: Rows = Rows()


class Metric(Part):
    """One metric of an indicator."""

    metric_source: MetricSource


class Ratio(Part):
    """Good or bad rows among all."""

    counter: Literal[True] = True
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric

    @model_validator(mode="after")
    def _one_side(self) -> "Ratio":
        side = self.good or self.bad
        if side is None or (self.good and self.bad):
            raise ValueError("must have good or bad, and not both")
        wanted = "ok" if self.good else "error"
        if side.metric_source.spec.status != wanted:
            raise ValueError(f"must ask for status: {wanted} in {'good' if self.good else 'bad'}")
        if side.metric_source.spec.model_copy(update={"status": None}) != self.total.metric_source.spec:
            raise ValueError("must count the same rows in total, apart from their status")
        return self


class Indicator(Part):
    """What is measured: a ratio, or values to be held against a limit."""

    description: Annotated[str, Field(max_length=1050)] = ""
    ratio_metric: Ratio | None = None
    threshold_metric: Metric | None = None

    @model_validator(mode="after")
    def _one_metric(self) -> "Indicator":
        if (self.ratio_metric is None) == (self.threshold_metric is None):
            raise ValueError("must have ratioMetric or thresholdMetric, and not both")
        if self.threshold_metric and self.threshold_metric.metric_source.spec.value is None:
            raise ValueError("must name a value in thresholdMetric.metricSource.spec")
        return self


class InlineIndicator(Part):
    """An indicator that stands in its SLO."""

    metadata: Metadata | None = None
    spec: Indicator


class Burnrate(Part):
    """How fast the budget burns, and for how long, when it is an alert."""

    kind: Literal["burnrate"] = "burnrate"
    op: Literal["gt", "gte"] = "gte"
    threshold: Annotated[float, Field(gt=0)]
    lookback_window: Length
    alert_after: str = "0m"


class Condition(Part):
    """When to alert, and how urgently."""

    description: str = ""
    severity: str
    condition: Burnrate


class InlineCondition(Part):
    """A condition that stands in its policy."""

    kind: Literal["AlertCondition"]
    metadata: Metadata | None = None
    spec: Condition


class ConditionRef(Part):
    """A condition that stands elsewhere."""

    condition_ref: str


AnyCondition = Annotated[
    Annotated[InlineCondition, Tag(INLINE)] | Annotated[ConditionRef, Tag(REFERENCE)], _is_reference("conditionRef")
]


class Policy(Part):
    """What to alert about; who is told is up to the backend of findings."""

    description: str = ""
    alert_when_no_data: bool = False
    alert_when_resolved: bool = False
    alert_when_breaching: bool = True
    conditions: Annotated[tuple[AnyCondition, ...], AfterValidator(_at_least_one), AfterValidator(_at_most_one)]
    notification_targets: tuple[Any, ...] = ()


class InlinePolicy(Part):
    """A policy that stands in its SLO."""

    kind: Literal["AlertPolicy"]
    metadata: Metadata | None = None
    spec: Policy


class PolicyRef(Part):
    """A policy that stands elsewhere."""

    alert_policy_ref: str


AnyPolicy = Annotated[
    Annotated[InlinePolicy, Tag(INLINE)] | Annotated[PolicyRef, Tag(REFERENCE)], _is_reference("alertPolicyRef")
]


class Start(Part):
    """When a period of the calendar begins, and where."""

    start_time: NaiveDatetime
    time_zone: str


class TimeWindow(Part):
    """The period of the budget: the time until now, or one that follows the calendar."""

    duration: str
    is_rolling: bool = True
    calendar: Start | None = None

    @model_validator(mode="after")
    def _kept(self) -> "TimeWindow":
        if self.is_rolling == (self.calendar is not None):
            raise ValueError("must have a calendar where isRolling is false, and only there")
        _ = self.usual_s  # which raises where it has none
        return self

    @property
    def period(self) -> Calendar | None:
        """The calendar that it follows; None for a rolling one."""
        at = self.calendar
        return calendar_of(self.duration, at.start_time, at.time_zone) if at else None

    @property
    def usual_s(self) -> float:
        """How long it is, or usually is, in seconds."""
        if self.period:
            return self.period.usual_s
        try:
            return length_s(self.duration)
        except ValueError as error:
            raise ValueError(f"duration {error}, got {self.duration}") from error


class Goal(Part):
    """One objective: the share of good rows, and for values what makes a row good."""

    display_name: str = ""
    op: Literal["lte", "lt", "gte", "gt"] | None = None
    value: float | None = None
    target: Annotated[float, Field(gt=0, lt=1)] | None = None
    target_percent: Annotated[float, Field(gt=0, lt=100)] | None = None

    @model_validator(mode="after")
    def _one_target(self) -> "Goal":
        if (self.target is None) == (self.target_percent is None):
            raise ValueError("must have target or targetPercent, and not both")
        return self

    @property
    def share(self) -> float:
        """What is asked for, as a share."""
        return self.target if self.target is not None else round((self.target_percent or 0.0) / 100, _DIGITS)


class Slo(Part):
    """One SLO."""

    description: Annotated[str, Field(max_length=1050)] = ""
    service: str
    indicator: InlineIndicator | None = None
    indicator_ref: str | None = None
    time_window: Annotated[tuple[TimeWindow, ...], AfterValidator(_at_most_one)] = ()
    budgeting_method: Literal["Occurrences"] = "Occurrences"
    objectives: Annotated[tuple[Goal, ...], AfterValidator(_at_least_one)]
    alert_policies: tuple[AnyPolicy, ...] = ()

    @model_validator(mode="after")
    def _one_indicator(self) -> "Slo":
        if (self.indicator is None) == (self.indicator_ref is None):
            raise ValueError("must have indicator or indicatorRef, and not both")
        return self


KINDS: Final[Mapping[str, type[BaseModel]]] = {
    "SLO": Slo,
    "SLI": Indicator,
    "AlertPolicy": Policy,
    "AlertCondition": Condition,
}
PASSED_OVER: Final = frozenset({"DataSource", "Service", "AlertNotificationTarget"})  # nothing in them is ours to do
