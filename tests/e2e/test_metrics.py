"""What a running processor says of itself, to Prometheus and beside a Collector, against what is written about it."""

import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

import running
from requiring import require_peer
from spans import encoded, eventually, request, span
from spanward import semconv
from spanward_processor.bench.sides import cached_peer
from spanward_processor.metrics import METRICS
from spanward_processor.server import Processor
from spanward_processor.telemetry import scraped_app

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
SCRAPED: Final = {"interval_s": 3600, "listen": "127.0.0.1:0"}
BOTH: Final = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"}
SECOND_NS: Final = 1_000_000_000
OBJECTIVE: Final = {
    "apiVersion": "openslo/v1",
    "kind": "SLO",
    "metadata": {"name": "fast"},
    "spec": {
        "service": "test",
        "indicator": {
            "spec": {"thresholdMetric": {"metricSource": {"type": "spanward", "spec": {"value": "latency_s"}}}}
        },
        "objectives": [{"op": "lt", "value": 0.1, "target": 0.9}],
    },
}
SERIES: Final = {"service_name", "spanward_model_name", "spanward_model_version"}

# What a Collector's dashboard cannot find here, as docs/metrics.md says.
MISSING_LABELS: Final = {
    "otelcol_exporter_queue_size": {"data_type"},
    "otelcol_exporter_queue_capacity": {"data_type"},
    "otelcol_exporter_in_flight_requests": {"data_type"},
    "otelcol_exporter_send_failed_spans": {"error_type", "error_permanent"},
}
MISSING: Final = re.compile(
    r"otelcol_(process_runtime_.*|exporter_enqueue_size.*|receiver_failed_spans|.*_(metric_points|log_records))"
)

_COLLECTOR = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
exporters:
  otlp_grpc: {{endpoint: "127.0.0.1:{to}", tls: {{insecure: true}}, retry_on_failure: {{enabled: false}}}}
service:
  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {scraped}}}}}}}}}]}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc]}}}}
"""


Shape = dict[str, tuple[str, set[str]]]


def scrape(address: str) -> str:
    """Return the page."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4; charset=utf-8")
        return str(answer.read().decode())


def shape_of(text: str) -> Shape:
    """Return type and label names of every metric on a page."""
    return {
        family.name: (family.type, {label for sample in family.samples for label in sample.labels})
        for family in text_string_to_metric_families(text)
    }


def value_of(text: str, name: str, **labels: str) -> float:
    """Return the one value with these labels; the parser, not the page, appends `_total`."""
    (value,) = (
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.removesuffix("_total") == name and labels.items() <= sample.labels.items()
    )
    return value


def send_over_http(address: str, sent: bytes) -> None:
    """Post a request of spans."""
    headers = {"Content-Type": "application/x-protobuf"}
    request = urllib.request.Request(f"http://{address}/v1/traces", sent, headers)
    assert urllib.request.urlopen(request, timeout=20).status == 200


@contextmanager
def watched(folder: Path, *ports: int, **sections: Any) -> Generator[Processor]:
    """Run a processor with a journal and a page for Prometheus."""
    usual = {"receiver": BOTH, "journal": {"folder": str(folder)}, "telemetry": SCRAPED}
    with running.processor(*ports, **(usual | sections)) as processor:
        yield processor


def described() -> Iterable[tuple[str, str, set[str]]]:
    """Yield name, type and labels of every row of the page's tables, as Prometheus shows them."""
    for row in re.findall(r"^\| `([a-z_.]+)` \| (\w+) \|([^|]*)\|", PAGE.read_text(), re.MULTILINE):
        labels = {label.strip().replace(".", "_") for label in row[2].split(",") if label.strip()}
        yield row[0].replace(".", "_"), row[1], SERIES if labels == {"the series"} else labels


def test_page_holds_what_is_written_about_it(tmp_path: Path) -> None:
    """Every metric of the table is on the page of a processor that has found something, with its type and labels, and no other."""
    detection = {"window_s": 1, "lateness_s": 5, "learning": {"windows": 15, "rows": 100}}
    dora = {"settle_s": 10, "min_requests": 100}
    sections = {"detection": detection, "slo": {"documents": [OBJECTIVE]}, "dora": dora}
    with running.backend() as (_, port), watched(tmp_path, port, **sections) as processor:
        begin_s = int(time.time()) - 900
        rng = Random(5)
        for second in range(120):
            running.export(processor.receiver_address, _a_second(begin_s + second, rng, slower=1 + 9 * (second > 60)))
            version = "2" if 40 <= second < 80 else "1"  # deployed, and rolled back
            running.export(processor.receiver_address, _deployed(begin_s + second, version))
        assert eventually(lambda: bool(processor.pipeline.panorama.opened()))
        assert eventually(lambda: any(one.recovered_ns for one in processor.pipeline.deployments.since(0)))
        shape = shape_of(scrape(processor.metrics_address))

    del shape["target_info"]
    assert shape == {name: (kind, labels) for name, kind, labels in described()}
    assert {metric.name.replace(".", "_") for metric in METRICS} == set(shape)


