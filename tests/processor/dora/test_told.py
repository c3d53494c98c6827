"""How deployments are told: by the pipeline over a restart, the page's endpoint, the command and the metrics."""

import json
import random
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import httpx
import pytest
from typer.testing import CliRunner

import running
from deploying import ROUTER, SECOND, START, encoded, finding
from http_servers import served as served_by
from spanward import semconv
from spanward_processor.canary.settings import Canary
from spanward_processor.commands import app
from spanward_processor.configuration.settings import Detection, Forwarding, Limits
from spanward_processor.counts import Counts
from spanward_processor.dora.forms import form_of
from spanward_processor.dora.settings import Dora
from spanward_processor.findings import State
from spanward_processor.forward.direct import Direct
from spanward_processor.kept import Arrays
from spanward_processor.metrics import DORA_CHANGE_FAIL_RATE, DORA_DEPLOYMENTS, DORA_RECOVERY_TIME, Metric
from spanward_processor.pipeline import Pipeline
from spanward_processor.readings import readings


class Served:
    """A whole pipeline behind which versions are deployed."""

    def __init__(self) -> None:
        self.now = START
        self.pipeline = self.begin(None)

    def begin(self, kept: Arrays | None) -> Pipeline:
        """Return a pipeline that begins with what was kept."""
        return Pipeline(
            Detection(),
            Limits(),
            clock_ns=lambda: self.now,
            monotonic_ns=lambda: self.now - START,
            canary=Canary(enabled=False),
            dora=Dora(),
            kept=kept,
        )

    def serve(self, version: str, prompt: str, steps: int = 12) -> None:
        """Serve for some steps of ten seconds."""
        span = {semconv.MODEL_NAME: ROUTER.model, semconv.MODEL_VERSION: version, semconv.PROMPT_VERSION: prompt}
        for _ in range(steps):
            sent = encoded(20, span, {semconv.SERVICE_NAME: ROUTER.service}, self.now + SECOND)
            self.pipeline.acknowledge(self.pipeline.process(sent))
            self.now += 10 * SECOND
            self.pipeline.tick()


@pytest.fixture(scope="module")
def served() -> Pipeline:
    """A pipeline that has seen: version 2 and prompt b deployed, a restart in between, 2 paged, then rolled back."""
    world = Served()
    world.serve("1", "a")
    world.serve("2", "a", 2)
    world.pipeline = world.begin(world.pipeline.arrays(complete=True))
    world.serve("2", "a")
    page = finding(world.now, version="2")
    world.pipeline.note(page)
    world.serve("2", "b")
    world.pipeline.note(finding(page.opened_ns, version="2", state=State.RESOLVED, updated_ns=world.now))
    world.serve("1", "b")
    return world.pipeline


def test_the_whole_pipeline_sees_deployments_over_a_restart(served: Pipeline) -> None:
    """Requests, windows, findings and what was kept come together."""
    told = [(one.subject.part.value, one.version, bool(one.failed_ns)) for one in served.deployments.since(0)]

    assert told == [("model", "2", True), ("prompt", "b", False)]


def test_the_form_holds_the_five_metrics_and_the_deployments(served: Pipeline) -> None:
    """Of any service and model, or of one."""
    form = form_of(served.deployments, 86_400.0, "support", "router")
    model = next(one for one in form["subjects"] if one["part"] == "model")

    assert (model["deployments"], model["failed"], model["change_fail_rate"], model["version"]) == (1, 1, 1.0, "1")
    assert [one["version"] for one in form["deployments"]] == ["b", "2"]
    assert json.dumps(form)
    assert form_of(served.deployments, 86_400.0, "sales")["subjects"] == []


def test_metrics_tell_of_the_last_thirty_days(served: Pipeline) -> None:
    """A value for each subject, and none where there is nothing to tell."""
    read = readings(Direct([], Forwarding(), random.Random(1)), Counts(), served)

    def values(metric: Metric) -> dict[str, float]:
        return {labels[semconv.DORA_PART]: value for value, labels in read[metric]()}

    assert values(DORA_DEPLOYMENTS) == {"model": 1.0, "prompt": 1.0}
    assert values(DORA_CHANGE_FAIL_RATE) == {"model": 1.0, "prompt": 0.0}
    assert set(values(DORA_RECOVERY_TIME)) == {"model"}


def test_endpoint_and_command_answer_for_a_running_processor() -> None:
    """Table and JSON; what was asked wrongly is told in full, and ends the command with 2."""
    with running.processor(live={"listen": "127.0.0.1:0"}, detection={"window_s": 0.5, "lateness_s": 0}) as processor:
        url = processor.page_url.rstrip("/")
        good = httpx.get(f"{url}/v1/dora", params={"service": "support", "since": "12h"})
        bad = httpx.get(f"{url}/v1/dora", params={"servise": "support", "since": "soon"})
        foreign = httpx.get(f"{url}/v1/dora", headers={"host": "evil.example"})
        command = [sys.executable, "-m", "spanward_processor", "dora", "--url", url]
        told, as_json, wrong = (
            subprocess.run([*command, *more], capture_output=True, text=True, timeout=60, check=False)
            for more in ([], ["--json"], ["--since", "soon"])
        )

    assert (good.status_code, good.json()["subjects"], good.json()["since_s"]) == (200, [], 43_200.0)
    assert (bad.status_code, len(bad.json()["errors"])) == (400, 2)
    assert foreign.status_code == 400
    assert (told.returncode, told.stdout.split(":")[0]) == (0, "No version is known yet")
    assert json.loads(as_json.stdout)["deployments"] == []
    assert (wrong.returncode, wrong.stderr.split(":")[0]) == (2, "since")


def test_no_name_of_a_sender_speaks_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version with markup and control characters is shown as it is, by this command and by `explain`; JSON has it unchanged."""
    hostile = "[/red]\x1b[2J\u202e2"
    world = Served()
    world.serve("1", "a")
    world.serve(hostile, "a")
    form = form_of(world.pipeline.deployments, 86_400.0) | {
        "report": f"Why? {hostile}\nBecause.",
        "sql": f"'{hostile}'",
    }

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(form).encode())

    monkeypatch.setenv("COLUMNS", "200")
    with served_by(Page) as port:
        url = ["--url", f"http://127.0.0.1:{port}"]
        table, as_json, why = (
            CliRunner().invoke(app, [*asked, *url]).output
            for asked in (["dora"], ["dora", "--json"], ["explain", "--service", "support"])
        )

    assert (table.count(r"[/red]\x1b[2J\u202e2"), why.count(r"[/red]\x1b[2J\u202e2")) == (2, 2)
    assert "\nBecause.\n" in why
    assert "\x1b" not in table + why
    assert json.loads(as_json)["deployments"][0]["version"] == hostile


def test_the_command_says_when_nobody_answers() -> None:
    """One line, and exit code 1."""
    command = [sys.executable, "-m", "spanward_processor", "dora", "--url", "http://127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "no processor answers (Connection refused); --url says where the live page of one is" in done.stderr
