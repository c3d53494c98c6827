"""Objectives from OpenSLO documents, every error at once.

What is measured stands in a metric source of the type `spanward`: whose rows (`model`, `version`, `slice`), and for a threshold
which of their values (`value`). Rows of the SLO's own service count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from spanward_processor.lengths import length_s, prometheus_length
from spanward_processor.slo.documents import (
    INLINE,
    KINDS,
    PASSED_OVER,
    REFERENCE,
    Condition,
    Goal,
    Indicator,
    InlineCondition,
    InlinePolicy,
    Metadata,
    Policy,
    Rows,
    Slo,
    TimeWindow,
)
from spanward_processor.slo.ledger import LEVELS, LONGEST_S
from spanward_processor.slo.objective import (
    DEFAULT_BURNS,
    MOST,
    PERIOD_S,
    Burn,
    Objective,
    Op,
    Selector,
    Severity,
    Source,
)

_SHORTEST_S: Final = 12.0 * LEVELS[0][0]  # of a window: its short one, a twelfth, must still be a stretch long
_ROLLING: Final = TimeWindow(duration=prometheus_length(PERIOD_S))  # of an SLO that names none
_PAGING: Final = {"page", "critical", "sev1", "sev2", "high"}
_RULES: Final = {"missing": "must be given", "extra_forbidden": "must be a known key"}

Lines = list[str]


class OpenSloError(ValueError):
    """Documents cannot be used; `errors` holds one line per mistake."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(self.errors))


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule in terms of the budget: a share of it used up within some time.

    Args:
        severity: Page or ticket.
        share: Of the budget.
        within_s: Seconds.
    """

    severity: Severity
    share: float
    within_s: float


def read(
    inline: Iterable[tuple[str, object]], paths: Sequence[Path], alerts: Sequence[Alert] = ()
) -> tuple[Objective, ...]:
    """Return the objectives of OpenSLO documents.

    Args:
        inline: Documents at hand: where each stands, and what it says.
        paths: YAML files, each of one or more documents.
        alerts: Rules of SLOs that have no alert policy; none stands for the default four.

    Raises:
        OpenSloError: Everything that is wrong with them.
    """
    documents = list(inline)
    errors: Lines = []
    for path in paths:
        try:
            for number, document in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8"))):
                documents.append((f"{path}[{number}]", document))
        except OSError as error:
            errors.append(f"{path}: must be a readable file, got {error.strerror}")
        except UnicodeDecodeError:
            errors.append(f"{path}: must be UTF-8 text")
        except yaml.YAMLError as error:
            errors.append(f"{path}: must be valid YAML, got {' '.join(str(error).split())}")
    shelf = _Shelf(errors, {})
    for place, document in documents:
        shelf.take(place, document)
    found = [
        objective
        for (kind, _), (place, slo) in shelf.parts.items()
        if kind == "SLO" and isinstance(slo, Slo)
        for objective in _objectives(place, slo, shelf, alerts)
    ]
    names = [objective.name for objective in found]
    shelf.errors += [
        f"SLO {name}: must be one of its name" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if len(found) > MOST:
        shelf.errors.append(f"SLOs: must have at most {MOST} objectives in all, got {len(found)}")
    if shelf.errors:
        raise OpenSloError(shelf.errors)
    return tuple(found)


class _Shelf:
    """The documents by kind and name, and what is wrong with them."""

    def __init__(self, errors: Lines, parts: dict[tuple[str, str], tuple[str, BaseModel]]) -> None:
        self.errors = errors
        self.parts = parts
        self._wrong: set[tuple[str, str]] = set()  # parts whose mistakes are told already

    def take(self, place: str, document: object) -> None:
        """Check one document and keep it."""
        if not isinstance(document, dict):
            self.errors.append(f"{place}: must be a mapping, got {type(document).__name__}")
            return
        told = cast("dict[str, object]", document)
        kind, version = str(told.get("kind")), told.get("apiVersion")
        if version != "openslo/v1":
            self.errors.append(f"{place}.apiVersion: must be openslo/v1, got {version!r}")
        if kind in PASSED_OVER:
            return
        if kind not in KINDS:
            self.errors.append(
                f"{place}.kind: must be one of {', '.join([*KINDS, *sorted(PASSED_OVER)])}, got {told.get('kind')!r}"
            )
            return
        metadata = self._checked(f"{place}.metadata", Metadata, told.get("metadata"))
        spec = self._checked(f"{place}.spec", KINDS[kind], told.get("spec"))
        if isinstance(metadata, Metadata) and spec is None:
            self._wrong.add((kind, metadata.name))
        elif isinstance(metadata, Metadata) and spec is not None:
            if (kind, metadata.name) in self.parts:
                self.errors.append(f"{place}: must be the only {kind} of the name {metadata.name}")
            self.parts[kind, metadata.name] = place, spec

    def _checked(self, place: str, model: type[BaseModel], value: object) -> BaseModel | None:
        try:
            return TypeAdapter(model).validate_python(value)
        except ValidationError as error:
            self.errors += _lines(place, error)
            return None

    def find(self, place: str, kind: str, name: str) -> BaseModel | None:
        """Return the part that a reference means."""
        if (kind, name) in self._wrong:
            return None
        if (kind, name) not in self.parts:
            self.errors.append(
                f"{place}: must name {'an' if kind[0] == 'A' else 'a'} {kind} of these documents, got {name!r}"
            )
            return None
        return self.parts[kind, name][1]


def _lines(place: str, error: ValidationError) -> Lines:
    """Return each mistake as `path: rule, got value`."""
    lines: Lines = []
    for one in error.errors():
        parts = (part for part in one["loc"] if part not in {INLINE, REFERENCE})
        path = place + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
        rule = one["msg"].removeprefix("Value error, ").replace("Input should", "must")
        rule = _RULES.get(one["type"], rule)
        told = one["type"] in _RULES or isinstance(one["input"], dict | list | tuple)
        lines.append(f"{path}: {rule}" if told else f"{path}: {rule}, got {one['input']!r}")
    return lines


def _objectives(place: str, slo: Slo, shelf: _Shelf, alerts: Sequence[Alert]) -> Iterable[Objective]:
    name = next(name for (kind, name), (at, _) in shelf.parts.items() if kind == "SLO" and at == place)
    indicator = (
        slo.indicator.spec
        if slo.indicator
        else shelf.find(f"{place}.spec.indicatorRef", "SLI", slo.indicator_ref or "")
    )
    window = slo.time_window[0] if slo.time_window else _ROLLING
    if window.usual_s > LONGEST_S:
        shelf.errors.append(
            f"{place}.spec.timeWindow[0].duration: must be at most {LONGEST_S // 86_400}d, got {window.duration}"
        )
        return
    asked = tuple(Burn.of_budget(alert.severity, alert.share, alert.within_s, window.usual_s) for alert in alerts)
    rules = _burns(place, slo, shelf) or asked or DEFAULT_BURNS
    if not isinstance(indicator, Indicator):
        return
    for number, goal in enumerate(slo.objectives):
        own = name if len(slo.objectives) == 1 else f"{name}/{goal.display_name or number}"
        at = f"{place}.spec.objectives[{number}]"
        if (indicator.threshold_metric is not None) != (goal.value is not None) or (goal.op is None) != (
            goal.value is None
        ):
            shelf.errors.append(f"{at}: must have op and value with a thresholdMetric, and only with one")
            continue
        yield _objective(own, slo.service, indicator, goal, window, rules)


def _objective(
    name: str, service: str, indicator: Indicator, goal: Goal, window: TimeWindow, burns: Sequence[Burn]
) -> Objective:
    metric = indicator.threshold_metric or (indicator.ratio_metric.total if indicator.ratio_metric else None)
    rows = metric.metric_source.spec if metric else Rows()
    source = Source.ERROR if indicator.ratio_metric else Source((rows.value or "").removesuffix("_s"))
    return Objective(
        name=name,
        selector=Selector(service, rows.model, rows.version, next(iter(rows.slice.items()), None)),
        source=source,
        op=Op[(goal.op or "lte").upper()],
        limit=goal.value or 0.0,
        target=goal.share,
        period_s=window.usual_s,
        burns=burns,
        calendar=window.period,
    )


def _burns(place: str, slo: Slo, shelf: _Shelf) -> tuple[Burn, ...]:
    """Return the rules of an SLO's alert policies."""
    found: list[Burn] = []
    for number, given in enumerate(slo.alert_policies):
        at = f"{place}.spec.alertPolicies[{number}]"
        policy = (
            given.spec if isinstance(given, InlinePolicy) else shelf.find(at, "AlertPolicy", given.alert_policy_ref)
        )
        if not isinstance(policy, Policy) or not policy.alert_when_breaching:
            continue
        for one in policy.conditions:
            condition = (
                one.spec if isinstance(one, InlineCondition) else shelf.find(at, "AlertCondition", one.condition_ref)
            )
            if isinstance(condition, Condition):
                found += _burn(at, condition, shelf)
    return tuple(found)


def _burn(place: str, condition: Condition, shelf: _Shelf) -> Iterable[Burn]:
    asked = condition.condition
    window_s = length_s(asked.lookback_window)
    if not _SHORTEST_S <= window_s <= LONGEST_S:
        shelf.errors.append(
            f"{place}: lookbackWindow must be from 1m to {LONGEST_S // 86_400}d, got {asked.lookback_window}"
        )
        return
    try:
        after_s = 0.0 if asked.alert_after in {"0m", "0s", ""} else length_s(asked.alert_after)
    except ValueError as error:
        shelf.errors.append(f"{place}: alertAfter {error}, got {asked.alert_after}")
        return
    severity = Severity.PAGE if condition.severity.lower() in _PAGING else Severity.TICKET
    yield Burn(severity, asked.threshold, window_s, window_s / 12, after_s)
