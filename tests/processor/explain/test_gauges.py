"""Metrics of hosts and processes as evidence: known names are read, by service and host; all else does no harm."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from spanward_processor.explain.gauges import MOST_SOURCES, MOST_WAITING_BYTES, READINGS, Gauges
from spanward_processor.explain.machine import Machine, Resource

SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS
BEFORE, NOW = (NOW_NS - 3_600 * SECOND_NS, NOW_NS - 600 * SECOND_NS), (NOW_NS - 600 * SECOND_NS, NOW_NS + SECOND_NS)

Points = Iterable[tuple[int, float, Mapping[str, str]]]


def request(name: str, points: Points, *, counter: bool = False, **resource: str) -> bytes:
    """Return a request with one metric; points are seconds before now, value and attributes."""
    made = ExportMetricsServiceRequest()
    told = made.resource_metrics.add()
    for key, name_of in resource.items():
        told.resource.attributes.add(key=key.replace("_", ".")).value.string_value = name_of
    metric = told.scope_metrics.add().metrics.add(name=name)
    if counter:
        metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    kept = metric.sum.data_points if counter else metric.gauge.data_points
    for ago_s, value, attributes in points:
        point = kept.add(time_unix_nano=NOW_NS - ago_s * SECOND_NS, as_double=value)
        for key, text in attributes.items():
            point.attributes.add(key=key).value.string_value = text
    return made.SerializeToString()


def gauges(*requests: bytes) -> Gauges:
    """Return gauges that have read some requests."""
    made = Gauges(lambda: NOW_NS)
    for one in requests:
        made.offer(one)
    made.read()
    return made


def machine(*requests: bytes, service: str = "support") -> Machine:
    """Return what is known of a service after some requests."""
    return gauges(*requests).machine(service, BEFORE, NOW)


def by_mode(ago_s: int, idle: float) -> Points:
    """Return the points of two processors, in use for all but a share of the time."""
    for cpu in ("0", "1"):
        yield ago_s, idle, {"cpu": cpu, "state": "idle"}
        yield ago_s, 1 - idle, {"cpu": cpu, "state": "user"}


def test_a_busy_host_is_read_from_the_states_of_its_processors() -> None:
    """`system.cpu.utilization` tells each state of each processor; all but idle is use."""
    told = machine(request("system.cpu.utilization", [*by_mode(1_200, 0.6), *by_mode(60, 0.05)], host_name="h"))

    (gauge,) = told.gauges
    assert gauge.resource is Resource.CPU
    assert [gauge.before, gauge.now] == pytest.approx([0.4, 0.95])
    assert told.strained == (gauge,)


def test_a_process_that_needs_a_whole_core_is_read_from_its_cpu_time() -> None:
    """`process.cpu.time` counts seconds of both modes since the start; what matters is a second's worth of it."""
    times = [(1_300, 0.0), (1_200, 40.0), (100, 480.0), (0, 578.0)]
    points = [(ago, total / 2, {"cpu.mode": mode}) for ago, total in times for mode in ("user", "system")]
    told = machine(request("process.cpu.time", points, counter=True, service_name="support"))

    (gauge,) = told.gauges
    assert [gauge.before, gauge.now] == pytest.approx([0.4, (0.4 + 0.98) / 2])


def test_a_counter_that_begins_anew_is_no_fall() -> None:
    """After a restart of the process the first reading says nothing."""
    points: Points = [(1_300, 900.0, {}), (1_200, 990.0, {}), (100, 5.0, {}), (0, 25.0, {})]
    (gauge,) = machine(request("process.cpu.time", points, counter=True, service_name="support")).gauges

    assert [gauge.before, gauge.now] == pytest.approx([0.9, 0.2])


@pytest.mark.parametrize(
    ("name", "counter", "values", "resource"),
    [
        ("process.cpu.utilization", False, (0.3, 0.9), Resource.CPU),
        ("k8s.container.cpu_limit_utilization", False, (0.3, 0.9), Resource.CPU),
        ("system.memory.utilization", False, (0.5, 0.97), Resource.MEMORY),
        ("container.memory.percent", False, (50.0, 97.0), Resource.MEMORY),
        ("k8s.pod.memory_limit_utilization", False, (0.5, 0.97), Resource.MEMORY),
    ],
)
def test_known_metrics_are_evidence(name: str, counter: bool, values: tuple[float, float], resource: Resource) -> None:
    """Each is read as a share of what there is, and strained when it rises to its end."""
    sent = request(name, [(1_200, values[0], {}), (60, values[1], {})], counter=counter, service_name="support")
    (gauge,) = machine(sent).strained

    assert (gauge.name, gauge.resource) == (name, resource)


