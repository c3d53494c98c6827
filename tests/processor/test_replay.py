"""Replay: the recorded trace of a real service through the real processor, and recordings that are none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(os.environ.get("SPANWARD_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
AZURE = DATA / "azure-llm" / "code.csv"
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
GOOD = "2023-11-16 18:17:03.9799600,4808,10\n"


def replay(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the real command."""
    command = [sys.executable, "-m", "spanward_processor", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(not AZURE.exists(), reason=f"the Azure LLM inference trace is not at {AZURE}; set SPANWARD_DATA")
def test_the_azure_trace_is_learned_and_its_findings_printed() -> None:
    """Every line becomes a span in event time, the model's series is ready, and each finding has its reason."""
    result = replay(AZURE)

    assert (result.returncode, result.stderr) == (0, "")
    first, *lines = result.stdout.splitlines()
    assert first.startswith("8,819 spans from 2023-11-16 18:17:03 to 2023-11-16 19:14:19 UTC: 57 min of event time in ")
    (series,) = [line for line in lines if "replay / code" in line]
    assert "ready" in series
    assert "not recorded" in series  # the trace has no durations
    (count,) = [line for line in lines if line.startswith("Findings: ")]
    opened = sum(" opened " in line for line in lines)
    assert count.startswith(f"Findings: {opened or 'none'} (false alarms allowed: 1 a day)")
    assert "were late" not in result.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: must be the header TIMESTAMP,ContextTokens,GeneratedTokens, got ''"),
        ("time,tokens\n", ":1: must be the header TIMESTAMP,ContextTokens,GeneratedTokens, got 'time,tokens'"),
        (HEADER + GOOD + "yesterday,1,2\n", ":3: must be time,tokens,tokens, got 'yesterday,1,2'"),
        (HEADER + GOOD + GOOD + "2023-11-16 18:17:03.97,many,2\n", ":4: must be time,tokens,tokens, got "),
        (HEADER + "2023-11-16 18:17:03.97,-1,2\n", "(-1 is no number of tokens)"),
        (HEADER + "2023-11-16 18:17:03.97,1\n", ":2: must be time,tokens,tokens, got '2023-11-16 18:17:03.97,1'"),
        (HEADER + f"2023-11-16 18:17:03.97,{1 << 63},2\n", ":2: must be time,tokens,tokens, got "),
        (HEADER + "2024-05-10 00:00:00+02:00,1,2\n", "must be UTC without one"),
        (HEADER + "\xff\x00,1,2\n", ":2: must be "),
        (HEADER + '"' + "x" * 200_000, ":2: must be CSV, got field larger than field limit"),
    ],
)
def test_a_wrong_recording_is_told_with_file_line_and_value(text: str, message: str, tmp_path: Path) -> None:
    """Nobody has to search for the line; nothing ends in a traceback."""
    from spanward_processor.replay import RecordingError, read

    file = tmp_path / "wrong.csv"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(RecordingError) as wrong:
        list(read(file))

    assert str(wrong.value).startswith(str(file))
    assert message in str(wrong.value)


def test_the_command_tells_a_wrong_line_and_exits_with_2(tmp_path: Path) -> None:
    """One sentence on standard error, no report."""
    file = tmp_path / "wrong.csv"
    file.write_text(HEADER + GOOD + "2023-11-16 18:17:04,12,many\n", encoding="utf-8")

    result = replay(file)

    assert (result.returncode, result.stdout) == (2, "")
    assert f"{file}:3: must be time,tokens,tokens, got '2023-11-16 18:17:04,12,many'" in result.stderr
    assert "Traceback" not in result.stderr


def test_recordings_out_of_order_are_told_as_late(tmp_path: Path) -> None:
    """A day, then the day before: what could not be judged is said; blank lines and a byte order mark do no harm."""
    later, earlier = tmp_path / "later.csv", tmp_path / "earlier.csv"
    later.write_text("\ufeff" + HEADER + GOOD * 3 + "\n", encoding="utf-8")
    earlier.write_text(HEADER + GOOD.replace("11-16", "11-15") * 2, encoding="utf-8")

    result = replay(later, earlier)

    assert result.returncode == 0
    assert "5 spans from 2023-11-15 " in result.stdout
    assert "2 spans were late and not judged: recordings must be in order of time." in result.stdout


def test_a_file_that_is_not_there_is_told() -> None:
    """The path is named and the exit code is 2."""
    result = replay("no-such.csv")

    assert (result.returncode, result.stderr) == (2, "no-such.csv: must be a file\n")
