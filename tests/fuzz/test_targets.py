"""Every target on what once went wrong, on what hypothesis chooses, and in a short campaign."""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import loop
from fuzz.shrinking import fault_of, shrunk
from fuzz.target import Target
from fuzz.targets import TARGETS

HERE = Path(__file__).parent
SHORT = 4000  # executions of each target in the short campaign; some seconds each
targets = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


def test_every_target_is_listed() -> None:
    """Each file that makes a target is named after it and stands in the list, and no regression is without a target."""
    written = {path.stem for path in HERE.glob("*.py") if "= Target(" in path.read_text()}
    names = {target.name for target in TARGETS}

    assert written - {"test_targets"} == names
    assert {path.name for path in loop.REGRESSIONS.iterdir()} <= names


@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param(target, path, id=f"{target.name}-{path.stem}")
        for target in TARGETS
        for path in sorted((loop.REGRESSIONS / target.name).glob("*"))
    ],
)
def test_what_once_went_wrong_goes_right(target: Target, path: Path) -> None:
    """An input that showed a defect is now judged as its twin judges it."""
    target.check(path.read_bytes())


@targets
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), changes=st.integers(0, 5))
def test_changed_input_is_taken_or_refused_by_both(target: Target, seed: int, changes: int) -> None:
    """An input changed by its format some times over gives the twin's result."""
    rng = Random(seed)
    data = target.fresh(rng)
    for _ in range(changes):
        data = target.mutate(data, rng)

    target.check(data)


@targets
def test_inputs_are_taken_often_enough(target: Target) -> None:
    """Most fresh inputs get past the first check, or a campaign would only try refusals."""
    rng = Random(1)

    assert sum(target.check(target.fresh(rng)) for _ in range(100)) >= 40


def test_fault_is_found_and_made_short() -> None:
    """A defect planted behind a condition is found, told once, and shrunk to the bytes that matter."""

    def check(data: bytes) -> bool:
        assert b"\xff\x00" not in data
        return True

    planted = Target(
        "planted", lambda rng: rng.randbytes(40), lambda data, rng: data + rng.choice([b"\xff", b"\0"]), check
    )
    tally = loop.run(planted, Random(3), going_on=lambda tally: tally.executions < 2000)

    assert list(tally.faults.values()) == [b"\xff\x00"]
    assert fault_of(planted, shrunk(planted, b"abc\xff\x00def")) == next(iter(tally.faults))


@pytest.mark.slow
@targets
def test_short_campaign_finds_nothing(target: Target) -> None:
    """Some thousand executions with a seed of today; the seed is printed."""
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    tally = loop.run(target, Random(seed), going_on=lambda tally: tally.executions < SHORT)

    assert tally.faults == {}


@pytest.mark.slow
def test_campaign_tells_and_counts(tmp_path: Path) -> None:
    """The command runs the targets it is asked for and writes a line for each."""
    command = [sys.executable, "-m", "fuzz", "grpc_messages", "frames", "--executions", "300", "--seed", "5"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*command, "--folder", tmp_path], env=environment, check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in (tmp_path / "totals.jsonl").read_text().splitlines()]

    assert done.stdout.startswith("seed 5, ")
    assert [(line["target"], line["faults"]) for line in lines] == [("frames", 0), ("grpc_messages", 0)]
    assert all(line["executions"] >= 300 for line in lines)