def _a_second(begin_s: int, rng: Random, slower: float) -> bytes:
    """Return the spans of a second of event time, some 20 ms each."""
    ends = [begin_s * SECOND_NS + rng.randrange(SECOND_NS) for _ in range(60)]
    took = [int(0.02 * SECOND_NS * rng.lognormvariate(0, 0.2) * slower) for _ in ends]
    return encoded(
        *(
            span(start_time_unix_nano=end - lasted, end_time_unix_nano=end)
            for end, lasted in zip(ends, took, strict=True)
        )
    )


def _deployed(begin_s: int, version: str) -> bytes:
    """Return a second's spans of a model of some version, committed an hour ago."""
    end_ns = begin_s * SECOND_NS
    facts = {semconv.MODEL_NAME: "deployed", semconv.MODEL_VERSION: version}
    made = request([span(facts, start_time_unix_nano=end_ns, end_time_unix_nano=end_ns + 1)] * 20)
    committed = made.resource_spans[0].resource.attributes.add(key=semconv.COMMIT_TIME)
    committed.value.int_value = begin_s - 3_600
    return made.SerializeToString()


def test_orchestrators_ask_where_prometheus_scrapes(tmp_path: Path) -> None:
    """Without a live page, which tests have none of, a processor still says that it lives, and that it takes spans."""
    with running.backend() as (_, port), watched(tmp_path, port) as processor:
        assert not processor.page_url
        for path, said in (("healthz", b"alive"), ("readyz", b"ready")):
            with urllib.request.urlopen(f"http://{processor.metrics_address}/{path}", timeout=10) as answer:
                assert answer.read() == said


def test_a_processor_that_takes_no_spans_says_so() -> None:
    """While it starts and while it drains it lives, is not ready, and has whatever metrics there are."""
    asked = TestClient(scraped_app(lambda: "up 1\n", lambda: False))

    assert [asked.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 503, 200]


def test_spans_are_counted_by_what_they_came_over(tmp_path: Path) -> None:
    """Three spans over gRPC and two over HTTP are told apart; sent ones bear the backend's address."""
    with running.backend() as (_, port), watched(tmp_path, port) as processor:
        running.export(processor.receiver_address, encoded(*[span()] * 3))
        send_over_http(processor.http_address, encoded(*[span()] * 2))
        assert eventually(lambda: value_of(scrape(processor.metrics_address), "otelcol_exporter_sent_spans") == 5)
        text = scrape(processor.metrics_address)

    accepted = "otelcol_receiver_accepted_spans"
    assert value_of(text, accepted, transport="grpc", receiver="otlp") == 3
    assert value_of(text, accepted, transport="http", receiver="otlp") == 2
    assert value_of(text, "otelcol_exporter_sent_spans", server_address="127.0.0.1", server_port=str(port)) == 5


def test_what_waits_is_shown(tmp_path: Path) -> None:
    """With a backend that is down the queue fills, ages, and at its bound refuses; once it is up, it is empty."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    small = {"folder": str(tmp_path), "most_bytes": 1 << 16}
    with (
        ExitStack() as backends,  # a stop waits for a backend that is gone
        watched(tmp_path, port, journal=small, forwarding={"backoff_max_s": 0.1}) as processor,
    ):
        large = encoded(span({"text": "x" * 50_000}))
        running.export(processor.receiver_address, large)
        with pytest.raises(grpc.RpcError):
            running.export(processor.receiver_address, large)
        assert eventually(lambda: value_of(scrape(processor.metrics_address), "spanward_journal_oldest") > 0.05)
        full = scrape(processor.metrics_address)
        backends.enter_context(running.backend(port))
        assert eventually(lambda: value_of(scrape(processor.metrics_address), "otelcol_exporter_queue_size") == 0)
        empty = scrape(processor.metrics_address)

    assert value_of(full, "otelcol_exporter_queue_size", exporter="backend-0") > len(large)
    assert value_of(full, "otelcol_exporter_queue_capacity") == 1 << 16
    assert value_of(full, "otelcol_exporter_enqueue_failed_spans") == 1
    assert value_of(full, "otelcol_receiver_refused_spans", transport="grpc") == 1
    assert value_of(empty, "spanward_journal_oldest") == 0


def test_what_a_backend_rejects_is_counted(tmp_path: Path) -> None:
    """A partial success of the backend is seen, although its sender was told OK."""
    with running.backend() as (backend, port), watched(tmp_path, port) as processor:
        backend.reply.partial_success.rejected_spans = 2
        running.export(processor.receiver_address, encoded(*[span()] * 3))
        rejected = "spanward_exporter_rejected_items"

        assert eventually(lambda: value_of(scrape(processor.metrics_address), rejected) == 2)


def test_the_process_shows_what_it_uses(tmp_path: Path) -> None:
    """CPU time grows, memory and uptime are plausible, and detectors' time is a part of it."""
    with running.backend() as (_, port), watched(tmp_path, port) as processor:
        before = scrape(processor.metrics_address)
        for _ in range(50):
            running.export(processor.receiver_address, encoded(*[span()] * 50))
        after = scrape(processor.metrics_address)

    used = value_of(after, "otelcol_process_cpu_seconds") - value_of(before, "otelcol_process_cpu_seconds")
    judged = value_of(after, "spanward_detector_time", detector="baseline", work="rows")
    assert 0 < judged < used
    assert 20 << 20 < value_of(after, "otelcol_process_memory_rss") < 8 << 30
    assert value_of(after, "otelcol_process_uptime") > 0
    assert value_of(after, "spanward_keys_used") == 2
    assert value_of(after, "spanward_keys_limit") == 10_000


