"""Routes with weights: an Istio VirtualService, or an HTTPRoute of the Gateway API. All weight goes to the stable version.

Source: Istio, "Virtual Service": `spec.http[].route[]` with `destination.subset`, `destination.host`, `weight`; Gateway API v1,
"HTTPRoute": `spec.rules[].backendRefs[]` with `name`, `weight`, 1 where it is absent. The patch (RFC 6902) names the version of
the object it was made for, so that it changes nothing that somebody else has changed meanwhile.
"""

from collections.abc import Iterator
from typing import Any, Final, Self

from spanward_processor.canary.executors.base import ExecutorError, RollBack
from spanward_processor.canary.executors.kubernetes import JSON_PATCH, ApiError, Cluster
from spanward_processor.canary.section import KubernetesConfig

_TRIES: Final = 5
_CHANGED_MEANWHILE: Final = frozenset({409, 422})
_KINDS: Final = {
    "istio": ("VirtualService", "networking.istio.io/v1", "virtualservices"),
    "gateway_api": ("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes"),
}


class RouteExecutor:
    """Gives the stable version all the weight that both versions have, in every rule that names both.

    Args:
        cluster: Where the route is.
        kind: `istio` or `gateway_api`.
        namespace: Its namespace.
        route: Its name.
        stable: Subset, host or service of the stable version.
        canary: That of the canary.
    """

    def __init__(self, cluster: Cluster, kind: str, namespace: str, route: str, stable: str, canary: str) -> None:
        shown, version, plural = _KINDS[kind]
        self._cluster = cluster
        self._is_istio = kind == "istio"
        self._path = f"/apis/{version}/namespaces/{namespace}/{plural}/{route}"
        self._stable, self._canary = stable, canary
        self.name = f"{shown} {namespace}/{route}"

    @classmethod
    def of(cls, config: KubernetesConfig) -> Self:
        """Return what a section asks for."""
        return cls(Cluster(config), config.kind, config.namespace, config.object, config.stable, config.canary)

    async def execute(self, roll_back: RollBack) -> str:
        """Set the weights; see `Executor`."""
        del roll_back
        for attempt in range(_TRIES):
            route = await self._cluster.request("GET", self._path)
            patch = list(self._patch(route))
            if not patch:
                return f"{self._canary} has no weight already"
            unchanged = {
                "op": "test",
                "path": "/metadata/resourceVersion",
                "value": route["metadata"]["resourceVersion"],
            }
            try:
                await self._cluster.request("PATCH", self._path, [unchanged, *patch], JSON_PATCH)
            except ApiError as error:
                if error.status not in _CHANGED_MEANWHILE or attempt == _TRIES - 1:
                    raise
            else:
                return f"{self._canary} has no weight any more"
        raise ExecutorError("was changed by others again and again")

    def _patch(self, route: dict[str, Any]) -> Iterator[dict[str, object]]:
        """Yield what must change, which may be nothing.

        Raises:
            ExecutorError: No rule names both versions.
        """
        section, inner = ("http", "route") if self._is_istio else ("rules", "backendRefs")
        found = False
        for rule_at, rule in enumerate(route.get("spec", {}).get(section, [])):
            ways = rule.get(inner, [])
            places = {self._name_of(way): place for place, way in enumerate(ways)}
            if self._stable not in places or self._canary not in places:
                continue
            found = True
            weights = {
                name: int(ways[places[name]].get("weight", self._default())) for name in (self._stable, self._canary)
            }
            if not weights[self._canary]:
                continue
            for name, weight in ((self._stable, sum(weights.values())), (self._canary, 0)):
                path = f"/spec/{section}/{rule_at}/{inner}/{places[name]}/weight"
                yield {"op": "add", "path": path, "value": weight}  # replaces one that is there
        if not found:
            raise ExecutorError(f"must have a rule with {self._stable!r} and {self._canary!r}")

    def _default(self) -> int:
        return 0 if self._is_istio else 1

    def _name_of(self, way: dict[str, Any]) -> str:
        if not self._is_istio:
            return str(way.get("name", ""))
        destination = way.get("destination", {})
        names = (destination.get("subset"), destination.get("host"))
        return next((name for name in names if name in (self._stable, self._canary)), "")
