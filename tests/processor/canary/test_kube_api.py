"""Executors against a real API of Kubernetes: kube-apiserver and etcd, built by `tests/peers/kubernetes.sh`.

Controllers do not run here: what is held is that the API takes what executors send, with no more rights than docs/canary.md names.
The definitions of the three kinds are small ones, with the real group, version and names, and the parts of the schema that executors
touch; the real ones have more.
"""

import asyncio
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from kube_api import KubeApi, kube_api
from spanward_processor.canary.executors.base import ExecutorError, RollBack
from spanward_processor.canary.executors.kubernetes import MERGE_PATCH, Cluster, RolloutExecutor
from spanward_processor.canary.executors.routes import RouteExecutor
from spanward_processor.canary.section import KubernetesConfig

pytestmark = pytest.mark.slow

ROLL_BACK = RollBack("id-1", "support", "router", "2.0", "2.1", "latency", "slower", 7)
TOKEN, STRANGER = "spanward-token", "stranger-token"
NAMESPACE = "/api/v1/namespaces/models"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/models"
ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/models/rollouts"
SERVICES = "/apis/networking.istio.io/v1/namespaces/models/virtualservices"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes"

ANYTHING: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
WEIGHTS: dict[str, Any] = {
    "rollouts": ANYTHING,
    "virtualservices": {
        "type": "object",
        "properties": {
            "http": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "route": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["destination"],
                                "properties": {"destination": ANYTHING, "weight": {"type": "integer"}},
                            },
                        }
                    },
                },
            }
        },
    },
    "httproutes": {
        "type": "object",
        "properties": {
            "rules": {
                "type": "array",
                "maxItems": 16,
                "items": {
                    "type": "object",
                    "properties": {
                        "backendRefs": {
                            "type": "array",
                            "maxItems": 16,
                            "items": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "port": {"type": "integer"},
                                    "weight": {"type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 1},
                                },
                            },
                        }
                    },
                },
            }
        },
    },
}


def definition(path: str, kind: str) -> dict[str, Any]:
    """Return the definition of a kind, with `status` as a subresource."""
    _, _, group, version, _, _, plural = path.split("/")
    schema = {"type": "object", "properties": {"spec": WEIGHTS[plural], "status": ANYTHING}}
    served: dict[str, Any] = {"name": version, "served": True, "storage": True, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},  # asked for of *.k8s.io
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [served | {"schema": {"openAPIV3Schema": schema}}],
        },
    }


