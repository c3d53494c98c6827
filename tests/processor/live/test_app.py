"""What the live page's endpoints answer, over real HTTP."""

import json
from dataclasses import replace

import httpx
import pytest

from spanward_processor.live.testing import ScriptedSource, served
from spanward_processor.live.view import Snapshot


def test_snapshot_is_served_whole(scenes: dict[str, Snapshot]) -> None:
    """The JSON has every series and slice with its history, and every finding."""
    scene = scenes["trouble"]
    with served(ScriptedSource(scene)) as url:
        told = httpx.get(f"{url}/api/snapshot").json()
    assert [view["key"] for view in told["series"]] == [view.key for view in scene.series]
    assert [len(view["history"]["t_s"]) for view in told["series"]] == [len(view.history.t_s) for view in scene.series]
    assert [finding["reason"] for finding in told["findings"]] == [finding.reason for finding in scene.findings]


def test_transitions_are_served_with_their_numbers(scenes: dict[str, Snapshot]) -> None:
    """The JSON lists every known transition under its number."""
    source = ScriptedSource()
    for finding in scenes["trouble"].findings[:2]:
        source.tell(finding)
    with served(source) as url:
        told = httpx.get(f"{url}/api/findings").json()["transitions"]
    expected = [(number + 1, finding.id) for number, finding in enumerate(scenes["trouble"].findings[:2])]
    assert [(item["sequence"], item["finding"]["id"]) for item in told] == expected


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
def test_readiness_follows_the_processor(ready: bool, status: int) -> None:
    """`/readyz` says what the processor says; `/healthz` is well while the process lives."""
    with served(ScriptedSource(), ready=ready) as url:
        assert (httpx.get(f"{url}/readyz").status_code, httpx.get(f"{url}/healthz").status_code) == (status, 200)


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/api/snapshot", "/nowhere"])
def test_every_answer_carries_the_security_headers(path: str) -> None:
    """Nothing is served without a policy that forbids foreign and inline code."""
    with served(ScriptedSource()) as url:
        headers = httpx.get(url + path).headers
    policy = headers["content-security-policy"].split("; ")
    assert "default-src 'self'" in policy
    assert not [rule for rule in policy if "unsafe" in rule or "http" in rule]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/events", "/api/snapshot", "/api/findings", "/healthz", "/static/page.js"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_only_reading_is_allowed(path: str, method: str) -> None:
    """Nothing can be changed through the page."""
    with served(ScriptedSource()) as url:
        assert httpx.request(method, url + path).status_code == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:8317", 200), ("[::1]:8317", 200), ("rebound.example", 400), ("", 400)],
)
def test_telemetry_is_shown_only_under_known_host_names(host: str, status: int) -> None:
    """A foreign site that points its own name at this machine reads nothing."""
    with served(ScriptedSource()) as url:
        assert httpx.get(f"{url}/api/snapshot", headers={"Host": host}).status_code == status


def test_health_is_told_under_any_host_name() -> None:
    """Orchestrators probe by the address of the container."""
    with served(ScriptedSource()) as url:
        assert httpx.get(f"{url}/healthz", headers={"Host": "10.1.2.3:8317"}).status_code == 200


def test_configured_host_names_are_allowed_as_well() -> None:
    """A page behind a name of its own can be asked for by it."""
    with served(ScriptedSource(), allowed_hosts=["watch.example"]) as url:
        assert httpx.get(f"{url}/api/snapshot", headers={"Host": "watch.example"}).status_code == 200


def test_files_outside_the_static_folder_are_not_served() -> None:
    """A path cannot climb out of the folder."""
    with served(ScriptedSource()) as url:
        assert httpx.get(f"{url}/static/%2e%2e/app.py").status_code == 404


def test_scripts_are_revalidated_so_that_an_upgrade_shows_at_once() -> None:
    """The browser asks again, and is told when nothing has changed."""
    with served(ScriptedSource()) as url:
        first = httpx.get(f"{url}/static/page.js")
        again = httpx.get(f"{url}/static/page.js", headers={"If-None-Match": first.headers["etag"]})
    assert (first.headers["cache-control"], again.status_code) == ("no-cache", 304)


def test_page_names_only_files_that_exist() -> None:
    """Each script, style and image that the page names is there, with a type browsers accept under nosniff."""
    names = [
        "page.js",
        "page.css",
        "findings.css",
        "series.css",
        "icon.svg",
        "vendor/uPlot.iife.min.js",
        "vendor/uPlot.min.css",
    ]
    with served(ScriptedSource()) as url:
        page = httpx.get(url).text
        types = [httpx.get(f"{url}/static/{name}").headers["content-type"].split(";")[0] for name in names]
    assert [name for name in names if f"/static/{name}" not in page] == []
    script = types[0]
    assert script in {"text/javascript", "application/javascript"}
    assert types == [script, "text/css", "text/css", "text/css", "image/svg+xml", script, "text/css"]


def test_numbers_that_json_lacks_become_null(scenes: dict[str, Snapshot]) -> None:
    """An infinite evidence or an undefined quantile does not break the page's parser."""
    scene = scenes["trouble"]
    finding = replace(scene.findings[0], log10_e=float("inf"))
    view = replace(scene.series[0], latency_p50_s=float("nan"))
    with served(ScriptedSource(replace(scene, findings=(finding,), series=(view,)))) as url:
        told = json.loads(httpx.get(f"{url}/api/snapshot").text, parse_constant=pytest.fail)
    assert (told["findings"][0]["log10_e"], told["series"][0]["latency_p50_s"]) == (None, None)
