"""The user's program type-checks, and a wrong one does not."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("api.py")

mypy = pytest.importorskip("mypy", reason="mypy comes with the lint extra; .ci/run checks the same file")


def check(path: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy in strict mode on one file."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_users_program_is_well_typed() -> None:
    """Decorated functions keep their signatures."""
    done = check(PROGRAM)

    assert done.stdout == ""


def test_a_wrong_call_is_noticed(tmp_path: Path) -> None:
    """A decorated function does not become untyped."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(PROGRAM.read_text() + "\nclassify(7)\n")

    assert "incompatible type" in check(wrong).stdout
