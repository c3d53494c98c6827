"""Metrics of hosts, containers and processes that senders forward, read on the way as evidence; nothing here changes them.

Names are those of the semantic conventions for system, process and container metrics (Development), of the Collector's receivers
`hostmetrics`, `docker_stats` and `kubeletstats`, and of OpenTelemetry's instrumentation of Python.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint

from spanward import semconv
from spanward_processor.explain.machine import Gauge, Machine, Resource
from spanward_processor.kept import Arrays, from_json, to_json

MOST_SOURCES: Final = 256
"""Services and hosts whose metrics are kept; those of further ones are not read."""

MOST_WAITING_BYTES: Final = 4 << 20
"""Of requests that wait to be read; beyond it the oldest goes unread."""

_MOST_POINTS: Final = 20_000  # of one request
_MOST_COUNTERS: Final = 4_096
_SECOND_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * _SECOND_NS
_HOUR_NS: Final = 60 * _MINUTE_NS
_KEPT_NS: Final = 26 * _HOUR_NS
_BY_MINUTE_NS: Final = 2 * _HOUR_NS
_FUTURE_NS: Final = 10 * _MINUTE_NS
_MODES: Final = ("state", "cpu.mode", "system.cpu.state", "system.memory.state")
_HOSTS: Final = ("host.name", "k8s.node.name", "container.id")
_INSTANCES: Final = ("service.instance.id", "k8s.pod.uid", "container.id")
_IDLE: Final = {"idle", "iowait", "wait"}

_Points = list[tuple[NumberDataPoint, float]]


def _busy(points: _Points) -> float:
    """Return the share of all processors that is in use: each has a point for each of its states."""
    modes = [_mode(point) for point, _ in points]
    if not any(modes):
        return sum(value for _, value in points) / len(points)
    processors = {_processor(point) for point, _ in points}
    return sum(value for (_, value), mode in zip(points, modes, strict=True) if mode not in _IDLE) / len(processors)


def _used(points: _Points) -> float:
    """Return the share of memory that is in use."""
    modes = [_mode(point) for point, _ in points]
    return sum(value for (_, value), mode in zip(points, modes, strict=True) if mode in {"", "used"})


def _sum(points: _Points) -> float:
    return sum(value for _, value in points)


def _most(points: _Points) -> float:
    return max(value for _, value in points)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How one metric is read.

    Args:
        resource: What runs short when it is high.
        share: Points of one resource and time to a share.
        unit: What one is divided by.
        counts: Whether it counts since some start, so that its rise in a second matters.
    """

    resource: Resource
    share: Callable[[_Points], float]
    unit: float = 1.0
    counts: bool = False


READINGS: Final[Mapping[str, _Reading]] = {
    "system.cpu.utilization": _Reading(Resource.CPU, _busy),
    "process.cpu.utilization": _Reading(Resource.CPU, _sum),
    "process.runtime.cpu.utilization": _Reading(Resource.CPU, _sum),
    "process.runtime.cpython.cpu.utilization": _Reading(Resource.CPU, _sum),
    # cores in use, of which one is all that a Python process computes on at a time
    "process.cpu.time": _Reading(Resource.CPU, _sum, counts=True),
    "k8s.container.cpu_limit_utilization": _Reading(Resource.CPU, _most),
    "k8s.pod.cpu_limit_utilization": _Reading(Resource.CPU, _most),
    "container.cpu.throttling_data.throttled_time": _Reading(Resource.THROTTLING, _sum, unit=1e9, counts=True),
    "container_cpu_cfs_throttled_seconds_total": _Reading(Resource.THROTTLING, _sum, counts=True),
    "system.memory.utilization": _Reading(Resource.MEMORY, _used),
    "container.memory.percent": _Reading(Resource.MEMORY, _most, unit=100.0),
    "k8s.container.memory_limit_utilization": _Reading(Resource.MEMORY, _most),
    "k8s.pod.memory_limit_utilization": _Reading(Resource.MEMORY, _most),
}
"""The metrics that are read."""

_NAMES: Final = tuple(name.encode() for name in READINGS)


