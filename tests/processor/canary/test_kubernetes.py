"""Executors against a local server that patches objects as the Kubernetes API does; the real one is in `test_kube_api.py`.

The contract: merge patches (RFC 7386) and JSON patches (RFC 6902), a bearer token, `resourceVersion` that grows with each change, 404
for what is not there, and 422 for a JSON patch whose test fails. Objects are those of the projects' own documentation.
"""

import asyncio
import copy
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import http_servers
from spanward_processor.canary.executors.base import Executor, ExecutorError, RollBack
from spanward_processor.canary.executors.kubernetes import JSON_PATCH, MERGE_PATCH, RolloutExecutor
from spanward_processor.canary.executors.routes import RouteExecutor
from spanward_processor.canary.section import KubernetesConfig

ROLL_BACK = RollBack("id-1", "support", "router", "2.0", "2.1", "latency", "slower", 7)
TOKEN = "account-token"
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/models/rollouts/router"
SERVICE = "/apis/networking.istio.io/v1/namespaces/models/virtualservices/router"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes/router"


def weighted(stable: int, canary: int) -> list[dict[str, Any]]:
    """Return the routes of a VirtualService."""
    return [
        {"destination": {"host": "router", "subset": "v2-0"}, "weight": stable},
        {"destination": {"host": "router", "subset": "v2-1"}, "weight": canary},
    ]


OBJECTS: dict[str, dict[str, Any]] = {
    ROLLOUT: {"metadata": {"resourceVersion": "1"}, "status": {"phase": "Progressing"}},
    SERVICE: {
        "metadata": {"resourceVersion": "1"},
        "spec": {
            "http": [
                {"route": weighted(90, 10)},
                {"route": [{"destination": {"host": "other"}}]},
                {"route": weighted(50, 50)},
            ]
        },
    },
    ROUTE: {
        "metadata": {"resourceVersion": "1"},
        "spec": {"rules": [{"backendRefs": [{"name": "v2-0", "port": 80, "weight": 9}, {"name": "v2-1", "port": 80}]}]},
    },
}