def test_throttling_is_the_share_of_time_in_which_a_container_was_held() -> None:
    """Nanoseconds that count up become a share of the time between two readings."""
    points: Points = [(1_300, 0.0, {}), (1_200, 0.0, {}), (100, 0.0, {}), (0, 30e9, {})]
    sent = request("container.cpu.throttling_data.throttled_time", points, counter=True, service_name="support")
    (gauge,) = machine(sent).strained

    assert [gauge.before, gauge.now] == pytest.approx([0.0, 0.15])


def test_a_host_belongs_to_the_services_that_were_told_with_it() -> None:
    """Of two hosts the one counts that the service's own metrics name."""
    told = machine(
        request("system.cpu.utilization", [(1_200, 0.1, {}), (60, 0.2, {})], host_name="a"),
        request("system.cpu.utilization", [(1_200, 0.1, {}), (60, 0.9, {})], host_name="b"),
        request("process.cpu.utilization", [(1_200, 0.1, {}), (60, 0.1, {})], host_name="b", service_name="support"),
    )

    assert {gauge.name: gauge.now for gauge in told.gauges} == {
        "system.cpu.utilization": pytest.approx(0.9),
        "process.cpu.utilization": pytest.approx(0.1),
    }


def test_hosts_that_nobody_links_say_nothing() -> None:
    """Of two hosts, neither named by the service, none is taken."""
    points: Points = [(1_200, 0.1, {}), (60, 0.9, {})]
    sent = [request("system.cpu.utilization", points, host_name=name) for name in ("a", "b")]

    assert machine(*sent).gauges == ()


def test_other_services_metrics_are_not_taken() -> None:
    """A service is explained by its own processes."""
    points: Points = [(1_200, 0.1, {}), (60, 0.9, {})]

    assert machine(request("process.cpu.utilization", points, service_name="other")).gauges == ()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x0a\xff\xffsystem.cpu.utilization",
        request("system.cpu.utilization", [(60, float("nan"), {}), (60, float("inf"), {})], host_name="h"),
        request("system.cpu.utilization", [(-86_400, 0.5, {}), (200_000, 0.5, {})], host_name="h"),
        request("system.cpu.utilization", [], host_name="h"),
    ],
    ids=["malformed", "no numbers", "other days", "no points"],
)
def test_bad_metrics_are_left(sent: bytes) -> None:
    """What cannot be read, or cannot be, is no evidence and no error."""
    assert machine(sent).gauges == ()


def test_sources_are_bounded() -> None:
    """Metrics of services beyond the limit are not kept."""
    made = gauges(
        *(request("process.cpu.utilization", [(60, 0.5, {})], service_name=f"s{number}") for number in range(300))
    )

    assert made.sources == MOST_SOURCES


def test_what_waits_to_be_read_is_bounded() -> None:
    """Requests that nobody has read yet give way to newer ones."""
    made = Gauges(lambda: NOW_NS)
    sent = request("process.cpu.utilization", [(60, 0.5, {})] * 20_000, service_name="s")
    for _ in range(20):
        made.offer(sent)

    assert MOST_WAITING_BYTES - len(sent) < made.waiting_bytes <= MOST_WAITING_BYTES
    made.read()
    assert made.waiting_bytes == 0


def test_one_metric_of_a_source_takes_bounded_room() -> None:
    """Two days of readings leave minutes and hours, not readings."""
    now = [NOW_NS]
    made = Gauges(lambda: now[0])
    for minute in range(2 * 1_440):
        now[0] = NOW_NS + minute * 60 * SECOND_NS
        made.offer(request("process.cpu.utilization", [(-minute * 60, 0.5, {})], service_name="s"))
        made.read()

    assert made.arrays()["slots"].shape[0] <= 150
    day = now[0] - 86_400 * SECOND_NS, now[0]
    assert [gauge.now for gauge in made.machine("s", day, day).gauges] == [0.5]


def test_what_is_known_outlives_a_restart() -> None:
    """Arrays that are given back hold the same gauges."""
    made = gauges(request("process.cpu.utilization", [(1_200, 0.1, {}), (60, 0.9, {})], service_name="support"))
    again = Gauges(lambda: NOW_NS)
    again.restore(made.arrays())

    assert again.machine("support", BEFORE, NOW) == made.machine("support", BEFORE, NOW)


def test_the_page_names_every_metric_that_is_read() -> None:
    """docs/explain.md lists what is read."""
    page = (Path(__file__).parents[3] / "docs" / "explain.md").read_text(encoding="utf-8")

    assert [name for name in READINGS if f"`{name}`" not in page] == []
