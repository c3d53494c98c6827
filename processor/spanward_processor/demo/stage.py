"""The three programs of the demo and how they are connected: service -> processor -> backend."""

import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanward_processor.demo.processes import Processes
from spanward_processor.demo.screen import Screen

_START_S: Final = 60.0
_ADDRESS: Final = r"127\.0\.0\.1:\d+"
_CONFIG: Final = """\
receiver:
  listen: 127.0.0.1:0
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
    rows: 200
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


async def set_up(processes: Processes, folder: Path, screen: Screen) -> Stage:
    """Compile the kernels, then start backend, processor and service.

    Args:
        processes: Ends them later.
        folder: Where the processor's configuration is written.
        screen: Told of each step.

    Raises:
        ProcessError: One of them did not start.
    """
    with screen.waiting("compiling the processor's kernels (about half a minute the first time, then cached)"):
        await processes.run("kernel compilation", _module("spanward_processor", "warmup"))
    with screen.waiting("starting your backend (an OTLP server that counts what it gets)"):
        sink = _module("spanward_processor.demo.sink")
        ready = await processes.start("backend", sink, ready=rf"ready receiver=({_ADDRESS})", timeout_s=_START_S)
    backend = ready[1]
    with screen.waiting("starting `spanward processor`"):
        config = folder / "processor.yaml"
        config.write_text(_CONFIG.format(backend=backend), encoding="utf-8")
        ready = await processes.start(
            "processor",
            _module("spanward_processor", "processor", "--config", str(config)),
            ready=rf"ready receiver=({_ADDRESS}) page=(http://\S+)",
            timeout_s=_START_S,
        )
    receiver, page = ready.groups()
    with screen.waiting("starting the service and training its model"):
        ready = await processes.start(
            "service",
            _module("uvicorn", "spanward_processor.demo.service:app", "--port", "0", "--no-access-log"),
            ready=rf"running on http://({_ADDRESS})",
            timeout_s=_START_S,
            env=_service_environment(receiver),
        )
    return Stage(page=page, tickets=f"http://{ready[1]}/route", backend=backend)


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
