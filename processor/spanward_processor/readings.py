"""What every metric says at the moment, read from the parts that count; nothing here is done per span."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

from spanward import semconv
from spanward_processor import metrics
from spanward_processor.counts import Counts, Received
from spanward_processor.dora.deployments import Deployments
from spanward_processor.dora.report import Measured, measure
from spanward_processor.dora.subjects import Subject
from spanward_processor.forward.backends import Backend, Sent
from spanward_processor.forward.delivery import Delivery
from spanward_processor.forward.journalled import Journalled
from spanward_processor.lengths import prometheus_length
from spanward_processor.metrics import Metric
from spanward_processor.panorama import Panorama, Standing
from spanward_processor.pipeline import Pipeline
from spanward_processor.slo.burning import Standing as Budget
from spanward_processor.slo.objective import Objective

Labels = Mapping[str, str]
Read = Callable[[], Iterable[tuple[float, Labels]]]
Value = TypeVar("Value")

_STATM: Final = Path("/proc/self/statm")  # Linux; elsewhere resident memory is not told
_RESIDENT: Final = 1  # place of the resident pages among its numbers (proc(5))
_STARTED_S: Final = time.monotonic()


def readings(delivery: Delivery, counts: Counts, pipeline: Pipeline) -> Mapping[Metric, Read]:
    """Return how each metric is read; a metric that has nothing to say where it runs gives no values."""
    return {
        **_receiver(counts),
        **_exporters(delivery),
        **_journal(delivery),
        **_engine(pipeline),
        **_series(pipeline.panorama),
        **_objectives(pipeline),
        **_deployments(pipeline.deployments),
        **_process(),
    }


class _Together(Generic[Value]):
    """What several metrics of a collection read: made once for all of them, and anew when one of them asks again.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._lock = threading.Lock()  # two who collect at once may share what was made
        self._made: list[Value] = []
        self._asked: set[object] = set()

    def reader(self) -> Callable[[], Value]:
        """Return what one metric asks by."""
        who = object()

        def ask() -> Value:
            with self._lock:
                if who in self._asked or not self._made:
                    self._made, self._asked = [self._make()], set()
                self._asked.add(who)
                return self._made[0]

        return ask


def _one(value: Callable[[], float]) -> Read:
    return lambda: [(value(), {})]


def _receiver(counts: Counts) -> dict[Metric, Read]:
    def received(read: Callable[[Received], int]) -> Read:
        return lambda: [
            (read(by), {"receiver": "otlp", "transport": transport}) for transport, by in counts.received.items()
        ]

    return {
        metrics.ACCEPTED_SPANS: received(lambda by: by.accepted),
        metrics.REFUSED_SPANS: received(lambda by: by.refused),
        metrics.REFUSED_REQUESTS: _one(lambda: counts.refused_requests),
        metrics.SPANS_OVER_LIMIT: lambda: [(spans, {"limit": limit}) for limit, spans in counts.over_limit.items()],
        metrics.LATE_SPANS: _one(lambda: counts.late),
        metrics.ANNOTATED_SPANS: _one(lambda: counts.annotated),
        metrics.REMOVED_ATTRIBUTES: _one(lambda: counts.removed),
        metrics.FINDINGS_DROPPED: _one(lambda: counts.dropped),
    }


def _exporters(delivery: Delivery) -> dict[Metric, Read]:
    def sent(read: Callable[[Sent], int]) -> Read:
        return lambda: [(read(backend.sent), _destination(backend)) for backend in delivery.backends]

    return {
        metrics.SENT_SPANS: sent(lambda sent: sent.spans),
        metrics.SEND_FAILED_SPANS: sent(lambda sent: sent.failed_spans),
        metrics.REJECTED_ITEMS: sent(lambda sent: sent.rejected),
    }


def _destination(backend: Backend) -> Labels:
    host, _, port = backend.address.rpartition(":")
    return {"exporter": backend.name, "server.address": host.strip("[]"), "server.port": port}


def _journal(delivery: Delivery) -> dict[Metric, Read]:
    """Return what there is to say of the journal; without one nothing."""
    if not isinstance(delivery, Journalled):
        return {}
    journal = delivery.journal

    def queues(read: Callable[[str], float]) -> Read:
        return lambda: [(read(backend.name), {"exporter": backend.name}) for backend in delivery.backends]

    return {
        metrics.QUEUE_SIZE: queues(journal.waiting_bytes),
        metrics.QUEUE_CAPACITY: queues(lambda _: journal.most_bytes),
        metrics.IN_FLIGHT_REQUESTS: queues(delivery.in_flight),
        metrics.ENQUEUE_FAILED_SPANS: queues(lambda _: delivery.without_room),
        metrics.JOURNAL_BYTES: _one(lambda: journal.held_bytes),
        metrics.JOURNAL_CAPACITY: _one(lambda: journal.most_bytes),
        metrics.JOURNAL_OLDEST: _one(journal.oldest_s),
    }


