"""OpenSLO documents, right and wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from spanward_processor.slo.objective import DEFAULT_BURNS, MOST, Burn, Objective, Op, Selector, Severity, Source
from spanward_processor.slo.openslo import Alert, OpenSloError, read

EXAMPLE = Path(__file__).parents[3] / "otel-config" / "slo.yaml"

SUCCESS = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: success}
spec:
  service: support
  indicatorRef: ratio
  objectives: [{target: 0.999}]
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: ratio}
spec:
  ratioMetric:
    counter: true
    good: {metricSource: {type: spanward, spec: {model: classifier, status: ok}}}
    total: {metricSource: {type: spanward, spec: {model: classifier}}}
"""
POLICY = """
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: policy}
spec: {alertWhenBreaching: true, conditions: [{conditionRef: fast}], notificationTargets: []}
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast}
spec:
  severity: page
  condition: {kind: burnrate, threshold: 2, lookbackWindow: 1h, alertAfter: 5m}
"""
MONTH = "{duration: 1M, isRolling: false, calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Paris}}"
WRONG = """
apiVersion: openslo/v2
kind: SLO
metadata: {name: Bad_Name}
spec:
  service: x
  indicatorRef: nowhere
  timeWindow: [{duration: 1M}]
  objectives: [{target: 1.5}]
  extra: 1
---
kind: Foo
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: other}
spec:
  service: x
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: up}}}
        total: {metricSource: {type: spanward}}
  objectives: []
---
- a list
"""


def read_text(text: str, *alerts: Alert) -> tuple[Objective, ...]:
    """Return the objectives of documents."""
    documents: list[Any] = list(yaml.safe_load_all(text))
    return read([(f"d[{number}]", document) for number, document in enumerate(documents)], (), alerts)


def errors_of(text: str) -> tuple[str, ...]:
    """Return what is wrong with documents."""
    with pytest.raises(OpenSloError) as caught:
        read_text(text)
    return caught.value.errors


def test_the_example_asks_for_what_it_says() -> None:
    """The shipped file holds success, both latencies and confidence, each with its limit, target and rules."""
    success, p99, p999, confidence = read((), [EXAMPLE])

    assert (success.source, success.target, success.burns) == (Source.ERROR, 0.9999, DEFAULT_BURNS)
    assert (p99.name, p99.source, p99.op, p99.limit, p99.target) == (
        "support-latency/p99",
        Source.LATENCY,
        Op.LT,
        0.15,
        0.99,
    )
    assert (p999.limit, p999.target) == (0.2, 0.999)
    assert confidence.burns == (Burn(Severity.TICKET, 3.0, 6 * 3600.0, 1800.0, 300.0),)


def test_references_are_followed() -> None:
    """Indicator, policy and condition may stand in documents of their own."""
    text = SUCCESS.replace("[{target: 0.999}]", "[{target: 0.999}]\n  alertPolicies: [{alertPolicyRef: policy}]")
    (found,) = read_text(f"{text}---{POLICY}")

    assert found.selector == Selector("support", "classifier")
    assert found.burns == (Burn(Severity.PAGE, 2.0, 3600.0, 300.0, 300.0),)


def test_rules_may_be_shares_of_the_budget() -> None:
    """2 % of a month's budget in an hour is asked of every SLO without a policy of its own."""
    (found,) = read_text(SUCCESS, Alert(Severity.PAGE, 0.02, 3600.0))

    assert found.burns == (Burn(Severity.PAGE, 14.4, 3600.0, 300.0),)


def test_a_budget_may_follow_the_calendar() -> None:
    """The month in Paris is kept as such; shares of its budget are shares of thirty days."""
    (found,) = read_text(
        SUCCESS.replace("  objectives:", f"  timeWindow: [{MONTH}]\n  objectives:"), Alert(Severity.PAGE, 0.02, 3600.0)
    )

    assert str(found.calendar) == "a calendar month"
    assert [burn.factor for burn in found.burns] == [pytest.approx(14.4)]


def test_one_slice_may_be_meant() -> None:
    """A metric source names an attribute and its value."""
    sliced = "spec: {model: classifier, slice: {spanward.channel: web}"
    text = SUCCESS.replace("spec: {model: classifier", sliced)

    assert read_text(text)[0].selector.slice == ("spanward.channel", "web")


