"""What is measured: this processor, and a Collector with the pipeline beside it; each a real process on loopback."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from spanward import semconv
from spanward_processor.demo.processes import Processes

OURS: Final = "spanward"
THEIRS: Final = "collector"
DIRECT: Final = "direct"

_READY_S: Final = 180.0  # kernels may have to be compiled first
_OURS_READY: Final = r"ready receiver=(\S+)"
_THEIRS_READY: Final = r'(?s)Starting GRPC server.*?"endpoint": "([^"]+)".*Everything is ready'


@dataclass(frozen=True, slots=True)
class Side:
    """Something that takes spans and passes them to the sink.

    Args:
        name: Which one.
        address: HOST:PORT of its receiver.
        pid: Root of its process tree; None for the sink itself.
    """

    name: str
    address: str
    pid: int | None = None


def cached_peer() -> Path | None:
    """Return the Collector that `tests/peers/collector.sh` built last, if there is one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = sorted((cache / "spanward" / "peers").glob("otelcol-v*"), key=lambda path: path.stat().st_mtime)
    return built[-1] if built else None


def our_config(
    sink: str, *, gzip: bool, flagged_rows_ratio: float, series: int, journal: Path | None = None
) -> dict[str, Any]:
    """Return the configuration of the processor: every default, but for what lets it learn within seconds.

    Args:
        sink: HOST:PORT of the backend.
        gzip: Whether it compresses what it forwards.
        flagged_rows_ratio: How many rows are annotated.
        series: How many series will come.
        journal: Where acknowledged requests are kept; None waits for the sink instead.
    """
    return {
        "receiver": {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"},
        "journal": {"folder": str(journal)} if journal else None,
        "live": {"listen": "127.0.0.1:0"},
        "backends": [{"name": "sink", "endpoint": f"http://{sink}", "compression": "gzip" if gzip else "none"}],
        "detection": detection(flagged_rows_ratio),
        "limits": {"keys": max(10_000, 6 * series)},
    }


def detection(flagged_rows_ratio: float) -> dict[str, Any]:
    """Return the section that says how spans are judged."""
    return {
        "flagged_rows_ratio": flagged_rows_ratio,
        "learning": {"windows": 2, "rows": 30},
    }


def their_config(sink: str, *, gzip: bool, span_metrics: bool) -> dict[str, Any]:
    """Return the configuration of the Collector: otlp -> batch -> otlp, and span_metrics beside it when asked for."""
    exporter = {
        "endpoint": sink,
        "tls": {"insecure": True},
        "compression": "gzip" if gzip else "none",
    }
    pipelines: dict[str, Any] = {
        "traces": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["otlp_grpc"]},
    }
    config: dict[str, Any] = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0", "max_recv_msg_size_mib": 64}}}},
        "processors": {"batch": {}},
        "exporters": {"otlp_grpc": exporter},
        "service": {"pipelines": pipelines, "telemetry": {"metrics": {"level": "none"}}},
    }
    if span_metrics:
        dimensions = [{"name": semconv.MODEL_NAME}, {"name": semconv.DECISION}]
        config["connectors"] = {"span_metrics": {"dimensions": dimensions}}
        pipelines["traces"]["exporters"] = ["span_metrics", "otlp_grpc"]
        pipelines["metrics"] = {"receivers": ["span_metrics"], "exporters": ["otlp_grpc"]}
    return config


async def start_sink(processes: Processes) -> Side:
    """Start the sink."""
    command = [sys.executable, "-m", "spanward_processor.bench.sink"]
    ready = await processes.start("sink", command, ready=_OURS_READY, timeout_s=_READY_S)
    return Side(DIRECT, ready[1])


async def start_ours(processes: Processes, folder: Path, config: Mapping[str, Any]) -> Side:
    """Start this processor with a configuration."""
    path = _write(folder / "spanward.yaml", config)
    command = [sys.executable, "-m", "spanward_processor", "processor", "--config", str(path)]
    ready = await processes.start(OURS, command, ready=_OURS_READY, timeout_s=_READY_S)
    return Side(OURS, ready[1], processes.pid(OURS))


async def start_theirs(processes: Processes, folder: Path, binary: Path, config: Mapping[str, Any]) -> Side:
    """Start a Collector with a configuration."""
    path = _write(folder / "collector.yaml", config)
    ready = await processes.start(THEIRS, [str(binary), "--config", str(path)], ready=_THEIRS_READY, timeout_s=_READY_S)
    return Side(THEIRS, ready[1], processes.pid(THEIRS))


def _write(path: Path, config: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    return path
