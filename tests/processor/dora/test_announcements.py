"""What a pipeline announces over HTTP: lead time and planned repairs; and what is refused."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import running
from deploying import HOUR, MINUTE, SECOND, START, History
from spanward import semconv
from spanward_processor.dora import announcements
from spanward_processor.dora.announcements import Announcement, AnnouncementError, Announcements, read_announcement
from spanward_processor.dora.subjects import Part

TOKEN = "0123456789abcdef"
BOTH = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"}
WRONG = {"servise": "support", "part": "shoe", "commit_time": "yesterday", "unplanned": "no", "version": 3}


def announcement(**more: Any) -> Announcement:
    """Return the announcement of a body about the router."""
    return read_announcement(json.dumps({"service": "support", "version": "2"} | more).encode())


def deployed(history: History) -> int:
    """Let version 2 take over; return when."""
    history.settle("1")
    return history.serve(180, {"2": 1.0})


def test_a_commit_time_makes_a_lead_time() -> None:
    """Announced before the version serves: 2023-11-14T20:00:00Z."""
    history = History()
    history.recorded.announce(announcement(commit_time="2023-11-14T21:00:00+01:00"))
    at_ns = deployed(history)

    lead_s = (at_ns - 1_699_992_000 * SECOND) / 1e9
    assert history.measured().lead_s == lead_s
    assert history.measured().leads == 1


def test_what_is_announced_afterwards_counts_too() -> None:
    """A pipeline often speaks last."""
    history = History()
    at_ns = deployed(history)

    assert history.recorded.announce(announcement(commit_time="2023-11-14T22:00:00Z")) == 1
    assert history.measured().lead_s == (at_ns - START) / 1e9


def test_the_first_version_counts_where_it_was_announced() -> None:
    """A new model has a first deployment, of which only a pipeline can know."""
    history = History()
    history.recorded.announce(announcement(version="1"))
    history.settle("1")

    assert history.seen == [("model", "1", START)]


def test_a_pipeline_may_know_the_commit_only() -> None:
    """Then the resource says which version was made of it."""
    history = History()
    history.recorded.announce(announcement(version="", revision="9fceb02", commit_time="2023-11-14T22:00:00Z"))
    history.settle("1")
    history.send("2", 1, history.now, resource={semconv.VCS_REF_HEAD_REVISION: "9fceb02"})
    history.settle("2")

    (deployment,) = history.deployments
    assert (deployment.revision, deployment.commit_ns) == ("9fceb02", START)


@pytest.mark.parametrize("time", ["2023-11-14T22:00:00Z", START // SECOND])
def test_a_resource_may_say_it_all(time: str | int) -> None:
    """As text or as Unix seconds, beside the commit; nobody has announced anything."""
    history = History()
    history.settle("1")
    resource = {semconv.COMMIT_TIME: time, semconv.VCS_REF_HEAD_REVISION: "9fceb02"}
    history.send("2", 1, history.now, resource=resource)
    history.settle("2")

    (deployment,) = history.deployments
    assert (deployment.commit_ns, deployment.revision) == (START, "9fceb02")


@pytest.mark.parametrize("time", ["yesterday", "2023-11-14T22:00:00", -5, ""])
def test_a_resources_time_that_is_none_is_passed_over(time: str | int) -> None:
    """Telemetry with a wrong time is telemetry all the same."""
    history = History()
    history.settle("1")
    history.send("2", 1, history.now, resource={semconv.COMMIT_TIME: time})
    history.settle("2")

    assert history.measured().lead_s is None
    assert history.measured().deployments == 1


def test_a_commit_after_the_deployment_has_no_lead_time() -> None:
    """Clocks, or people, are wrong."""
    history = History()
    at_ns = deployed(history)
    history.recorded.announce(announcement(commit_time=(at_ns + HOUR) // SECOND))

    assert history.measured().lead_s is None


def test_a_pipeline_knows_what_was_planned() -> None:
    """What it says takes the place of the estimate, either way."""
    history = History()
    history.recorded.announce(announcement(unplanned=True))
    history.recorded.announce(announcement(version="3", unplanned=False))
    deployed(history)
    history.settle("1")
    history.settle("3")

    assert [(one.version, one.rework) for one in history.deployments] == [("2", True), ("3", False)]


@pytest.mark.parametrize("other", [{"service": "sales"}, {"model": "ranker"}, {"part": "prompt"}, {"version": "4"}])
def test_an_announcement_about_others_changes_nothing(other: dict[str, str]) -> None:
    """Service, model, part and version must fit."""
    history = History()
    deployed(history)

    assert history.recorded.announce(announcement(commit_time="2023-11-14T22:00:00Z", **other)) == 0
    assert history.measured().lead_s is None


def test_announcements_outlive_a_restart() -> None:
    """The version may serve only after it."""
    history = History()
    history.recorded.announce(announcement(commit_time="2023-11-14T22:00:00Z"))
    history.settle("1")
    history.restart()
    history.settle("2")

    assert history.measured().leads == 1


def test_announcements_are_bounded() -> None:
    """The oldest is forgotten; the same one again takes no room."""
    kept = Announcements()
    for number in range(announcements.MOST + 10):
        for _ in range(2):
            kept.add(announcement(version=str(number)))

    versions = [one["version"] for one in kept.as_plain()]
    assert (len(versions), versions[0]) == (announcements.MOST, "10")


def test_every_mistake_of_a_body_is_told_at_once() -> None:
    """Path, rule and value of each."""
    with pytest.raises(AnnouncementError) as refused:
        read_announcement(json.dumps(WRONG).encode())

    assert {path for path, _ in refused.value.errors} == {
        "service",
        "servise",
        "part",
        "commit_time",
        "unplanned",
        "version",
    }
    assert "servise: must be a known key" in str(refused.value)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"{", "body: must be JSON"),
        (b"[" * 5000, "body: must be JSON"),
        (b"\xff", "body: must be JSON"),
        (b"[]", "body: "),
        (b'{"service": "s"}', "body: must have a version or a revision"),
        (b'{"service": "s", "version": "1", "commit_time": "2023-11-14T22:00:00"}', "commit_time: "),
        (b'{"service": "' + b"s" * 300 + b'", "version": "1"}', "service: "),
    ],
    ids=["cut", "deep", "bytes", "list", "nameless", "no zone", "long"],
)
def test_bodies_that_are_none_are_refused(body: bytes, rule: str) -> None:
    """Each with its reason."""
    with pytest.raises(AnnouncementError, match=rule):
        read_announcement(body)


def test_the_receiver_takes_announcements_like_everything_that_changes_something(tmp_path: Path) -> None:
    """With a token, in JSON, of a bounded size, by POST; the answer to a wrong one names every field."""
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    good = {"service": "support", "version": "2", "part": Part.MODEL.value}
    shown = {"authorization": f"Bearer {TOKEN}"}
    with running.processor(receiver=BOTH | {"tokens_file": str(tokens)}) as processor:
        url = f"http://{processor.http_address}/v1/deployments"
        taken = httpx.post(url, json=good, headers=shown)
        answers = [
            httpx.post(url, json=good),
            httpx.post(url, content=json.dumps(good), headers=shown | {"content-type": "text/plain"}),
            httpx.post(url, json=good | {"model": "m" * (17 << 10)}, headers=shown),
            httpx.get(url, headers=shown),
            httpx.post(url, json=WRONG, headers=shown),
        ]

    assert (taken.status_code, taken.json()) == (200, {"deployments_seen": 0})
    assert [answer.status_code for answer in answers] == [401, 415, 413, 405, 400]
    (detail,) = answers[-1].json()["details"]
    assert {one["field"] for one in detail["fieldViolations"]} >= {"service", "servise", "part", "version"}


def test_lateness_of_an_announcement_is_no_matter_of_minutes() -> None:
    """A commit of a week ago is a lead time of a week."""
    history = History()
    at_ns = deployed(history)
    history.recorded.announce(announcement(commit_time="2023-11-07T22:00:00Z"))
    history.serve(10 * MINUTE // SECOND, {"2": 1.0})

    assert history.measured().lead_s == pytest.approx(7 * 86_400 + (at_ns - START) / 1e9)
