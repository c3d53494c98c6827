"""A service that can be made slow for known reasons: the model computes for real, and every reason is a real one.

Run it as any FastAPI service: `uvicorn spanward_processor.demo.slowed_service:app`, with HOST:PORT of what it asks over a socket in
`REMOTE`. `POST /slow` says which reasons hold from then on.
"""

import asyncio
import gc
import json
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import anyio.to_thread
from fastapi import FastAPI

import spanward
from spanward_integrations.fastapi import instrument_fastapi

MODEL: Final = "reader"
COLLECT: Final = "garbage"
LOCK: Final = "lock"
WORKERS: Final = "workers"
RELOAD: Final = "reload"
VERSION: Final = "version"
CODE: Final = "code"
REASONS: Final = (COLLECT, LOCK, WORKERS, RELOAD, VERSION, CODE)

_STEPS: Final = 40  # of arithmetic for each token: some 2 microseconds
_HEAVIER: Final = 6  # times as many in a model that computes for longer than the system lets anyone compute in one go
_DEARER: Final = 4.0  # times as many, in slower code
_COLLECT_EVERY: Final = 5
_RELOAD_EVERY: Final = 8
_LIVE: Final = 60_000  # cycles that every collection walks
_DROPPED: Final = 2_000
_HELD_S: Final = 0.03
_FREE_S: Final = 0.002
_WORKERS: Final = 2
_REPORT_S: Final = 0.03
_REPORTS: Final = 4


def _cycles(number: int) -> list[list[object]]:
    """Return lists that hold themselves, which only a collection frees."""
    made: list[list[object]] = [[] for _ in range(number)]
    for one in made:
        one.append(one)
    return made


@dataclass(slots=True)
class State:
    """What holds now.

    Args:
        reasons: Why it is slow.
        lock: What every call needs for a moment.
        weights: The model, as it lies on a disk.
        live: Cycles in use.
        calls: Numbers the calls.
    """

    reasons: frozenset[str] = frozenset()
    lock: threading.Lock = field(default_factory=threading.Lock)
    weights: str = field(default_factory=lambda: json.dumps([number / 7 for number in range(120_000)]))
    live: list[list[object]] = field(default_factory=list[list[object]])
    calls: Iterator[int] = field(default_factory=count)


state = State()


def _hold() -> None:
    """Hold what calls need, again and again, as a writer of reports does."""
    while LOCK in state.reasons:
        with state.lock:
            time.sleep(_HELD_S)
        time.sleep(_FREE_S)


async def _report() -> None:
    """Keep workers busy with something slow, again and again."""
    while WORKERS in state.reasons:
        await anyio.to_thread.run_sync(time.sleep, _REPORT_S)


def _compute(tokens: int, steps: int = _STEPS) -> dict[str, object]:
    """Return what the model makes of so many tokens; it takes time with each."""
    number = next(state.calls)
    if RELOAD in state.reasons and number % _RELOAD_EVERY == 0:
        with spanward.model_loading(MODEL):
            json.loads(state.weights)
    if COLLECT in state.reasons and number % _COLLECT_EVERY == 0:
        _cycles(_DROPPED)
        gc.collect()
    with state.lock:
        pass
    dearer = state.reasons & {VERSION, CODE}
    value = 1
    for _ in range(int(tokens * steps * (_DEARER if dearer else 1.0))):
        value = value * 1_103_515_245 & 0xFFFFFFFF
    return {"label": str(value % 4), "tokens": tokens}


def _counted(result: dict[str, object]) -> spanward.Tokens:
    return spanward.Tokens(input=int(str(result["tokens"])))


read_1 = spanward.inference(model=MODEL, version="1", tokens=_counted)(_compute)
read_2 = spanward.inference(model=MODEL, version="2", tokens=_counted)(_compute)


@spanward.inference(model="heavy", version="1", tokens=_counted)
def read_heavily(tokens: int) -> dict[str, object]:
    """Compute for long: who computes little gets a processor before those that compute all the time."""
    return _compute(tokens, _HEAVIER * _STEPS)


def _ask() -> None:
    """Ask another process over a socket and wait for its answer."""
    host, port = os.environ["REMOTE"].rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"?")
        connection.recv(1)


@spanward.inference(model="caller", version="1", tokens=_counted)
def read_elsewhere(tokens: int) -> dict[str, object]:
    """Compute, and ask another service in between, in a thread that waits."""
    _ask()
    return _compute(tokens)


@spanward.inference(model="awaiter", version="1", tokens=_counted)
async def await_elsewhere(tokens: int) -> dict[str, object]:
    """Compute, and ask another service in between, in a coroutine."""
    host, port = os.environ["REMOTE"].rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"?")
    await reader.read(1)
    writer.close()
    await writer.wait_closed()
    return _compute(tokens)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Send spans while the service runs, to where the standard OTEL_* variables say."""
    spanward.configure(service_name="slowed")
    yield
    state.reasons = frozenset()  # threads that hold and report end
    spanward.shutdown()


app = FastAPI(lifespan=lifespan)
instrument_fastapi(app)
_tasks: set[asyncio.Task[None]] = set()


@app.post("/reader")
def reader(tokens: int) -> None:
    """Read so many tokens."""
    (read_2 if VERSION in state.reasons else read_1)(tokens)


@app.post("/heavy")
def heavy(tokens: int) -> None:
    """Read so many tokens by the heavy model."""
    read_heavily(tokens)


@app.post("/caller")
def caller(tokens: int) -> None:
    """Read so many tokens, and ask another service."""
    read_elsewhere(tokens)


@app.post("/awaiter")
async def awaiter(tokens: int) -> None:
    """Read so many tokens, and await another service."""
    await await_elsewhere(tokens)


@app.post("/slow")
async def slow(reasons: str = "") -> None:
    """Take these reasons, separated by commas, instead of those that held."""
    wanted = frozenset(filter(None, reasons.split(",")))
    state.reasons = wanted
    state.live = _cycles(_LIVE) if COLLECT in wanted else []
    anyio.to_thread.current_default_thread_limiter().total_tokens = _WORKERS if WORKERS in wanted else 40
    await asyncio.gather(*_tasks)  # of before
    _tasks.clear()
    if WORKERS in wanted:
        _tasks.update(asyncio.create_task(_report()) for _ in range(_REPORTS))
    if LOCK in wanted:
        threading.Thread(target=_hold, name="holder", daemon=True).start()
