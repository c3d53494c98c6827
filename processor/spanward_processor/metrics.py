"""Every metric of the processor, spelled once. Those that a Collector has too bear its names, so that its dashboards carry over."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spanward import semconv


class Kind(StrEnum):
    """How a metric's values are read."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Args:
        name: As in OTLP; on the Prometheus page underscores stand for its dots.
        kind: Whether it only grows.
        unit: In UCUM.
        about: What it counts, in a few words.
    """

    name: str
    kind: Kind
    unit: str
    about: str


def _counter(name: str, unit: str, about: str) -> Metric:
    return Metric(name, Kind.COUNTER, unit, about)


def _gauge(name: str, unit: str, about: str) -> Metric:
    return Metric(name, Kind.GAUGE, unit, about)


# --- named as the Collector names them ------------------------------------------------------------------------------

ACCEPTED_SPANS: Final = _counter("otelcol_receiver_accepted_spans", "{spans}", "Spans whose sender was told OK.")
REFUSED_SPANS: Final = _counter(
    "otelcol_receiver_refused_spans", "{spans}", "Spans whose sender was told to come back, or that they are wrong."
)
SENT_SPANS: Final = _counter("otelcol_exporter_sent_spans", "{spans}", "Spans a backend took.")
SEND_FAILED_SPANS: Final = _counter("otelcol_exporter_send_failed_spans", "{spans}", "Spans given up.")
ENQUEUE_FAILED_SPANS: Final = _counter(
    "otelcol_exporter_enqueue_failed_spans", "{spans}", "Spans that found no room in the journal."
)
QUEUE_SIZE: Final = _gauge("otelcol_exporter_queue_size", "By", "What waits in the journal for a backend.")
QUEUE_CAPACITY: Final = _gauge("otelcol_exporter_queue_capacity", "By", "What the journal may hold.")
IN_FLIGHT_REQUESTS: Final = _gauge(
    "otelcol_exporter_in_flight_requests", "{requests}", "Requests under way to a backend."
)
CPU_SECONDS: Final = _counter("otelcol_process_cpu_seconds", "s", "User and system time of the process.")
MEMORY_RSS: Final = _gauge("otelcol_process_memory_rss", "By", "Resident memory of the process.")
UPTIME: Final = _counter("otelcol_process_uptime", "s", "Time since the start.")

# --- our own --------------------------------------------------------------------------------------------------------

REFUSED_REQUESTS: Final = _counter(
    "spanward.receiver.refused_requests", "{requests}", "Requests refused, undecodable ones included."
)
REJECTED_ITEMS: Final = _counter(
    "spanward.exporter.rejected_items",
    "{items}",
    "Spans, data points and log records a backend rejected of what it took.",
)
SPANS_OVER_LIMIT: Final = _counter(
    "spanward.spans.refused", "{spans}", "Of the refused, spans over a limit; the rest of their requests was taken."
)
LATE_SPANS: Final = _counter("spanward.spans.late", "{spans}", "Spans forwarded but not counted.")
ANNOTATED_SPANS: Final = _counter("spanward.spans.annotated", "{spans}", "Spans forwarded with attributes of ours.")
REMOVED_ATTRIBUTES: Final = _counter(
    "spanward.attributes.removed", "{attributes}", "Inbound attributes under our own prefix, removed."
)
JOURNAL_BYTES: Final = _gauge("spanward.journal.bytes", "By", "Size of the journal.")
JOURNAL_CAPACITY: Final = _gauge("spanward.journal.capacity", "By", "Size at which it refuses requests.")
JOURNAL_OLDEST: Final = _gauge(
    "spanward.journal.oldest", "s", "Age of the oldest request that a backend has not taken."
)
KEYS_USED: Final = _gauge("spanward.keys.used", "{keys}", "Series and slices with a baseline.")
KEYS_LIMIT: Final = _gauge("spanward.keys.limit", "{keys}", "How many there may be.")
KEYS_OVERFLOWED: Final = _counter(
    "spanward.keys.overflowed", "{rows}", "Rows, and slices of rows, that found no key of their own."
)
KEYS_EVICTED: Final = _counter(
    "spanward.keys.evicted", "{keys}", "Series and slices that were let go of, since others needed the room."
)
VALUES_OTHER: Final = _counter(
    "spanward.values.other", "{values}", "Values of spans that found no counter of their own in their window."
)
TEXTS_FORGOTTEN: Final = _counter(
    "spanward.texts.forgotten", "{texts}", "Names that were forgotten, since others needed the room."
)
DETECTOR_TIME: Final = _counter("spanward.detector.time", "s", "Time a detector took, for rows and for windows.")
FINDINGS_OPENED: Final = _counter(semconv.METRIC_FINDING_COUNT, "{finding}", "Findings opened.")
FINDINGS_OPEN: Final = _gauge(semconv.METRIC_FINDING_OPEN, "{finding}", "Findings open now.")
FINDINGS_DROPPED: Final = _counter("spanward.findings.dropped", "{finding}", "Findings that could not be told.")
SLO_EVENTS: Final = _counter(semconv.METRIC_SLO_EVENTS, "{request}", "Requests that an objective counts, good and bad.")
SLO_OBJECTIVE: Final = _gauge(semconv.METRIC_SLO_OBJECTIVE, "1", "Share of good requests that an objective asks for.")
SLO_BUDGET_LEFT: Final = _gauge(
    semconv.METRIC_SLO_BUDGET_LEFT, "1", "Share of its budget that is left, negative once it is overdrawn."
)
SLO_BURN_RATE: Final = _gauge(
    semconv.METRIC_SLO_BURN_RATE, "1", "Pace at which the budget burns in a window; at 1 it lasts exactly its period."
)
SLO_EXHAUSTED_IN: Final = _gauge(
    semconv.METRIC_SLO_EXHAUSTED_IN, "s", "Time until nothing of it is left, at the pace of the last hour."
)
DORA_DEPLOYMENTS: Final = _gauge(semconv.METRIC_DORA_DEPLOYMENTS, "{deployment}", "Deployments of the last 30 days.")
DORA_CHANGE_FAIL_RATE: Final = _gauge(semconv.METRIC_DORA_CHANGE_FAIL_RATE, "1", "Share of them that failed.")
DORA_RECOVERY_TIME: Final = _gauge(
    semconv.METRIC_DORA_RECOVERY_TIME, "s", "Median time from such a failure to its end."
)
DORA_REWORK_RATE: Final = _gauge(
    semconv.METRIC_DORA_REWORK_RATE, "1", "Share of them that are taken for repairs, an estimate."
)
DORA_LEAD_TIME: Final = _gauge(semconv.METRIC_DORA_LEAD_TIME, "s", "Median time from commit to deployment.")
SERIES_READY: Final = _gauge(semconv.METRIC_SERIES_READY, "1", "1 once the series is judged, 0 while it learns.")
SERIES_RATE: Final = _gauge(semconv.METRIC_SERIES_RATE, "{request}/s", "Requests per second in the newest window.")
SERIES_LATENCY: Final = _gauge(semconv.METRIC_SERIES_LATENCY, "s", "99th percentile of the latency in it.")
SERIES_ERROR_RATIO: Final = _gauge(semconv.METRIC_SERIES_ERROR_RATIO, "1", "Share of errors in it.")

METRICS: Final[tuple[Metric, ...]] = tuple(value for value in tuple(globals().values()) if isinstance(value, Metric))
