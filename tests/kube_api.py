"""A real API of Kubernetes on loopback: kube-apiserver and etcd, with no node, no controller, and tokens in a file."""

import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from certificates import Authority
from requiring import require_peer

_SCRIPT: Final = Path(__file__).parent / "peers" / "kubernetes.sh"
_DEADLINE_S: Final = 120.0
_ADMIN: Final = "admin-token"


@dataclass(frozen=True, slots=True)
class KubeApi:
    """The API, as its administrator has it.

    Args:
        url: Its address.
        ca: Certificate of the authority that signed its own.
    """

    url: str
    ca: Path

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> dict[str, Any]:
        """Ask with all rights; return what it answers.

        Raises:
            urllib.error.HTTPError: It refused.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {_ADMIN}", "content-type": kind}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(self.ca))) as answer:
            tree: dict[str, Any] = json.loads(answer.read() or b"{}")
        return tree

    def is_ready(self) -> bool:
        """Return whether it serves, and says that it is ready."""
        request = urllib.request.Request(f"{self.url}/readyz", headers={"authorization": f"Bearer {_ADMIN}"})
        try:
            with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(self.ca))) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Create an object; one of a kind that was defined just now may take a moment to be served."""

        def created() -> bool:
            try:
                self.ask("POST", path, body)
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return False
                raise
            return True

        wait_for(created, f"{path} takes objects")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until it holds.

    Raises:
        AssertionError: It does not in time.
    """
    until_s = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < until_s, f"not in {_DEADLINE_S:.0f} s: {what}"
        time.sleep(0.1)


@contextmanager
def kube_api(folder: Path, tokens: Mapping[str, str]) -> Generator[KubeApi]:
    """Run a Kubernetes API; yield it once it is ready.

    Args:
        folder: Where its keys and data lie.
        tokens: The user of each token, who may do nothing yet.
    """
    require_peer("kube-apiserver", shutil.which("go") is not None, f"Go is absent, with which {_SCRIPT.name} builds it")
    built = subprocess.run([str(_SCRIPT)], check=True, stdout=subprocess.PIPE, text=True, timeout=3000)
    binaries = Path(built.stdout.splitlines()[-1])
    authority = Authority(folder).make()
    (certificate, key), accounts = authority.issue("api", "/CN=api"), authority.issue("accounts", "/CN=accounts")
    users = [f"{_ADMIN},admin,0,system:masters", *(f"{token},{user},{user}" for token, user in tokens.items())]
    (folder / "tokens.csv").write_text("\n".join(users), encoding="ascii")
    store, peers, port = (f"127.0.0.1:{free}" for free in _free_ports(3))
    etcd: dict[str, object] = {"data-dir": folder / "etcd", "listen-client-urls": f"http://{store}"}
    etcd |= {"advertise-client-urls": f"http://{store}", "listen-peer-urls": f"http://{peers}", "log-level": "error"}
    etcd |= {"initial-cluster": f"default=http://{peers}", "initial-advertise-peer-urls": f"http://{peers}"}
    server: dict[str, object] = {
        "etcd-servers": f"http://{store}",
        "bind-address": "127.0.0.1",
        "secure-port": port.split(":")[1],
    }
    server |= {"tls-cert-file": certificate, "tls-private-key-file": key, "token-auth-file": folder / "tokens.csv"}
    server |= {"service-account-issuer": "https://kubernetes.test", "service-account-key-file": accounts[0]}
    server |= {"service-account-signing-key-file": accounts[1], "service-cluster-ip-range": "10.0.0.0/24"}
    server |= {"authorization-mode": "RBAC", "endpoint-reconciler-type": "none", "cert-dir": folder}
    api = KubeApi(f"https://{port}", authority.ca)
    with ExitStack() as running:
        running.enter_context(_running(binaries / "etcd", etcd, folder))
        process = running.enter_context(_running(binaries / "kube-apiserver", server, folder))
        wait_for(lambda: process.poll() is not None or api.is_ready(), "the API is ready")
        assert process.poll() is None, (folder / "kube-apiserver.log").read_text()[-2000:]
        yield api


@contextmanager
def _running(program: Path, options: Mapping[str, object], folder: Path) -> Generator[subprocess.Popen[bytes]]:
    with (folder / f"{program.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), *(f"--{name}={value}" for name, value in options.items())], stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()  # nothing of it is kept, and a graceful end waits for watches
            process.wait(_DEADLINE_S)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as bound:
        sockets = [bound.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in sockets]
