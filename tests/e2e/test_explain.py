"""Why a model became slow, asked of a processor that runs."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

import running
from causes import USUAL
from slowing import SECOND_NS, spans_of_world
from spans import encoded, eventually

SEED = 20_261_126
PER_S = 20


@pytest.fixture(scope="module")
def page_url() -> Iterator[str]:
    """The page of a processor that has seen a model become slow by garbage collection, a minute ago."""
    print(f"seed {SEED}")
    rng, newest_ns = np.random.default_rng(SEED), time.time_ns()
    detection = {"window_s": 1, "lateness_s": 0}
    with running.processor(live={"listen": "127.0.0.1:0"}, detection=detection) as processor:
        worlds = (range(-150, -60), USUAL), (range(-50, 0), USUAL.but(gc_ratio=0.6, gc_s=0.1))
        for seconds, world in worlds:
            for second in seconds:
                spans = spans_of_world(world, PER_S, 1, newest_ns + second * SECOND_NS, rng)
                running.export(processor.receiver_address, encoded(*spans))
        yield processor.page_url.rstrip("/")


def test_the_cause_is_told_as_json(page_url: str) -> None:
    """Garbage collection is the one cause; before is what lies further back than the time that is asked of."""
    asked, causes = f"{page_url}/v1/explain/test/m", [{"layer": "application", "part": "garbage collection"}]

    def tell() -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(asked, params={"since": "1m"}).json()
        return answer

    assert eventually(lambda: tell().get("causes") == causes)  # once it has heard enough of the slow windows

    told = tell()
    assert (told["answer"], told["causes"]) == ("rose", causes)
    assert told["mean"]["rise_s"]["low"] > 0


def test_the_command_tells_a_person(page_url: str) -> None:
    """The report names the cause, then comes the same as SQL; `--json` is what the page answers."""
    command = [sys.executable, "-m", "spanward_processor", "explain", "--service", "test", "--since", "1m"]
    told, as_json = (
        subprocess.run(
            [*command, "--url", page_url, *more], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for more in ([], ["--json"])
    )

    assert told.startswith("Why did the latency of test / m rise?")
    assert "garbage collection" in told
    assert "WITH asked AS (" in told
    assert json.loads(as_json)["model"] == "m"


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("test/m?since=soon", 400, "since: must be a number"),
        ("test/m?since=2d", 400, "since: must be at most 1 d, got '2d'"),
        ("test/org/other", 404, "m"),
        ("nobody", 404, "no span of the service nobody has come lately"),
    ],
)
def test_what_cannot_be_answered_is_said(page_url: str, path: str, status: int, error: str) -> None:
    """A wrong question is answered with what is wrong, an unknown model with those that there are."""
    answer = httpx.get(f"{page_url}/v1/explain/{path}")

    assert answer.status_code == status
    assert answer.json()["errors"][0].startswith(error)


def test_a_range_without_rows_before_it_is_shown_in_order(page_url: str) -> None:
    """Where nothing is older, before is an empty time that ends where it begins."""
    told = httpx.get(f"{page_url}/v1/explain/test/m", params={"since": "24h"}).json()

    assert told["answer"] == "too few rows"
    assert told["before_ns"][0] <= told["before_ns"][1]
