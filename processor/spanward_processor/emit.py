"""Findings as OTLP log records, delivered in the background, and as lines of our own log.

Source: OpenTelemetry logs data model; `event_name` marks the record as the event `spanward.finding`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from spanward import semconv
from spanward_processor.counts import Counts
from spanward_processor.findings import Finding, Severity, State
from spanward_processor.forward.delivery import Delivery, RefusedError
from spanward_processor.logs import printable
from spanward_processor.signals import Signal

_log = logging.getLogger(__name__)

MOST_WAITING: Final = 1_000  # findings that wait for a backend; beyond it the oldest is dropped

_NUMBERS: Final = {
    Severity.INFO: SeverityNumber.SEVERITY_NUMBER_INFO,
    Severity.WARNING: SeverityNumber.SEVERITY_NUMBER_WARN,
    Severity.CRITICAL: SeverityNumber.SEVERITY_NUMBER_ERROR,
}
_TEXTS: Final = {Severity.INFO: "INFO", Severity.WARNING: "WARN", Severity.CRITICAL: "ERROR"}

_Value = str | int | float | Sequence[str]


def encode_findings(findings: Iterable[Finding], version: str, observed_ns: int) -> bytes:
    """Return an encoded ExportLogsServiceRequest.

    Args:
        findings: What changed; the resource of each record is the service it speaks of.
        version: Version of the processor.
        observed_ns: When the processor found it, Unix nanoseconds: behind event time by the wait for late rows, or by hours in a backlog.
    """
    request = ExportLogsServiceRequest()
    for finding in findings:
        resource = request.resource_logs.add()
        resource.resource.attributes.add(key=semconv.SERVICE_NAME).value.string_value = finding.series.service
        scope = resource.scope_logs.add()
        scope.scope.name, scope.scope.version = "spanward.processor", version
        _fill(scope.log_records.add(observed_time_unix_nano=observed_ns), finding)
    return request.SerializeToString()


def _fill(record: LogRecord, finding: Finding) -> None:
    severity = Severity.INFO if finding.state is State.RESOLVED else finding.severity
    record.time_unix_nano = finding.updated_ns
    record.event_name = semconv.FINDING_EVENT
    record.severity_number, record.severity_text = _NUMBERS[severity], _TEXTS[severity]
    record.body.string_value = printable(finding.reason)
    if finding.example_trace_id:
        record.trace_id = bytes.fromhex(finding.example_trace_id)
    for key, value in attributes_of(finding).items():
        _set(record.attributes.add(key=key).value, value)


def attributes_of(finding: Finding) -> dict[str, _Value]:
    """Return a finding's attributes, those without a value left out.

    Sentences are escaped, as they go on into lines of text; names stay as senders wrote them, to be compared with those of spans.
    """
    series, technique = finding.series, finding.technique
    attributes: dict[str, _Value] = {
        semconv.FINDING_ID: finding.id,
        semconv.FINDING_INCIDENT_ID: finding.incident or finding.id,
        semconv.FINDING_RECURRENCES: finding.recurrences,
        semconv.FINDING_KIND: finding.kind,
        semconv.FINDING_STATE: finding.state.value,
        semconv.FINDING_SEVERITY: finding.severity.value,
        semconv.FINDING_DETECTOR: finding.detector,
        semconv.FINDING_ASPECT: finding.aspect,
        semconv.FINDING_OBSERVED: printable(finding.observed),
        semconv.FINDING_BASELINE: printable(finding.baseline),
        semconv.FINDING_EVIDENCE_LOG10_E: finding.log10_e,
        semconv.FINDING_EVIDENCE_P: finding.p,
        semconv.FINDING_EVIDENCE_COUNT: finding.n,
        semconv.FINDING_BUDGET_PER_DAY: finding.budget_per_day,
        semconv.FINDING_WINDOW_START: finding.updated_ns - finding.window_ns,
        semconv.FINDING_WINDOW_END: finding.updated_ns,
        semconv.FINDING_SLICE: "=".join(series.slice) if series.slice else "",
        semconv.FINDING_SLICES: [str(share) for share in finding.slices],
        semconv.MODEL_NAME: series.model,
        semconv.MODEL_VERSION: series.version,
        semconv.CLIENT_ID: finding.client,
    }
    if technique:
        attributes |= {
            semconv.FINDING_TECHNIQUE_ID: technique.id,
            semconv.FINDING_TECHNIQUE_NAME: technique.name,
            semconv.FINDING_TECHNIQUE_MATURITY: technique.maturity,
            semconv.FINDING_TECHNIQUE_DATA_VERSION: technique.data_version,
        }
    return {key: value for key, value in attributes.items() if value not in ("", [])}


def _set(target: AnyValue, value: _Value) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    else:
        target.array_value.values.extend(AnyValue(string_value=text) for text in value)


def log_finding(finding: Finding) -> None:
    """Write a line about a finding that opened, changed or is over; what is over, or no alarm, is no warning."""
    over = finding.state is State.RESOLVED or finding.severity is Severity.INFO
    _log.log(
        logging.INFO if over else logging.WARNING,
        "finding state=%s severity=%s kind=%s aspect=%s id=%s incident=%s reason=%r",
        finding.state,
        finding.severity,
        finding.kind,
        finding.aspect,
        finding.id,
        finding.incident or finding.id,
        finding.reason,
    )


class Emitter:
    """Delivers findings one request at a time, so that a slow backend holds up nothing else.

    Args:
        delivery: Delivers them.
        counts: Where a dropped finding is counted.
        version: Version of the processor.
        clock_ns: Returns the time, Unix nanoseconds.
    """

    def __init__(self, delivery: Delivery, counts: Counts, version: str, clock_ns: Callable[[], int]) -> None:
        self.delivery = delivery
        self._counts = counts
        self._version = version
        self._clock_ns = clock_ns
        # with when they were found
        self._waiting: asyncio.Queue[tuple[int, tuple[Finding, ...]]] = asyncio.Queue(MOST_WAITING)

    def put(self, findings: tuple[Finding, ...]) -> None:
        """Take findings for delivery; when too many wait the oldest are dropped, counted and logged."""
        if not findings:
            return
        if self._waiting.full():
            self._drop(self._waiting.get_nowait()[1], "too many findings wait for a backend")
            self._waiting.task_done()
        self._waiting.put_nowait((self._clock_ns(), findings))

    def _drop(self, findings: tuple[Finding, ...], reason: str) -> None:
        self._counts.dropped += len(findings)
        _log.error("findings dropped count=%d reason=%r", len(findings), reason)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            observed_ns, findings = await self._waiting.get()
            try:
                await self.delivery.deliver(Signal.LOGS, encode_findings(findings, self._version, observed_ns))
            except RefusedError as error:
                self._drop(findings, str(error))
            finally:
                self._waiting.task_done()

    async def drain(self, within_s: float) -> None:
        """Wait until everything taken is delivered, or the time is over."""
        try:
            await asyncio.wait_for(self._waiting.join(), within_s)
        except TimeoutError:
            while not self._waiting.empty():
                self._drop(self._waiting.get_nowait()[1], "the processor stops")
                self._waiting.task_done()
