"""How a finding is told: as a record for backends and as a line of the log."""

import asyncio
import itertools
import logging
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from spanward import semconv
from spanward_processor.configuration.settings import Forwarding
from spanward_processor.counts import Counts
from spanward_processor.emit import MOST_WAITING, Emitter, encode_findings, log_finding
from spanward_processor.exporters.base import Taken
from spanward_processor.findings import Finding, Series, Severity, State
from spanward_processor.forward.backends import Backend
from spanward_processor.forward.direct import Direct
from spanward_processor.signals import Encoded, Signal

FOUND_NS = 5 * 10**10
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
    sent = ExportLogsServiceRequest.FromString(encode_findings([finding], "0", FOUND_NS))
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


def test_a_record_says_when_it_was_so_and_when_it_was_found() -> None:
    """Its time is the end of the window it speaks of; observed it was when the processor came to judge that window."""
    record = record_of(FINDING)

    assert (record.time_unix_nano, record.observed_time_unix_nano) == (FINDING.updated_ns, FOUND_NS)


def test_a_record_names_the_client_that_is_meant() -> None:
    """An alert can be grouped by client; a finding about nobody in particular has no such attribute."""

    def named(finding: Finding) -> dict[str, str]:
        return {one.key: one.value.string_value for one in record_of(finding).attributes}

    assert named(replace(FINDING, client="9f3ac1"))[semconv.CLIENT_ID] == "9f3ac1"
    assert semconv.CLIENT_ID not in named(FINDING)


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


class Kept:
    """An exporter to memory."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def export(self, signal: Signal, parts: Sequence[Encoded], timeout_s: float) -> Taken:
        """Keep a request of logs."""
        assert (signal, timeout_s > 0) == (Signal.LOGS, True)
        self.requests += [bytes(part) for part in parts]
        return Taken()

    async def close(self) -> None:
        """Nothing is open."""


def emitter_to(kept: Kept, counts: Counts) -> Emitter:
    """Return an emitter whose clock counts its looks."""
    delivery = Direct([Backend("b", kept, 5.0)], Forwarding(), random.Random(0))
    return Emitter(delivery, counts, "0", itertools.count(1).__next__)


def test_findings_are_observed_when_they_are_found_not_when_a_backend_takes_them() -> None:
    """Two findings wait for a while; each record keeps its own time."""
    kept, counts = Kept(), Counts()

    async def tell() -> None:
        emitter = emitter_to(kept, counts)
        emitter.put((FINDING,))
        emitter.put((FINDING, FINDING))
        emitter.put(())
        running = asyncio.create_task(emitter.run())
        await emitter.drain(10.0)
        running.cancel()

    asyncio.run(tell())

    sent = [ExportLogsServiceRequest.FromString(one) for one in kept.requests]
    times = [[one.scope_logs[0].log_records[0].observed_time_unix_nano for one in each.resource_logs] for each in sent]
    assert (times, counts.dropped) == ([[1], [2, 2]], 0)


def test_findings_that_no_backend_takes_are_bounded_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the bound the oldest go, and at the end all that is left; each drop is counted and logged with its reason."""
    kept, counts = Kept(), Counts()

    async def tell() -> None:
        emitter = emitter_to(kept, counts)
        for _ in range(MOST_WAITING + 3):
            emitter.put((FINDING,))
        assert counts.dropped == 3
        await emitter.drain(0.0)

    asyncio.run(tell())

    assert (counts.dropped, kept.requests) == (MOST_WAITING + 3, [])
    assert {record.getMessage().partition("reason=")[2] for record in caplog.records} == {
        "'too many findings wait for a backend'",
        "'the processor stops'",
    }
