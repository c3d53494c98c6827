"""The service, its traffic, and what is seen of both in some stretch of time."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward_processor.demo.processes import Processes
from spanward_processor.evaluate.slowed.backend import Backend, Remote, backend, remote
from spanward_processor.evaluate.slowed.host import Ticks, burners
from spanward_processor.evaluate.slowed.rows import rows
from spanward_processor.explain.measured import Measured

RATE: Final = 25.0
"""Calls a second."""

LATE_S: Final = 0.03

_MEDIAN: Final = 600.0  # tokens
_SPREAD: Final = 0.5  # standard deviation of their logarithm
_LONGER: Final = 3.0
_ARRIVE_S: Final = 20.0
_KEEP: Final = ("--timeout-keep-alive", "600")  # else it may close a connection just when we ask again


@dataclass(frozen=True, slots=True)
class Conditions:
    """What holds while calls are made.

    Args:
        reasons: Why the service is slow, by its own names.
        longer: Whether inputs are three times as long.
        busy: Whether other processes take the processors.
        late: Whether the other service answers late.
        model: Whose calls, which is also the path.
    """

    reasons: frozenset[str] = frozenset()
    longer: bool = False
    busy: bool = False
    late: bool = False
    model: str = "reader"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of some calls.

    Args:
        calls: Their rows.
        busy: Share of the processors that was in use.
    """

    calls: Measured
    busy: float


class Running:
    """The running service.

    Args:
        client: Asks it.
        backend: Takes its spans.
        remote: What it asks.
    """

    def __init__(self, client: httpx.AsyncClient, kept: Backend, other: Remote) -> None:
        self._client, self._backend, self._remote = client, kept, other

    async def observe(self, conditions: Conditions, seconds: float, rng: np.random.Generator) -> Seen:
        """Make calls for some seconds under these conditions, and return what was seen."""
        await self._ask("/slow", reasons=",".join(sorted(conditions.reasons)))
        self._remote.answers_after_s = LATE_S if conditions.late else 0.0
        async with burners(None if conditions.busy else 0):
            self._backend.spans.clear()
            await self._traffic(conditions, 0.5, rng)  # to settle; of this nothing is read
            self._backend.spans.clear()
            before = Ticks.now()
            spans = await self._traffic(conditions, seconds, rng)
            busy = Ticks.now().busy_since(before)
        await self._ask("/slow", reasons="")
        return Seen(rows(spans), busy)

    async def _traffic(self, conditions: Conditions, seconds: float, rng: np.random.Generator) -> list[Span]:
        """Make calls at random times; return their spans, once all are here."""
        arrivals = np.cumsum(rng.exponential(1 / RATE, round(RATE * seconds)))
        tokens = rng.lognormal(np.log(_MEDIAN), _SPREAD, arrivals.size) * (_LONGER if conditions.longer else 1.0)
        began = asyncio.get_running_loop().time()

        async def call(at_s: float, number: int) -> None:
            await asyncio.sleep(max(0.0, began + at_s - asyncio.get_running_loop().time()))
            await self._ask(f"/{conditions.model}", tokens=number)

        pairs = zip(arrivals.tolist(), tokens.astype(int).tolist(), strict=True)
        await asyncio.gather(*(call(at_s, number) for at_s, number in pairs))
        async with asyncio.timeout(_ARRIVE_S):
            return await self._backend.calls(conditions.model, arrivals.size)

    async def _ask(self, path: str, **params: str | int) -> None:
        (await self._client.post(path, params=params)).raise_for_status()


@asynccontextmanager
async def running() -> AsyncGenerator[Running]:
    """Run the service in a process of its own, with what it talks to."""
    program = "spanward_processor.demo.slowed_service:app"
    command = (
        sys.executable,
        "-m",
        "uvicorn",
        program,
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-access-log",
        *_KEEP,
    )
    async with backend() as (kept, port), remote() as (other, other_port):
        env = os.environ | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "REMOTE": f"127.0.0.1:{other_port}",
        }
        with TemporaryDirectory() as folder:
            async with Processes(Path(folder)) as processes:
                found = await processes.start(
                    "service", command, ready=r"running on (http://\S+)", timeout_s=60.0, env=env
                )
                async with httpx.AsyncClient(base_url=found[1], timeout=30.0, trust_env=False) as client:
                    yield Running(client, kept, other)