def _engine(pipeline: Pipeline) -> dict[Metric, Read]:
    directory, texts = pipeline.naming.directory, pipeline.naming.texts
    return {
        metrics.KEYS_USED: _one(lambda: directory.live),
        metrics.KEYS_LIMIT: _one(lambda: directory.most_keys),
        metrics.KEYS_OVERFLOWED: _one(lambda: directory.overflowed),
        metrics.KEYS_EVICTED: _one(lambda: len(directory) - directory.live),
        metrics.VALUES_OTHER: _one(lambda: pipeline.others),
        metrics.TEXTS_FORGOTTEN: _one(lambda: texts.forgotten),
        metrics.DETECTOR_TIME: lambda: [
            (seconds, {"detector": detector, "work": work}) for (detector, work), seconds in pipeline.spent().items()
        ],
    }


def _series(panorama: Panorama) -> dict[Metric, Read]:
    together = _Together(panorama.standings)

    def each(read: Callable[[Standing], float | None]) -> Read:
        standings = together.reader()

        def values() -> Iterable[tuple[float, Labels]]:
            for standing in standings():
                value = read(standing) if standing.history else None
                if value is not None:
                    yield value, _names(standing)

        return values

    return {
        metrics.FINDINGS_OPENED: lambda: [
            (count, {"kind": kind, "severity": severity, "detector": detector})
            for (kind, severity, detector), count in panorama.opened().items()
        ],
        metrics.FINDINGS_OPEN: each(lambda standing: panorama.open_count(standing.key)),
        metrics.SERIES_READY: each(lambda standing: float(standing.ready)),
        metrics.SERIES_RATE: each(lambda standing: standing.history[-1].rate_per_s),
        metrics.SERIES_LATENCY: each(lambda standing: standing.history[-1].latency_p99_s),
        metrics.SERIES_ERROR_RATIO: each(lambda standing: standing.history[-1].error_ratio),
    }


def _objectives(pipeline: Pipeline) -> dict[Metric, Read]:
    def events() -> Iterable[tuple[float, Labels]]:
        for objective, rows, bad in pipeline.objectives.totals() if pipeline.objectives else ():
            labels = _goal(objective)
            yield from ((rows - bad, labels | {"outcome": "good"}), (bad, labels | {"outcome": "bad"}))

    def each(read: Callable[[Budget], float | None]) -> Read:
        def values() -> Iterable[tuple[float, Labels]]:
            for budget in pipeline.budgets:
                value = read(budget)
                if value is not None:
                    yield value, _goal(budget.objective)

        return values

    def burn_rates() -> Iterable[tuple[float, Labels]]:
        for budget in pipeline.budgets:
            for counted in budget.windows:
                yield (
                    budget.burn_rate(counted),
                    _goal(budget.objective) | {"window": prometheus_length(counted.window_s)},
                )

    return {
        metrics.SLO_EVENTS: events,
        metrics.SLO_OBJECTIVE: each(lambda budget: budget.objective.target),
        metrics.SLO_BUDGET_LEFT: each(lambda budget: budget.budget_left),
        metrics.SLO_BURN_RATE: burn_rates,
        metrics.SLO_EXHAUSTED_IN: each(lambda budget: budget.exhausted_in_s),
    }


def _goal(objective: Objective) -> dict[str, str]:
    return {"slo": objective.name, semconv.SERVICE_NAME: objective.selector.service}


def _deployments(deployments: Deployments) -> dict[Metric, Read]:
    together = _Together(lambda: measure(deployments)[0])

    def each(read: Callable[[Measured], float | None]) -> Read:
        measured = together.reader()

        def values() -> Iterable[tuple[float, Labels]]:
            for one in measured():
                value = read(one)
                if value is not None:
                    yield value, _subject(one.subject)

        return values

    return {
        metrics.DORA_DEPLOYMENTS: each(lambda one: one.deployments),
        metrics.DORA_CHANGE_FAIL_RATE: each(lambda one: one.change_fail_rate),
        metrics.DORA_RECOVERY_TIME: each(lambda one: one.recovery_s),
        metrics.DORA_REWORK_RATE: each(lambda one: one.rework_rate),
        metrics.DORA_LEAD_TIME: each(lambda one: one.lead_s),
    }


def _subject(subject: Subject) -> Labels:
    names = {semconv.SERVICE_NAME: subject.service, semconv.MODEL_NAME: subject.model}
    return {name: value for name, value in names.items() if value} | {semconv.DORA_PART: subject.part.value}


def _names(standing: Standing) -> Labels:
    series = standing.series
    labels = {
        semconv.SERVICE_NAME: series.service,
        semconv.MODEL_NAME: series.model,
        semconv.MODEL_VERSION: series.version,
    }
    return labels | ({series.slice[0]: series.slice[1]} if series.slice else {})


def _process() -> dict[Metric, Read]:
    return {
        metrics.CPU_SECONDS: _one(time.process_time),
        metrics.UPTIME: _one(lambda: time.monotonic() - _STARTED_S),
        metrics.MEMORY_RSS: _resident,
    }


def _resident() -> Iterable[tuple[float, Labels]]:
    if _STATM.exists():
        yield int(_STATM.read_text().split()[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE"), {}
