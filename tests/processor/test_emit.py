"""How a finding is told: as a record for backends and as a line of the log."""

import logging
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from spanward import semconv
from spanward_processor.emit import encode_findings, log_finding
from spanward_processor.findings import Finding, Series, Severity, State

HOSTILE = 'x"\nlevel=error \x1b[2J\u202e'
FINDING = Finding(
    id="a" * 32,
    incident="b" * 32,
    kind="quality",
    state=State.OPENED,
    severity=Severity.WARNING,
    series=Series("support-desk", HOSTILE, "1.0", ("spanward.channel", HOSTILE)),
    detector="baseline",
    aspect="decision",
    opened_ns=10**10,
    updated_ns=2 * 10**10,
    window_ns=10**10,
    observed=f"{HOSTILE} 80 %",
    baseline=f"{HOSTILE} 1 %",
    log10_e=7.0,
    p=1e-6,
    n=60,
    budget_per_day=1.0,
    reason=f"Decision mix shifted: {HOSTILE} 80 %.",
)


def record_of(finding: Finding) -> LogRecord:
    """Return the record of one finding."""
    sent = ExportLogsServiceRequest.FromString(encode_findings([finding], "0"))
    return sent.resource_logs[0].scope_logs[0].log_records[0]


def test_sentences_of_a_record_are_escaped_and_names_are_as_they_were_sent() -> None:
    """A sentence that becomes a line of text forges no other line; a name is found again on spans."""
    record = record_of(FINDING)
    texts = {attribute.key: attribute.value.string_value for attribute in record.attributes}

    assert record.body.string_value == r'Decision mix shifted: x"\nlevel=error \x1b[2J\u202e 80 %.'
    assert texts[semconv.FINDING_OBSERVED] == r'x"\nlevel=error \x1b[2J\u202e 80 %'
    assert texts[semconv.FINDING_BASELINE] == r'x"\nlevel=error \x1b[2J\u202e 1 %'
    assert texts[semconv.MODEL_NAME] == HOSTILE
    assert texts[semconv.FINDING_SLICE] == f"spanward.channel={HOSTILE}"


@pytest.mark.parametrize(
    ("severity", "state", "number", "text", "level"),
    [
        (Severity.CRITICAL, State.OPENED, SeverityNumber.SEVERITY_NUMBER_ERROR, "ERROR", logging.WARNING),
        (Severity.WARNING, State.UPDATED, SeverityNumber.SEVERITY_NUMBER_WARN, "WARN", logging.WARNING),
        (Severity.INFO, State.OPENED, SeverityNumber.SEVERITY_NUMBER_INFO, "INFO", logging.INFO),
        (Severity.CRITICAL, State.RESOLVED, SeverityNumber.SEVERITY_NUMBER_INFO, "INFO", logging.INFO),
    ],
)
def test_what_is_over_or_no_alarm_is_told_as_info(
    severity: Severity,
    state: State,
    number: int,
    text: str,
    level: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who is woken by severity is not woken by an end; the line names what a record is found by."""
    finding = replace(FINDING, severity=severity, state=state)
    with caplog.at_level(logging.INFO):
        log_finding(finding)
    (line,) = caplog.records
    record = record_of(finding)

    assert (record.severity_number, record.severity_text, line.levelno) == (number, text, level)
    assert f"kind=quality aspect=decision id={'a' * 32} incident={'b' * 32} reason=" in line.getMessage()


def test_a_finding_that_stands_alone_is_an_incident_of_its_own() -> None:
    """Objectives and canaries group nothing; a rule that goes by the incident's id misses none of theirs."""
    record = record_of(replace(FINDING, incident=""))

    assert [item.value.string_value for item in record.attributes if item.key == semconv.FINDING_INCIDENT_ID] == [
        "a" * 32
    ]
