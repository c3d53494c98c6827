"""The demo's programs are awaited, watched, and surely ended: with real processes."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from spanward_processor.demo.processes import ProcessError, Processes

_PATIENCE_S = 20.0
_SAY_AND_STAY = "import time; print('ready at 7', flush=True); time.sleep(60)"
_DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready at 7', flush=True); time.sleep(60)"


def _python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import os; print('pid', os.getpid(), flush=True); {code}")


def _pid(folder: Path, name: str) -> int:
    return int((folder / f"{name}.log").read_text(encoding="utf-8").split()[1])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_program_is_ready_when_it_says_so_and_ended_on_leaving(tmp_path: Path) -> None:
    """The match of what it said is returned; afterwards the process is gone."""

    async def run() -> str:
        async with Processes(tmp_path) as processes:
            ready = await processes.start("one", _python(_SAY_AND_STAY), ready=r"ready at (\d)", timeout_s=_PATIENCE_S)
            assert _alive(_pid(tmp_path, "one"))
            return ready[1]

    assert asyncio.run(run()) == "7"
    assert not _alive(_pid(tmp_path, "one"))


def test_program_that_is_deaf_to_sigterm_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left, whatever a program does with signals."""
    monkeypatch.setattr("spanward_processor.demo.processes._GRACE_S", 0.3)

    async def run() -> None:
        async with Processes(tmp_path) as processes:
            await processes.start("deaf", _python(_DEAF), ready="ready", timeout_s=_PATIENCE_S)

    asyncio.run(run())
    assert not _alive(_pid(tmp_path, "deaf"))


def test_program_that_ends_early_is_told_with_its_last_lines(tmp_path: Path) -> None:
    """The message has the exit code and what the program wrote."""

    async def run() -> None:
        async with Processes(tmp_path) as processes:
            code = "import sys; print('no such port', flush=True); sys.exit(3)"
            await processes.start("bad", _python(code), ready="ready", timeout_s=_PATIENCE_S)

    with pytest.raises(ProcessError, match=r"(?s)the bad ended with code 3.*no such port"):
        asyncio.run(run())


def test_program_that_is_not_ready_in_time_is_told_and_ended(tmp_path: Path) -> None:
    """Waiting has an end, and so has the process."""

    async def run() -> None:
        async with Processes(tmp_path) as processes:
            await processes.start("slow", _python(_SAY_AND_STAY), ready="never said", timeout_s=2.0)

    with pytest.raises(ProcessError, match="was not ready within 2 s"):
        asyncio.run(run())
    assert not _alive(_pid(tmp_path, "slow"))


def test_program_that_ends_while_it_is_watched_is_told(tmp_path: Path) -> None:
    """The demo does not go on without one of its programs."""

    async def run() -> None:
        async with Processes(tmp_path) as processes:
            await processes.start("brief", _python("print('ready', flush=True)"), ready="ready", timeout_s=_PATIENCE_S)
            async with asyncio.timeout(_PATIENCE_S):
                await processes.watch()

    with pytest.raises(ProcessError, match="the brief ended with code 0"):
        asyncio.run(run())
