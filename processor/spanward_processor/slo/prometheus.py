"""Objectives as Prometheus rules in the shape of Sloth's, from the counters that this processor exports.

For teams whose alerts live in Prometheus: the same budgets there, by the same multi-window rules. Without the guard for few
requests, which PromQL cannot say.

Rules about the period of a budget are left out where that follows the calendar: PromQL has no window that begins with the month.

Source: Sloth v0.11, https://sloth.dev/, its names of rules and labels.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from spanward import semconv
from spanward_processor.lengths import prometheus_length
from spanward_processor.slo.objective import DAY_S, Burn, Objective, Severity
from spanward_processor.slo.words import show_goal

_EVENTS: Final = semconv.METRIC_SLO_EVENTS.replace(".", "_")  # as `telemetry.listen` shows it to Prometheus

Rule = dict[str, Any]


def rules_of(objectives: Sequence[Objective]) -> dict[str, Any]:
    """Return a rules file: for each objective a group of recordings, one of facts, and one of alerts."""
    return {"groups": [group for objective in objectives for group in _groups(objective)]}


def _groups(objective: Objective) -> Iterable[dict[str, Any]]:
    name = f"{objective.selector.service}-{objective.name}".replace("/", "-").replace(" ", "-")
    yield {"name": f"sloth-slo-sli-recordings-{name}", "rules": list(_recordings(objective))}
    yield {"name": f"sloth-slo-meta-recordings-{name}", "rules": list(_facts(objective))}
    if objective.burns:
        yield {"name": f"sloth-slo-alerts-{name}", "rules": list(_alerts(objective))}


def _labels(objective: Objective) -> dict[str, str]:
    service = objective.selector.service
    return {"sloth_id": f"{service}-{objective.name}", "sloth_service": service, "sloth_slo": objective.name}


def _matching(objective: Objective) -> str:
    labels = _labels(objective)
    return "{" + ", ".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _recordings(objective: Objective) -> Iterable[Rule]:
    period = prometheus_length(objective.period_s)
    lengths = sorted({length for burn in objective.burns for length in (burn.short_s, burn.long_s)})
    who = f'slo="{_escaped(objective.name)}"'
    for window in map(prometheus_length, lengths):
        bad = f'sum(rate({_EVENTS}{{{who}, outcome="bad"}}[{window}]))'
        yield {
            "record": f"slo:sli_error:ratio_rate{window}",
            "expr": f"({bad})\n/\n(sum(rate({_EVENTS}{{{who}}}[{window}])))",
            "labels": _labels(objective) | {"sloth_window": window},
        }
    if objective.period_s not in lengths and not objective.calendar:
        shortest = prometheus_length(lengths[0]) if lengths else "5m"
        series = f"slo:sli_error:ratio_rate{shortest}{_matching(objective)}"
        yield {
            "record": f"slo:sli_error:ratio_rate{period}",
            "expr": f"sum_over_time({series}[{period}])\n/ ignoring (sloth_window)\ncount_over_time({series}[{period}])",
            "labels": _labels(objective) | {"sloth_window": period},
        }


def _facts(objective: Objective) -> Iterable[Rule]:
    labels, who = _labels(objective), _matching(objective)
    lengths = sorted(burn.short_s for burn in objective.burns)
    period, shortest = prometheus_length(objective.period_s), prometheus_length(lengths[0]) if lengths else "5m"
    on = "on(sloth_id, sloth_slo, sloth_service) group_left"
    expressions = {
        "slo:objective:ratio": f"vector({objective.target:.12g})",
        "slo:error_budget:ratio": f"vector(1-{objective.target:.12g})",
        "slo:time_period:days": f"vector({objective.period_s / DAY_S:g})",
        "slo:current_burn_rate:ratio": f"slo:sli_error:ratio_rate{shortest}{who}\n/ {on}\nslo:error_budget:ratio{who}",
    }
    of_period = {
        "slo:period_burn_rate:ratio": f"slo:sli_error:ratio_rate{period}{who}\n/ {on}\nslo:error_budget:ratio{who}",
        "slo:period_error_budget_remaining:ratio": f"1 - slo:period_burn_rate:ratio{who}",
    }
    for name, expression in (expressions | ({} if objective.calendar else of_period)).items():
        yield {"record": name, "expr": expression, "labels": labels}
    told = {
        "sloth_mode": "cli-gen-spanward",
        "sloth_spec": "openslo/v1",
        "sloth_objective": f"{100 * objective.target:.12g}",
    }
    yield {"record": "sloth_slo_info", "expr": "vector(1)", "labels": labels | told}


def _alerts(objective: Objective) -> Iterable[Rule]:
    for severity in Severity:
        burns = [burn for burn in objective.burns if burn.severity is severity]
        if burns:
            yield {
                "alert": f"{objective.name} burns its budget",
                "expr": "\nor\n".join(_condition(objective, burn) for burn in burns),
                "labels": {"sloth_severity": severity.value},
                "annotations": {
                    "summary": "{{$labels.sloth_service}} {{$labels.sloth_slo}}: error budget burns too fast",
                    "title": f"({severity.value}) {objective.selector}: {show_goal(objective)}",
                },
            } | ({"for": prometheus_length(burns[0].after_s)} if burns[0].after_s else {})


def _condition(objective: Objective, burn: Burn) -> str:
    who, needed = _matching(objective), f"({burn.factor:.6g} * {1 - objective.target:.12g})"
    windows = (prometheus_length(length) for length in (burn.short_s, burn.long_s))
    sides = (f"max(slo:sli_error:ratio_rate{window}{who} > {needed}) without (sloth_window)" for window in windows)
    return "(\n    " + "\n    and\n    ".join(sides) + "\n)"