class Api:
    """Objects, and what was asked of them.

    Args:
        subresource: Whether status is a subresource of its own.
    """

    def __init__(self, *, subresource: bool = True) -> None:
        self.objects = copy.deepcopy(OBJECTS)
        self.asked: list[tuple[str, str, str]] = []
        self.before_patch: Callable[[], None] = lambda: None
        self._subresource = subresource

    def answer(self, method: str, path: str, kind: str, token: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer one request."""
        self.asked.append((method, path, kind))
        if token != f"Bearer {TOKEN}":
            return 401, {"kind": "Status", "message": "Unauthorized"}
        name = path.removesuffix("/status")
        if name not in self.objects or (path != name and not self._subresource):
            return 404, {"kind": "Status", "message": "the server could not find the requested resource"}
        if method == "GET":
            return 200, self.objects[name]
        self.before_patch()
        changed = copy.deepcopy(self.objects[name])
        patch = json.loads(body)
        if kind == MERGE_PATCH:
            merge(changed, {"status": patch["status"]} if path != name else patch)
        elif kind == JSON_PATCH and not apply(changed, patch):
            return 422, {"kind": "Status", "message": "the server rejected our request due to an error in our request"}
        if changed != self.objects[name]:
            self.touch(changed)
        self.objects[name] = changed
        return 200, changed

    @staticmethod
    def touch(tree: dict[str, Any]) -> None:
        """Give an object a new version."""
        tree["metadata"]["resourceVersion"] = str(int(tree["metadata"]["resourceVersion"]) + 1)


def merge(tree: dict[str, Any], patch: dict[str, Any]) -> None:
    """Apply a merge patch."""
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            merge(tree[key], value)
        else:
            tree[key] = value


def apply(tree: Any, patch: list[dict[str, Any]]) -> bool:
    """Apply a JSON patch of `test` and `add`; return whether its tests held."""
    for step in patch:
        *parts, last = step["path"].strip("/").split("/")
        place: Any = tree
        for part in parts:
            place = place[int(part) if part.isdigit() else part]
        if step["op"] == "test" and place.get(last) != step["value"]:
            return False
        if step["op"] == "add":
            place[last] = step["value"]
    return True


@contextmanager
def serving(api: Api) -> Generator[str]:
    """Serve the API; yield where."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = self.headers
            told = api.answer(
                self.command, self.path, headers.get("content-type", ""), headers.get("authorization", ""), body
            )
            content = json.dumps(told[1]).encode()
            self.send_response(told[0])
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = _answer  # noqa: N815 - http.server's names

    with http_servers.served(Handler) as port:
        yield f"http://127.0.0.1:{port}"


def config(kind: str, server: str, folder: Path, token: str = TOKEN) -> KubernetesConfig:
    """Return the section of an executor."""
    file = folder / "token"
    file.write_text(f"{token}\n", encoding="ascii")
    return KubernetesConfig.model_validate(
        {
            "kind": kind,
            "namespace": "models",
            "object": "router",
            "stable": "v2-0",
            "canary": "v2-1",
            "server": server,
            "token_file": str(file),
        }
    )


@pytest.mark.parametrize("subresource", [True, False])
def test_a_rollout_is_aborted(tmp_path: Path, subresource: bool) -> None:
    """In its subresource `status`, or in the object where the cluster has none; nothing else of it changes."""
    api = Api(subresource=subresource)
    with serving(api) as server:
        done = asyncio.run(RolloutExecutor.of(config("argo_rollouts", server, tmp_path)).execute(ROLL_BACK))

    assert (done, api.objects[ROLLOUT]["status"]) == ("aborted", {"phase": "Progressing", "abort": True})
    assert api.asked[0] == ("PATCH", f"{ROLLOUT}/status", MERGE_PATCH)


def test_all_weight_of_a_virtual_service_goes_to_the_stable_version(tmp_path: Path) -> None:
    """In every rule that names both; others stay, and the second time nothing is patched."""
    api = Api()
    with serving(api) as server:
        executor = RouteExecutor.of(config("istio", server, tmp_path))
        done = asyncio.run(executor.execute(ROLL_BACK))
        again = asyncio.run(executor.execute(ROLL_BACK))

    rules = api.objects[SERVICE]["spec"]["http"]
    assert [rule["route"] for rule in rules] == [
        weighted(100, 0),
        [{"destination": {"host": "other"}}],
        weighted(100, 0),
    ]
    assert (done, again) == ("v2-1 has no weight any more", "v2-1 has no weight already")
    assert [method for method, _, _ in api.asked] == ["GET", "PATCH", "GET"]


def test_an_http_route_without_a_weight_counts_one(tmp_path: Path) -> None:
    """The Gateway API's default; ports stay."""
    api = Api()
    with serving(api) as server:
        asyncio.run(RouteExecutor.of(config("gateway_api", server, tmp_path)).execute(ROLL_BACK))

    assert api.objects[ROUTE]["spec"]["rules"][0]["backendRefs"] == [
        {"name": "v2-0", "port": 80, "weight": 10},
        {"name": "v2-1", "port": 80, "weight": 0},
    ]


def test_what_others_change_meanwhile_is_not_lost(tmp_path: Path) -> None:
    """The patch was made for an older version: it is refused, and made anew."""
    api, changes = Api(), [40]

    def by_another() -> None:
        if changes:
            route = api.objects[ROUTE]
            route["spec"]["rules"][0]["backendRefs"][0]["weight"] = changes.pop()
            Api.touch(route)

    api.before_patch = by_another
    with serving(api) as server:
        asyncio.run(RouteExecutor.of(config("gateway_api", server, tmp_path)).execute(ROLL_BACK))

    assert [one["weight"] for one in api.objects[ROUTE]["spec"]["rules"][0]["backendRefs"]] == [41, 0]


def test_a_route_that_does_not_know_the_versions_is_left_alone(tmp_path: Path) -> None:
    """Nothing is guessed."""
    api = Api()
    with serving(api) as server:
        wrong = config("gateway_api", server, tmp_path).model_copy(update={"canary": "v9"})
        with pytest.raises(ExecutorError, match="must have a rule with 'v2-0' and 'v9'"):
            asyncio.run(RouteExecutor.of(wrong).execute(ROLL_BACK))

    assert api.objects == OBJECTS


@pytest.mark.parametrize(("kind", "token", "reason"), [("istio", "wrong", "401"), ("argo_rollouts", "wrong", "401")])
def test_an_api_that_refuses_is_told(tmp_path: Path, kind: str, token: str, reason: str) -> None:
    """With its code and message, and without the token."""
    makers: dict[str, Callable[[KubernetesConfig], Executor]] = {
        "istio": RouteExecutor.of,
        "argo_rollouts": RolloutExecutor.of,
    }
    with serving(Api()) as server, pytest.raises(ExecutorError, match=reason) as refused:
        asyncio.run(makers[kind](config(kind, server, tmp_path, token)).execute(ROLL_BACK))

    assert TOKEN not in str(refused.value)


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As a failure, not as a crash."""
    with serving(Api()) as server:
        pass

    with pytest.raises(ExecutorError, match="cannot be asked"):
        asyncio.run(RouteExecutor.of(config("istio", server, tmp_path)).execute(ROLL_BACK))
