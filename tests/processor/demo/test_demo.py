"""The whole demo as a user starts it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spanward_processor.demo.incidents import INCIDENTS

pytestmark = pytest.mark.slow

_PATIENCE_S = 420  # three minutes on a quiet machine
_COMMAND = (sys.executable, "-m", "spanward_processor", "demo")


def _children(folder: Path) -> list[str]:
    """Return the command lines of living processes whose temporary folder is this one."""
    mark = f"TMPDIR={folder}".encode()
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text(encoding="utf-8").replace("\0", " "))
        except (OSError, UnicodeDecodeError):
            continue  # it ended while we looked, or is not ours
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds left processes through /proc")
def test_demo_finds_every_incident_loses_no_span_and_leaves_no_process(tmp_path: Path) -> None:
    """Exit code 0, all three incidents named, as many spans behind the processor as before it."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    demo = subprocess.run(_COMMAND, env=environment, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    print(demo.stdout)
    assert (demo.returncode, demo.stderr) == (0, "")
    summary = demo.stdout.partition("\nSummary\n")[2]
    for incident in INCIDENTS:
        assert re.search(rf"{incident.name} +│ after [0-9.]+ s", summary), incident.name
    spans = re.search(r"Spans: ([0-9,]+) sent .* your backend received ([0-9,]+), ", summary)
    assert spans is not None
    assert spans[1] == spans[2] != "0"
    assert _children(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds left processes through /proc")
def test_the_canary_is_out_by_nobodys_hand(tmp_path: Path) -> None:
    """Exit code 0, every step of the timeline has its time, and nothing is left running."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = (*_COMMAND, "--scenario", "canary")
    demo = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    print(demo.stdout)
    assert (demo.returncode, demo.stderr) == (0, "")
    timeline = demo.stdout.partition("\nTimeline")[2]
    for step in ("regression begins", "decided", "rolled back", "recovered"):
        assert re.search(rf"^ +[0-9.]+  {step} ", timeline, re.MULTILINE), step
    assert _children(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds left processes through /proc")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_demo_and_every_process(tmp_path: Path, sign: signal.Signals) -> None:
    """Stopped while it learns: the exit code a shell gives to the signal, and nothing left running."""
    output = tmp_path / "output.txt"
    with output.open("wb") as written:
        demo = subprocess.Popen(_COMMAND, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=written, stderr=written)
    try:
        until = time.monotonic() + _PATIENCE_S
        while "Learning what is normal" not in output.read_text(encoding="utf-8"):
            assert demo.poll() is None, output.read_text(encoding="utf-8")
            assert time.monotonic() < until
            time.sleep(0.1)
        assert len(_children(tmp_path)) >= 4  # itself, backend, processor, service
        demo.send_signal(sign)
        assert demo.wait(60) == 128 + sign
    finally:
        demo.kill()
        demo.wait()
    assert output.read_text(encoding="utf-8").rstrip().endswith("Stopped.")
    assert _children(tmp_path) == []
