"""A bad canary against a running processor: decided, taken back in a real file, told to the backend and to who asks."""

import json
import time
from pathlib import Path

import httpx
import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import running
from otlp import encoded
from spanward import semconv

SEED = 20_261_126
DEADLINE_S = 60.0


def flag_file(folder: Path) -> Path:
    """Return a file in which a tenth of the clients have the canary."""
    flag = {
        "state": "ENABLED",
        "variants": {"stable": "2.0", "canary": "2.1"},
        "defaultVariant": "stable",
        "targeting": {"fractional": [["stable", 90], ["canary", 10]]},
    }
    file = folder / "flags.json"
    file.write_text(json.dumps({"flags": {"router": flag}}), encoding="utf-8")
    return file


def batch(version: str, count: int, latency_s: float, rng: np.random.Generator) -> bytes:
    """Return a request of spans that end now."""
    end_ns = time.time_ns()
    spans = [{semconv.MODEL_NAME: "router", semconv.MODEL_VERSION: version} for _ in range(count)]
    request = ExportTraceServiceRequest.FromString(encoded(*spans, end_ns=end_ns))
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.start_time_unix_nano = end_ns - int(latency_s * rng.lognormal(0, 0.3) * 1e9)
    return request.SerializeToString()


def findings_of(backend: running.Backend) -> list[dict[str, str]]:
    """Return what a backend was told of canaries, each finding's texts by name."""
    told = [
        {item.key: item.value.string_value for item in record.attributes}
        for request in backend.logs
        for record in request.resource_logs[0].scope_logs[0].log_records
    ]
    return [finding for finding in told if finding[semconv.FINDING_DETECTOR] == "canary"]


def test_a_slow_canary_is_taken_back(tmp_path: Path) -> None:
    """The flag's file is rewritten, the findings leave as log records, and a controller that asks is told."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    file = flag_file(tmp_path)
    before = file.stat().st_mtime_ns
    canary = {
        "window_s": 0.5,
        "lateness_s": 0.2,
        "warmup_s": 0,
        "models": [{"service": "support", "model": "router", "stable": "2.0"}],
        "executors": [{"kind": "flagd", "file": str(file), "flag": "router"}],
    }
    with (
        running.backend() as (backend, port),
        running.processor(
            port,
            canary=canary,
            detection={"window_s": 0.5, "lateness_s": 0.2},
            live={"listen": "127.0.0.1:0"},
        ) as processor,
    ):
        until = time.monotonic() + DEADLINE_S
        while file.stat().st_mtime_ns == before:
            assert time.monotonic() < until
            running.export(processor.receiver_address, batch("2.0", 45, 0.06, rng))
            running.export(processor.receiver_address, batch("2.1", 5, 0.24, rng))
            time.sleep(0.1)
        changed_ns = time.time_ns()
        asked = httpx.get(f"{processor.page_url}v1/canary/support/router").json()
        refused = httpx.post(f"{processor.page_url}v1/canary/support/router", json={"name": "router"})
        while len(findings_of(backend)) < 2 and time.monotonic() < until:
            time.sleep(0.05)

    flag, found = json.loads(file.read_text())["flags"]["router"], findings_of(backend)
    assert (flag["defaultVariant"], flag["targeting"]) == ("stable", {})
    assert (asked["verdict"], refused.status_code) == ("roll_back", 409)
    assert changed_ns - asked["decided_ns"] < 4e9  # the window's lateness is in it, beside the roll-back itself
    assert [finding[semconv.FINDING_ASPECT] for finding in found] == ["latency", "roll_back"]
    assert flag["metadata"]["rolledBackBy"] == found[0][semconv.FINDING_ID]
