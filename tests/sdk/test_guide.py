"""The user's guide, held against the code: its examples run, its tables are complete."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spanward
from spanward import progress, semconv

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "sdk.md"
TEXT = GUIDE.read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_run_as_they_stand(example: str) -> None:
    """Each is a whole program, and nothing fails in it."""
    environment = {**os.environ, "SPANWARD_HASHING_KEY": "0123456789abcdef", "SPANWARD_ERRORS": "raise"}
    watched = "from spanward.testing import capture_spans\nwith capture_spans() as spans:\n    pass\n"
    program = f"{watched}{example}\nprint(len(spans.finished))\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0


def test_every_argument_is_described() -> None:
    """The table names the decorator's arguments in their order."""
    described = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)

    assert described == list(inspect.signature(spanward.inference).parameters)


def test_every_end_of_a_stream_is_described() -> None:
    """And what is told of streams is named."""
    ends = {progress.COMPLETE, progress.ABANDONED, progress.CANCELLED, progress.FAILED}
    told = {value for name, value in vars(semconv).items() if name.startswith("STREAM_")}

    assert all(f"| `{end}`" in TEXT for end in ends)
    assert [name for name in told if name not in TEXT and f"`.{name.rpartition('.')[2]}`" not in TEXT] == []


def test_every_public_name_is_described() -> None:
    """What is exported for users stands in the guide, or in the README."""
    pages = TEXT + (GUIDE.parents[1] / "README.md").read_text()
    classes = {"Call", "Inference", "RequestContext", "Settings", "current_request", "__version__"}

    assert [name for name in spanward.__all__ if name not in pages and name not in classes] == []


def test_every_attribute_that_may_leave_is_listed() -> None:
    """The privacy page lists each name that the SDK or an integration spells, and no other."""
    page = (ROOT / "docs" / "privacy.md").read_text().partition("### Every attribute")[2].partition("\n\n`tests/")[0]
    sources = [*(ROOT / "sdk" / "spanward").rglob("*.py"), *(ROOT / "integrations").rglob("*.py")]
    spelled = {name for source in sources for name in re.findall(r"\bsemconv\.([A-Z_0-9]+)", source.read_text())}

    assert set(re.findall(r"`([a-z_.]+)`", page)) == {getattr(semconv, name) for name in spelled}