def thing(path: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return an object named `router`."""
    return {
        "apiVersion": "/".join(path.split("/")[2:4]),
        "kind": kind,
        "metadata": {"name": "router", "labels": {"team": "support"}},
        "spec": spec,
    }


def weighted(stable: int, canary: int) -> list[dict[str, Any]]:
    """Return the routes of a VirtualService."""
    return [
        {"destination": {"host": "router", "subset": "v2-0"}, "weight": stable},
        {"destination": {"host": "router", "subset": "v2-1"}, "weight": canary},
    ]


OBJECTS: dict[str, tuple[str, dict[str, Any]]] = {
    ROLLOUTS: ("Rollout", {"replicas": 2, "strategy": {"canary": {"steps": [{"setWeight": 10}]}}}),
    SERVICES: (
        "VirtualService",
        {
            "http": [
                {"route": weighted(90, 10)},
                {"route": [{"destination": {"host": "other"}}]},
                {"route": weighted(50, 50)},
            ]
        },
    ),
    ROUTES: (
        "HTTPRoute",
        {"rules": [{"backendRefs": [{"name": "v2-0", "port": 80, "weight": 9}, {"name": "v2-1", "port": 80}]}]},
    ),
}


def allow(api: KubeApi) -> None:
    """Give the user `spanward` the right to get and patch the objects named `router`, and no more."""
    groups = [path.split("/")[2] for path in OBJECTS]
    resources = [name for path in OBJECTS for name in (path.split("/")[6], f"{path.split('/')[6]}/status")]
    rule = {"apiGroups": groups, "resources": resources, "resourceNames": ["router"], "verbs": ["get", "patch"]}
    version = "rbac.authorization.k8s.io/v1"
    role = {"apiVersion": version, "kind": "Role", "metadata": {"name": "spanward"}, "rules": [rule]}
    api.create(f"{ROLES}/roles", role)
    bound = {
        "subjects": [{"kind": "User", "name": "spanward", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "Role", "name": "spanward", "apiGroup": "rbac.authorization.k8s.io"},
    }
    api.create(
        f"{ROLES}/rolebindings",
        {"apiVersion": version, "kind": "RoleBinding", "metadata": {"name": "spanward"}} | bound,
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[KubeApi]:
    """Yield an API that knows the three kinds."""
    with kube_api(tmp_path_factory.mktemp("kubernetes"), {TOKEN: "spanward", STRANGER: "stranger"}) as api:
        api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}})
        for path, (kind, _) in OBJECTS.items():
            api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(path, kind))
        allow(api)
        yield api


@pytest.fixture
def api(cluster: KubeApi) -> Generator[KubeApi]:
    """Yield it with an object of each kind."""
    for path, (kind, spec) in OBJECTS.items():
        cluster.create(path, thing(path, kind, spec))
    yield cluster
    for path in OBJECTS:
        cluster.ask("DELETE", f"{path}/router")


def config(api: KubeApi, kind: str, folder: Path, token: str = TOKEN) -> KubernetesConfig:
    """Return the section of an executor."""
    file = folder / "token"
    file.write_text(f"{token}\n", encoding="ascii")
    told = {"kind": kind, "namespace": "models", "object": "router", "stable": "v2-0", "canary": "v2-1"}
    return KubernetesConfig.model_validate(told | {"server": api.url, "token_file": str(file), "ca_file": str(api.ca)})


def refs(api: KubeApi) -> list[dict[str, Any]]:
    """Return the backends of the HTTPRoute."""
    found: list[dict[str, Any]] = api.ask("GET", f"{ROUTES}/router")["spec"]["rules"][0]["backendRefs"]
    return found


def test_a_rollout_is_aborted_in_its_status(api: KubeApi, tmp_path: Path) -> None:
    """Beside what Argo has written there; what it is to be stays as it is, and the second time nothing changes."""
    path = f"{ROLLOUTS}/router"
    api.ask("PATCH", f"{path}/status", {"status": {"phase": "Progressing"}}, MERGE_PATCH)
    before = api.ask("GET", path)
    executor = RolloutExecutor.of(config(api, "argo_rollouts", tmp_path))

    done = asyncio.run(executor.execute(ROLL_BACK))
    after = api.ask("GET", path)
    asyncio.run(executor.execute(ROLL_BACK))

    assert (done, after["status"]) == ("aborted", {"phase": "Progressing", "abort": True})
    assert (after["spec"], after["metadata"]["labels"]) == (before["spec"], before["metadata"]["labels"])
    assert api.ask("GET", path)["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


def test_all_weight_of_a_virtual_service_goes_to_the_stable_version(api: KubeApi, tmp_path: Path) -> None:
    """In every rule that names both; others stay, and the second time nothing is patched."""
    executor = RouteExecutor.of(config(api, "istio", tmp_path))

    done = asyncio.run(executor.execute(ROLL_BACK))
    again = asyncio.run(executor.execute(ROLL_BACK))

    assert [rule["route"] for rule in api.ask("GET", f"{SERVICES}/router")["spec"]["http"]] == [
        weighted(100, 0),
        [{"destination": {"host": "other"}}],
        weighted(100, 0),
    ]
    assert (done, again) == ("v2-1 has no weight any more", "v2-1 has no weight already")


def test_an_http_routes_weight_goes_to_the_stable_version(api: KubeApi, tmp_path: Path) -> None:
    """One that nobody wrote is one, as the API says; ports stay."""
    assert asyncio.run(RouteExecutor.of(config(api, "gateway_api", tmp_path)).execute(ROLL_BACK))

    assert refs(api) == [{"name": "v2-0", "port": 80, "weight": 10}, {"name": "v2-1", "port": 80, "weight": 0}]


class Contended(Cluster):
    """A cluster in which somebody else changes the route between our reading and our first patch."""

    def __init__(self, config: KubernetesConfig, api: KubeApi) -> None:
        super().__init__(config)
        self.patches = 0
        self._api = api

    async def request(
        self, method: str, path: str, body: object = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        """Ask, after the other one where it is the first patch; see `Cluster`."""
        if method == "PATCH":
            self.patches += 1
            if self.patches == 1:
                rules = [{"backendRefs": [{"name": "v2-0", "port": 80, "weight": 40}, {"name": "v2-1", "port": 80}]}]
                self._api.ask("PATCH", path, {"spec": {"rules": rules}}, MERGE_PATCH)
        return await super().request(method, path, body, kind)


def test_what_others_change_meanwhile_is_not_lost(api: KubeApi, tmp_path: Path) -> None:
    """The API refuses the patch that was made for an older version; the next one has the newer weights."""
    contended = Contended(config(api, "gateway_api", tmp_path), api)
    executor = RouteExecutor(contended, "gateway_api", "models", "router", "v2-0", "v2-1")

    asyncio.run(executor.execute(ROLL_BACK))

    assert contended.patches == 2
    assert [one["weight"] for one in refs(api)] == [41, 0]


@pytest.mark.parametrize("kind", ["argo_rollouts", "istio", "gateway_api"])
def test_who_may_not_is_refused(api: KubeApi, tmp_path: Path, kind: str) -> None:
    """With the API's own words, without the token, and nothing has changed."""
    before = json.dumps([api.ask("GET", f"{path}/router") for path in OBJECTS])
    makers = {"argo_rollouts": RolloutExecutor.of}

    with pytest.raises(ExecutorError, match=r"answered 403: .*User \"stranger\" cannot") as refused:
        asyncio.run(makers.get(kind, RouteExecutor.of)(config(api, kind, tmp_path, STRANGER)).execute(ROLL_BACK))

    assert STRANGER not in str(refused.value)
    assert json.dumps([api.ask("GET", f"{path}/router") for path in OBJECTS]) == before


def test_the_rights_it_needs_are_for_one_object(api: KubeApi, tmp_path: Path) -> None:
    """Another object of the same kind is out of its reach."""
    kind, spec = OBJECTS[ROUTES]
    other = thing(ROUTES, kind, spec) | {"metadata": {"name": "other"}}
    api.create(ROUTES, other)
    try:
        section = config(api, "gateway_api", tmp_path).model_copy(update={"object": "other"})
        with pytest.raises(ExecutorError, match="answered 403"):
            asyncio.run(RouteExecutor.of(section).execute(ROLL_BACK))
    finally:
        api.ask("DELETE", f"{ROUTES}/other")


def test_an_object_that_is_gone_is_told(api: KubeApi, tmp_path: Path) -> None:
    """The API says what it did not find."""
    api.ask("DELETE", f"{ROUTES}/router")
    try:
        with pytest.raises(ExecutorError, match=r'answered 404: .*"router" not found'):
            asyncio.run(RouteExecutor.of(config(api, "gateway_api", tmp_path)).execute(ROLL_BACK))
    finally:
        kind, spec = OBJECTS[ROUTES]
        api.create(ROUTES, thing(ROUTES, kind, spec))
