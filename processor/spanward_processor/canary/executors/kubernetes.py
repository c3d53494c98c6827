"""The API of a Kubernetes cluster, and a Rollout of Argo that is aborted through it.

Source: Kubernetes API conventions ("Verbs on Resources", merge patch); Argo Rollouts, `kubectl argo rollouts abort`, which merges
`{"status": {"abort": true}}` into the subresource `status`.
"""

import json
import os
import ssl
from pathlib import Path
from typing import Any, Final, Self, cast

from spanward_processor.canary.executors.base import ExecutorError, RollBack
from spanward_processor.canary.section import KubernetesConfig

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_REFUSED: Final = 300
_NOT_FOUND: Final = 404
_MOST_SHOWN: Final = 300


class ApiError(ExecutorError):
    """The API refused; `status` is its code."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"the API answered {status}: {reason[:_MOST_SHOWN]}")


class Cluster:
    """The API of a cluster.

    Args:
        config: Where it is, and how it is asked; what is not given is that of the cluster this runs in.
    """

    def __init__(self, config: KubernetesConfig) -> None:
        inside = config.server is None
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        own = f"https://{f'[{host}]' if ':' in host else host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
        self._server = (config.server or own).rstrip("/")
        self._token_file = config.token_file or (_ACCOUNT / "token" if inside else None)
        self._ca_file = config.ca_file or (_ACCOUNT / "ca.crt" if inside else None)

    async def request(
        self, method: str, path: str, body: object = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        """Ask the API; return what it answers.

        Args:
            method: GET or PATCH.
            path: From the root.
            body: What is sent, as JSON.
            kind: Media type of that.

        Raises:
            ExecutorError: It cannot be reached, or refuses.
        """
        import aiohttp  # 6 MB that only this way needs

        try:
            headers = {"accept": "application/json", "content-type": kind}
            if self._token_file:  # read each time: the kubelet writes a new one every hour
                headers["authorization"] = f"Bearer {self._token_file.read_text(encoding='ascii').strip()}"
            context = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
            data = None if body is None else json.dumps(body).encode()
            async with (
                aiohttp.ClientSession() as session,
                session.request(method, self._server + path, data=data, headers=headers, ssl=context) as answer,
            ):
                said = await answer.read()
                status = answer.status
        except (aiohttp.ClientError, OSError) as error:
            raise ExecutorError(f"the API cannot be asked ({str(error) or type(error).__name__})") from error
        try:
            tree = cast("dict[str, Any]", json.loads(said))
        except ValueError:
            tree = {"message": said.decode(errors="replace")}
        if status >= _REFUSED:
            raise ApiError(status, str(tree.get("message", "")))
        return tree


class RolloutExecutor:
    """Aborts a Rollout: Argo sends all traffic to the stable version.

    Args:
        cluster: Where it is.
        namespace: Its namespace.
        rollout: Its name.
    """

    def __init__(self, cluster: Cluster, namespace: str, rollout: str) -> None:
        self._cluster = cluster
        self._path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/{rollout}"
        self.name = f"Rollout {namespace}/{rollout}"

    @classmethod
    def of(cls, config: KubernetesConfig) -> Self:
        """Return what a section asks for."""
        return cls(Cluster(config), config.namespace, config.object)

    async def execute(self, roll_back: RollBack) -> str:
        """Abort it; see `Executor`."""
        del roll_back
        abort = {"status": {"abort": True}}
        try:
            await self._cluster.request("PATCH", f"{self._path}/status", abort, MERGE_PATCH)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            await self._cluster.request("PATCH", self._path, abort, MERGE_PATCH)  # a CRD without that subresource
        return "aborted"