@dataclass(slots=True)
class _Track:
    """Sums and counts of one metric of one source, by minute, later by hour."""

    slots: dict[tuple[int, int], tuple[float, int]] = field(default_factory=dict[tuple[int, int], tuple[float, int]])

    def add(self, time_ns: int, share: float, now_ns: int) -> None:
        self._put(_MINUTE_NS, time_ns // _MINUTE_NS, share, 1)
        if len(self.slots) > (_BY_MINUTE_NS // _MINUTE_NS) + _KEPT_NS // _HOUR_NS:
            self._age(now_ns)

    def _put(self, length_ns: int, place: int, total: float, count: int) -> None:
        before = self.slots.get((length_ns, place), (0.0, 0))
        self.slots[length_ns, place] = before[0] + total, before[1] + count

    def _age(self, now_ns: int) -> None:
        for (length_ns, place), (total, count) in sorted(self.slots.items()):
            age_ns = now_ns - place * length_ns
            if length_ns == _MINUTE_NS and not -_FUTURE_NS < age_ns < _BY_MINUTE_NS // 2:
                del self.slots[length_ns, place]
                self._put(_HOUR_NS, place * _MINUTE_NS // _HOUR_NS, total, count)
            elif length_ns == _HOUR_NS and not -_FUTURE_NS < age_ns < _KEPT_NS:
                del self.slots[length_ns, place]

    def mean(self, first_ns: int, last_ns: int) -> float | None:
        """Return the mean between two times; None where nobody told."""
        inside = [
            told
            for (length_ns, place), told in self.slots.items()
            if first_ns <= place * length_ns + length_ns // 2 and place * length_ns < last_ns
        ]
        count = sum(count for _, count in inside)
        return sum(total for total, _ in inside) / count if count else None


class Gauges:
    """What hosts, containers and processes said of themselves in the last day.

    Args:
        clock_ns: Returns the time of day, Unix nanoseconds.

    Cost:
        `offer` looks for a few names in the bytes. `read` walks the points of requests that have one: call it where nobody waits.
        Up to 12 kB for each metric of a source.
    """

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()  # of what waits
        self._waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        self._tracks: dict[tuple[str, str], dict[str, _Track]] = {}  # by service and host; "" where it is not told
        self._counters: dict[
            tuple[str, ...], tuple[int, float]
        ] = {}  # by instance and name: when it was told, and what

    @property
    def sources(self) -> int:
        """How many services and hosts told something."""
        return len(self._tracks)

    def offer(self, payload: bytes) -> None:
        """Take an encoded export request of metrics, to be read later."""
        if not any(name in payload for name in _NAMES):
            return
        with self._lock:
            self._waiting.append(payload)
            self.waiting_bytes += len(payload)
            while self.waiting_bytes > MOST_WAITING_BYTES:
                self.waiting_bytes -= len(self._waiting.popleft())

    def read(self) -> None:
        """Read what waits; what cannot be read is left. Nobody else may call meanwhile."""
        while payload := self._next():
            try:
                request = ExportMetricsServiceRequest.FromString(payload)
            except DecodeError:
                continue
            for source, instance, name, points in _known(request):
                self._take(source, instance, name, points)

    def _next(self) -> bytes | None:
        with self._lock:
            if not self._waiting:
                return None
            payload = self._waiting.popleft()
            self.waiting_bytes -= len(payload)
            return payload

    def _take(self, source: tuple[str, str], instance: str, name: str, points: list[NumberDataPoint]) -> None:
        now_ns = self._clock_ns()
        by_time: dict[int, _Points] = {}
        for point in points:
            by_time.setdefault(point.time_unix_nano, []).append((point, _value(point)))
        if source not in self._tracks and len(self._tracks) >= MOST_SOURCES:
            return
        tracks = self._tracks.setdefault(source, {})
        for time_ns, together in sorted(by_time.items()):
            share = self._share((*source, instance, name), name, time_ns, together)
            if share is not None and np.isfinite(share) and -_FUTURE_NS < now_ns - time_ns < _KEPT_NS:
                tracks.setdefault(name, _Track()).add(time_ns, min(max(share, 0.0), 1.0), now_ns)

    def _share(self, counter: tuple[str, ...], name: str, time_ns: int, points: _Points) -> float | None:
        reading = READINGS[name]
        value = reading.share(points) / reading.unit
        if not reading.counts:
            return value
        before = self._counters.get(counter)
        if before is None and len(self._counters) >= _MOST_COUNTERS:
            return None
        self._counters[counter] = time_ns, value
        if before is None or time_ns <= before[0] or value < before[1]:
            return None  # the first one, or the process began anew
        return (value - before[1]) / ((time_ns - before[0]) / _SECOND_NS)

    def machine(self, service: str, before: tuple[int, int], now: tuple[int, int]) -> Machine:
        """Return what is known of where a service runs in two times; of several instances the mean.

        Metrics of hosts belong to the services that were told together with that host; where no service was and there is one
        host alone, to all.

        Args:
            service: Its name.
            before: First nanosecond, and the first one after it.
            now: Likewise.
        """
        means: dict[str, list[tuple[float, float]]] = {}
        for source in self._sources(service):
            for name, track in list(self._tracks[source].items()):
                was, is_now = track.mean(*before), track.mean(*now)
                if was is not None and is_now is not None:
                    means.setdefault(name, []).append((was, is_now))
        return Machine(
            tuple(
                Gauge(
                    name,
                    READINGS[name].resource,
                    *(sum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1)),
                )
                for name, pairs in sorted(means.items())
            )
        )

    def _sources(self, service: str) -> list[tuple[str, str]]:
        every = list(self._tracks)
        own = [source for source in every if source[0] == service]
        hosts = {host for _, host in own if host}
        alone = {host for name, host in every if not name}
        if not hosts and len(alone) == 1:
            hosts = alone
        return own + [source for source in every if not source[0] and source[1] in hosts]

    # --- over a restart ------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        tracks = [
            (service, host, name, track)
            for (service, host), source in list(self._tracks.items())
            for name, track in list(source.items())
        ]
        slots = [
            (number, *slot, *told)
            for number, (*_, track) in enumerate(tracks)
            for slot, told in list(track.slots.items())
        ]
        return {
            "names": from_json([track[:3] for track in tracks]),
            "slots": np.array(slots, np.float64).reshape(-1, 5),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        tracks = [
            self._tracks.setdefault((service, host), {}).setdefault(name, _Track())
            for service, host, name in to_json(arrays["names"])
        ]
        for number, length_ns, place, total, count in arrays["slots"].tolist():
            tracks[int(number)].slots[int(length_ns), int(place)] = total, int(count)


def _known(
    request: ExportMetricsServiceRequest,
) -> Iterator[tuple[tuple[str, str], str, str, list[NumberDataPoint]]]:
    """Yield service and host, instance, name and points of the metrics that are read."""
    left = _MOST_POINTS
    for resource in request.resource_metrics:
        told = resource.resource.attributes
        source = _text(told, (semconv.SERVICE_NAME,)), _text(told, _HOSTS)
        instance = _text(told, _INSTANCES)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name in READINGS and (points := _points(metric)[:left]):
                    left -= len(points)
                    yield source, instance, metric.name, points


def _points(metric: Metric) -> list[NumberDataPoint]:
    kind = metric.WhichOneof("data")
    if kind == "gauge":
        return list(metric.gauge.data_points)
    return list(metric.sum.data_points) if kind == "sum" else []


def _value(point: NumberDataPoint) -> float:
    return point.as_double if point.WhichOneof("value") == "as_double" else float(point.as_int)


def _mode(point: NumberDataPoint) -> str:
    return _text(point.attributes, _MODES)


def _processor(point: NumberDataPoint) -> str:
    for attribute in point.attributes:
        if attribute.key in {"cpu", "cpu.logical_number", "system.cpu.logical_number"}:
            return attribute.value.string_value or str(attribute.value.int_value)
    return ""


def _text(attributes: Iterable[KeyValue], names: tuple[str, ...]) -> str:
    told = {attribute.key: attribute.value.string_value for attribute in attributes}
    return next((told[name][:256] for name in names if told.get(name)), "")