def test_only_metrics_are_served(tmp_path: Path) -> None:
    """The address of the metrics answers nothing else."""
    with watched(tmp_path) as processor, pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{processor.metrics_address}/", timeout=10)


@contextmanager
def collector(folder: Path, to: int) -> Generator[tuple[str, str, str]]:
    """Run a Collector that forwards traces; yield its addresses for gRPC, HTTP and Prometheus."""
    binary = cached_peer()
    require_peer("OpenTelemetry Collector", binary is not None, "none is built; tests/peers/collector.sh builds it")
    names = ("grpc", "http", "scraped")
    with ExitStack() as taken:  # all at once, so that they differ
        ports = [taken.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in names]
    free = dict(zip(names, ports, strict=True))
    config = folder / "collector.yaml"
    config.write_text(_COLLECTOR.format(to=to, **free))
    with (folder / "collector.log").open("wb") as log:
        process = subprocess.Popen([str(binary), "--config", str(config)], stdout=log, stderr=log)
    try:
        ready = "Everything is ready"
        assert eventually(lambda: ready in (folder / "collector.log").read_text()), (
            folder / "collector.log"
        ).read_text()
        yield f"127.0.0.1:{free['grpc']}", f"127.0.0.1:{free['http']}", f"127.0.0.1:{free['scraped']}"
    finally:
        process.terminate()
        process.wait(20)


def traffic(over_grpc: str, over_http: str, backend: running.Backend) -> None:
    """Send what is taken over both transports, and what the backend refuses for good."""
    running.export(over_grpc, encoded(*[span()] * 3))
    send_over_http(over_http, encoded(*[span()] * 2))
    assert eventually(lambda: backend.asked == 2)
    backend.refusal = (grpc.StatusCode.INVALID_ARGUMENT, "bad")
    running.export(over_grpc, encoded(span()))
    assert eventually(lambda: backend.refused >= 1)
    backend.refusal = None


def test_a_collector_on_the_same_traffic_shows_the_same(tmp_path: Path) -> None:
    """Names, types, labels and counts are a real Collector's, but for what docs/metrics.md says that differs."""
    failed = "otelcol_exporter_send_failed_spans"
    with running.backend() as (backend, port), collector(tmp_path, port) as (over_grpc, over_http, scraped):
        traffic(over_grpc, over_http, backend)
        assert eventually(lambda: failed in scrape(scraped))
        theirs = scrape(scraped)
    with running.backend() as (backend, port), watched(tmp_path / "journal", port) as processor:
        traffic(processor.receiver_address, processor.http_address, backend)
        assert eventually(lambda: value_of(scrape(processor.metrics_address), failed) == 1)
        ours = scrape(processor.metrics_address)

    told = {name: shape for name, shape in shape_of(theirs).items() if name.startswith("otelcol_")}
    wanted = {
        name: (kind, labels - MISSING_LABELS.get(name, set()))
        for name, (kind, labels) in told.items()
        if not MISSING.fullmatch(name)
    }
    found = {name: shape for name, shape in shape_of(ours).items() if name in wanted}
    assert wanted == found
    for transport, spans in (("grpc", 4), ("http", 2)):
        for page in (theirs, ours):
            assert value_of(page, "otelcol_receiver_accepted_spans", receiver="otlp", transport=transport) == spans
    for name, spans in (("otelcol_exporter_sent_spans", 5), (failed, 1)):
        for page in (theirs, ours):
            assert value_of(page, name, server_address="127.0.0.1") == spans
