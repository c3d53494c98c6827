"""Objectives as Prometheus rules, checked by Prometheus' own tool."""

import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from requiring import require_peer
from spanward_processor.slo.calendar import calendar_of
from spanward_processor.slo.openslo import read
from spanward_processor.slo.prometheus import rules_of

EXAMPLE = Path(__file__).parents[3] / "otel-config" / "slo.yaml"
SCRIPT = Path(__file__).parents[2] / "peers" / "promtool.sh"


def test_each_objective_has_recordings_facts_and_alerts() -> None:
    """The groups are named as Sloth names them, and an alert asks both windows."""
    groups = rules_of(read((), [EXAMPLE]))["groups"]

    assert [group["name"] for group in groups[:3]] == [
        "sloth-slo-sli-recordings-support-support-success",
        "sloth-slo-meta-recordings-support-support-success",
        "sloth-slo-alerts-support-support-success",
    ]
    page = groups[2]["rules"][0]
    assert page["labels"] == {"sloth_severity": "page"}
    assert page["expr"].count("slo:sli_error:ratio_rate5m") == page["expr"].count("slo:sli_error:ratio_rate1h") == 1


def test_a_period_of_the_calendar_has_no_rules() -> None:
    """PromQL has no window that begins with the month; alerts and the pace of now are there all the same."""
    (objective, *_) = read((), [EXAMPLE])
    monthly = replace(objective, calendar=calendar_of("1M", datetime.fromisoformat("2026-01-01"), "UTC"))

    recorded = [rule.get("record", "") for group in rules_of([monthly])["groups"] for rule in group["rules"]]

    assert not [name for name in recorded if "period_" in name or name.endswith("rate30d")]
    assert "slo:current_burn_rate:ratio" in recorded


@pytest.mark.slow
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    """`promtool check rules` finds nothing wrong."""
    require_peer(
        "promtool", shutil.which("go") is not None, "Go is absent, with which tests/peers/promtool.sh builds it"
    )
    built = subprocess.run([str(SCRIPT)], check=True, capture_output=True, text=True, timeout=1800)
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rules_of(read((), [EXAMPLE]))))
    checked = subprocess.run(
        [built.stdout.splitlines()[-1], "check", "rules", str(file)], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stderr
    assert "SUCCESS" in checked.stdout


@pytest.mark.parametrize("name", ['a"b', "a\\b"])
def test_labels_are_escaped(name: str) -> None:
    """A name cannot end the text of a label in an expression."""
    (objective, *_) = read((), [EXAMPLE])

    expressions = [
        rule["expr"] for group in rules_of([replace(objective, name=name)])["groups"] for rule in group["rules"]
    ]
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    assert all(escaped in expression for expression in expressions if "slo=" in expression)
