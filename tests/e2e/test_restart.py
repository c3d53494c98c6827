"""A real processor is stopped or killed, and started again: what it had learned goes on."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from running import backend, export
from spans import encoded, eventually, span
from strict import Running, running

SECOND_NS = 1_000_000_000
BEGIN = 1_700_000_000
LEARNED_S = 60
EASILY_FOUND = {"window_s": 2, "lateness_s": 2, "learning": {"windows": 15, "rows": 200}}


class Stream:
    """Spans of one model, a request for each second of event time, as fast as they are taken."""

    def __init__(self) -> None:
        self.second = BEGIN
        self._rng = np.random.default_rng(7)

    def send(self, address: str, seconds: int, *, slowly: bool = False) -> None:
        """Send so many seconds' spans, ten times as long where they are slow."""
        for _ in range(seconds):
            export(address, self._request(10 if slowly else 1))
            self.second += 1

    def _request(self, times: int) -> bytes:
        ends = self.second * SECOND_NS + self._rng.integers(SECOND_NS, size=40)
        took = 0.02 * SECOND_NS * self._rng.lognormal(0, 0.2, 40) * times
        return encoded(
            *(
                span({}, start_time_unix_nano=int(end - lasted), end_time_unix_nano=int(end))
                for end, lasted in zip(ends, took, strict=True)
            )
        )


def configured(folder: Path, port: int) -> dict[str, Any]:
    """Return a configuration that learns and finds quickly."""
    return {
        "receiver": {"listen": "127.0.0.1:0", "http_listen": None},
        "live": {"listen": "127.0.0.1:0"},
        "journal": {"folder": str(folder / "journal")},
        "state": {"interval_s": 0.3},
        "backends": [{"name": "b", "endpoint": f"http://127.0.0.1:{port}"}],
        "detection": EASILY_FOUND,
        "telemetry": {"interval_s": 3600},
    }


def snapshot(processor: Running) -> dict[str, Any]:
    """Return what the page shows."""
    shown: dict[str, Any] = httpx.get(f"http://{processor.address('page')}/api/snapshot").json()
    return shown


def ready(processor: Running) -> list[str]:
    """Return the state of every series."""
    return [series["state"] for series in snapshot(processor)["series"]]


def opened(processor: Running) -> list[dict[str, Any]]:
    """Return the findings that last."""
    return [finding for finding in snapshot(processor)["findings"] if finding["state"] != "resolved"]


def stopped(processor: Running) -> None:
    """Stop it as an operator does."""
    processor.process.send_signal(signal.SIGTERM)
    assert processor.process.wait(60) == 0


def killed(processor: Running) -> None:
    """Kill it, once a snapshot was written that is newer than all that was sent."""
    file = processor.folder / "journal" / "detectors.state"
    for _ in range(2):
        written = file.stat().st_mtime_ns if file.exists() else 0
        assert eventually(lambda written=written: file.exists() and file.stat().st_mtime_ns > written)  # type: ignore[misc]
    processor.process.kill()
    processor.process.wait(60)


@pytest.mark.parametrize("end", [stopped, killed])
def test_what_was_learned_and_found_goes_on(end: Callable[[Running], None], tmp_path: Path) -> None:
    """Ready at once, no finding because of the restart, the incident after it is found, and outlives another one."""
    with backend() as (_, port):
        config, stream = configured(tmp_path, port), Stream()
        with running(tmp_path, config) as first:
            stream.send(first.address(), LEARNED_S)
            assert eventually(lambda: ready(first) == ["ready"])
            end(first)
        with running(tmp_path, config) as second:
            assert ready(second) == ["ready"]
            assert "what was learned before the restart goes on" in second.log
            stream.send(second.address(), 30)
            assert opened(second) == []
            stream.send(second.address(), 30, slowly=True)
            assert eventually(lambda: [finding["aspect"] for finding in opened(second)] == ["latency"])
            end(second)
        with running(tmp_path, config) as third:
            (finding,) = opened(third)
            stream.send(third.address(), 30, slowly=True)
            assert [(each["id"], each["opened_ns"]) for each in opened(third)] == [
                (finding["id"], finding["opened_ns"])
            ]
            stream.send(third.address(), 60)
            assert eventually(lambda: opened(third) == [])
            assert {each["id"] for each in snapshot(third)["findings"]} == {finding["id"]}


def test_a_damaged_snapshot_is_a_line_in_the_log(tmp_path: Path) -> None:
    """It starts all the same, and learns."""
    with backend() as (_, port):
        config, stream = configured(tmp_path, port), Stream()
        (tmp_path / "journal").mkdir()
        (tmp_path / "journal" / "detectors.state").write_bytes(b"spanward-state 5\n{}")
        with running(tmp_path, config) as processor:
            stream.send(processor.address(), 10)
            assert eventually(lambda: ready(processor) == ["learning"])

    assert processor.log.count("learning begins anew") == 1
