"""The three programs of the demo and how they are connected: service -> processor -> backend."""

import asyncio
import os
import secrets
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spanward_processor.demo.processes import Processes
from spanward_processor.demo.screen import Screen

_START_S: Final = 90.0
_ADDRESS: Final = r"127\.0\.0\.1:\d+"
_CONFIG: Final = """\
receiver:
  listen: {receiver}
  http_listen: null
journal:
  folder: {journal}
live:
  listen: 127.0.0.1:0
backends:
  - name: your-backend
    endpoint: http://{backend}
detection:
  window_s: 2
  lateness_s: 1
  learning:
    windows: 15
    rows: 120
slo:
  documents:
    - apiVersion: openslo/v1
      kind: SLO
      metadata: {{name: answered}}
      spec:
        service: support-desk
        indicator:
          spec:
            ratioMetric:
              bad: {{metricSource: {{type: spanward, spec: {{status: error}}}}}}
              total: {{metricSource: {{type: spanward}}}}
        objectives: [{{targetPercent: 99.9}}]
    - apiVersion: openslo/v1
      kind: SLO
      metadata: {{name: in-time}}
      spec:
        service: support-desk
        indicator:
          spec:
            thresholdMetric: {{metricSource: {{type: spanward, spec: {{value: latency_s}}}}}}
        objectives: [{{op: lt, value: 0.1, targetPercent: 95}}]
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the running programs are reached.

    Args:
        page: The live page.
        tickets: Where tickets are posted.
        backend: HOST:PORT of the backend.
    """

    page: str
    tickets: str
    backend: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What differs between the stories.

    Args:
        service: The ASGI application that is watched.
        config: What the processor's configuration holds besides.
        environment: Variables of the service besides.
    """

    service: str = "spanward_processor.demo.service:app"
    config: str = ""
    environment: dict[str, str] = field(default_factory=dict[str, str])


async def set_up(processes: Processes, folder: Path, screen: Screen, scene: Scene) -> Stage:
    """Compile the kernels and start the service and the backend meanwhile, then start the processor between them.

    Args:
        processes: Ends them later.
        folder: Where the processor's configuration is written.
        screen: Told of each step.
        scene: What is set up.

    Raises:
        ExceptionGroup: Of `ProcessError`: one or more of them did not start.
    """
    receiver = f"127.0.0.1:{_free_port()}"
    async with asyncio.TaskGroup() as group:
        with screen.waiting("compiling the processor's kernels (about a minute the first time, then cached)"):
            sink = group.create_task(_start_backend(processes))
            service = group.create_task(_start_service(processes, receiver, scene))
            await processes.run("kernel compilation", _module("spanward_processor", "warmup"))
        with screen.waiting("starting the service with its model, and your backend (it counts what it is sent)"):
            backend, tickets = await sink, await service
        with screen.waiting("starting `spanward processor` between them"):
            page = await _start_processor(processes, folder, receiver, backend, scene)
    return Stage(page=page, tickets=f"http://{tickets}/route", backend=backend)


async def _start_backend(processes: Processes) -> str:
    sink = _module("spanward_processor.demo.sink")
    ready = await processes.start("backend", sink, ready=rf"ready receiver=({_ADDRESS})", timeout_s=_START_S)
    return ready[1]


async def _start_service(processes: Processes, receiver: str, scene: Scene) -> str:
    ready = await processes.start(
        "service",
        _module("uvicorn", scene.service, "--port", "0", "--no-access-log"),
        ready=rf"running on http://({_ADDRESS})",
        timeout_s=_START_S,
        env=_service_environment(receiver) | scene.environment,
    )
    return ready[1]


async def _start_processor(processes: Processes, folder: Path, receiver: str, backend: str, scene: Scene) -> str:
    config = folder / "processor.yaml"
    common = _CONFIG.format(receiver=receiver, journal=folder / "journal", backend=backend)
    config.write_text(common + scene.config, encoding="utf-8")
    ready = await processes.start(
        "processor",
        _module("spanward_processor", "processor", "--config", str(config)),
        ready=r"ready receiver=\S+ page=(http://\S+)",
        timeout_s=_START_S,
    )
    return ready[1]


def _free_port() -> int:
    """Return a port to tell the service before the processor can listen: its kernels are still being compiled."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _module(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def _service_environment(receiver: str) -> dict[str, str]:
    """Return our environment with the standard variables that send spans to the processor."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return ours | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver}",
        "OTEL_BSP_SCHEDULE_DELAY": "500",  # milliseconds; the windows of the demo are short
        "SPANWARD_HASHING_KEY": secrets.token_hex(32),
    }