def test_all_mistakes_are_told_at_once() -> None:
    """Each line is `path: rule, got value`."""
    assert errors_of(WRONG) == (
        "d[0].apiVersion: must be openslo/v1, got 'openslo/v2'",
        "d[0].metadata.name: must be lower-case letters, digits, '-' and '.', at most 253, got 'Bad_Name'",
        "d[0].spec.timeWindow[0]: duration must be a number and one of m, h, d, w, such as 5m or 30d; only those are kept, got 1M",
        "d[0].spec.objectives[0].target: must be less than 1, got 1.5",
        "d[0].spec.extra: must be a known key",
        "d[1].apiVersion: must be openslo/v1, got None",
        "d[1].kind: must be one of SLO, SLI, AlertPolicy, AlertCondition, AlertNotificationTarget, DataSource, Service, got 'Foo'",
        "d[2].spec.indicator.spec.ratioMetric.good.metricSource.type: must be 'spanward', got 'Prometheus'",
        "d[2].spec.indicator.spec.ratioMetric.good.metricSource.spec.query: must be a known key",
        "d[2].spec.objectives: must hold at least one",
        "d[3]: must be a mapping, got list",
    )


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("indicatorRef: ratio", "indicatorRef: other", "must name a SLI of these documents, got 'other'"),
        ("classifier, status: ok", "classifier, status: error", "must ask for status: ok in good"),
        (
            "target: 0.999",
            "target: 0.9, op: lt, value: 1",
            "must have op and value with a thresholdMetric, and only with one",
        ),
        ("target: 0.999", "displayName: none", "must have target or targetPercent, and not both"),
        (
            "spec: {model: classifier}}}",
            "spec: {model: other}}}",
            "must count the same rows in total, apart from their status",
        ),
        ("  objectives:", "  timeWindow: [{duration: 20w}]\n  objectives:", "must be at most 92d, got 20w"),
        ("  objectives:", f"  timeWindow: [{MONTH}]\n  objectives:".replace("1M", "2Q"), "must be at most 92d, got 2Q"),
        ("  objectives:", f"  timeWindow: [{MONTH}]\n  objectives:".replace("1M", "1X"), "such as 1M, got 1X"),
        ("  objectives:", f"  timeWindow: [{MONTH}]\n  objectives:".replace("Paris", "Troy"), "got Europe/Troy"),
        (
            "  objectives:",
            "  timeWindow: [{duration: 1d, isRolling: false}]\n  objectives:",
            "must have a calendar where isRolling is false, and only there",
        ),
        ("  objectives:", "  budgetingMethod: Timeslices\n  objectives:", "must be 'Occurrences', got 'Timeslices'"),
        ("name: ratio}", "name: ratio}\nmore: {}", ""),
    ],
)
def test_one_mistake_is_told_by_its_rule(old: str, new: str, rule: str) -> None:
    """What cannot be kept is refused, with the reason."""
    text = SUCCESS.replace(old, new)
    if not rule:
        assert read_text(text)  # what stands beside the parts of a document is nobody's business
        return
    (line,) = errors_of(text)
    assert rule in line


def test_too_many_objectives_are_refused() -> None:
    """There may be 64 in all."""
    goals = ", ".join(f"{{displayName: g{number}, target: 0.9}}" for number in range(MOST + 1))

    assert len(read_text(SUCCESS.replace("{target: 0.999}", goals.rpartition(", {")[0]))) == MOST
    assert errors_of(SUCCESS.replace("{target: 0.999}", goals)) == (
        f"SLOs: must have at most {MOST} objectives in all, got 65",
    )


def test_names_are_distinct() -> None:
    """Two SLOs of one name are a mistake."""
    assert errors_of(f"{SUCCESS}---{SUCCESS}")[0] == "d[2]: must be the only SLO of the name success"


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """A missing file, one that is no text and one that is no YAML each have their line."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "broken").write_text("a: [")
    with pytest.raises(OpenSloError) as caught:
        read((), [tmp_path / name for name in ("missing", "binary", "broken")])

    assert [line.partition(": ")[2].split(",")[0] for line in caught.value.errors] == [
        "must be a readable file",
        "must be UTF-8 text",
        "must be valid YAML",
    ]
