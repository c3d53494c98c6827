"""The user's program type-checks in two checkers, and a wrong one does not."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("api.py")

pytest.importorskip("mypy", reason="mypy comes with the lint extra; .ci/run checks the same file")
pytest.importorskip("pyright", reason="pyright comes with the lint extra; .ci/run checks the same file")


WRONG = (
    "classify(7)",
    "bare('x', bottom=1)",
    "Model().predict('x')",
    "spanward.inference('m', versoin='1')",
    "load()",
    "one_or_all(7)",
    "Base()",
)


def mypy(path: Path) -> set[int]:
    """Return the lines of a file in which mypy finds something, in strict mode."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}


def pyright(path: Path) -> set[int]:
    """Return the lines of a file in which pyright finds something, in strict mode."""
    settings = path.parent / "pyrightconfig.json"
    extra = [entry for entry in sys.path if entry]
    settings.write_text(json.dumps({"include": [path.name], "typeCheckingMode": "strict", "extraPaths": extra}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--project", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {found["range"]["start"]["line"] + 1 for found in json.loads(done.stdout)["generalDiagnostics"]}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_the_users_program_is_well_typed_and_a_wrong_call_is_noticed(
    check: Callable[[Path], set[int]], tmp_path: Path
) -> None:
    """Decorated functions of every shape keep their signatures; the only findings are in the wrong calls below them."""
    program, path = PROGRAM.read_text().splitlines(), tmp_path / "program.py"
    path.write_text("\n".join([*program, *WRONG, ""]))

    assert check(path) == {len(program) + 1 + number for number in range(len(WRONG))}
