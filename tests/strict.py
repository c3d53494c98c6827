"""A processor as a process of its own, and senders over gRPC and HTTP for whom every failure counts."""

import http.client
import itertools
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
import yaml

from spans import encoded, eventually, span

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPANS = 8  # of a request
_HEADERS = {"content-type": "application/x-protobuf"}


@dataclass
class Running:
    """A processor and its configuration file.

    Args:
        folder: Where configuration and log lie.
        process: The process.
        said: What it has written to standard output.
    """

    folder: Path
    process: subprocess.Popen[str]
    said: str

    def address(self, which: str = "receiver") -> str:
        """Return where it listens: `receiver`, `http` or `page`, as it said at start."""
        found = re.search(rf"{which}=(?:http://)?([^/\s]+)", self.said)
        assert found, self.said
        return found[1]

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def reload(self, config: dict[str, Any], answer: str = "configuration reloaded") -> str:
        """Write another configuration and have it read; return what was logged since."""
        before = len(self.log)
        write(self.folder, config)
        self.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: answer in self.log[before:]), self.log[before:]
        return self.log[before:]

    def stop(self) -> None:
        """Stop it as an operator does; what it holds is delivered before it ends."""
        self.process.terminate()
        assert self.process.wait(60) == 0


def write(folder: Path, config: dict[str, Any]) -> Path:
    """Write a configuration as an editor does: the old one stands until the new one is whole."""
    (folder / "new.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return (folder / "new.yaml").rename(folder / "processor.yaml")


@contextmanager
def running(folder: Path, config: dict[str, Any]) -> Generator[Running]:
    """Run a processor; kill what is left of it at the end."""
    command = [sys.executable, "-m", "spanward_processor", "processor", "--config", str(write(folder, config))]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout
        said = process.stdout.readline()
        assert said.startswith("ready "), (folder / "log").read_text(encoding="utf-8")
        yield Running(folder, process, said)
    finally:
        process.kill()
        process.communicate()


@dataclass
class Load:
    """Senders that keep their connections, one request after the other; they never send a request twice.

    Args:
        grpc: HOST:PORT for gRPC; empty for none.
        http: HOST:PORT for HTTP; empty for none.
        token: Bearer token; empty for none.
        numbers: Numbers requests; shared by loads whose spans go to one place.
    """

    grpc: str = ""
    http: str = ""
    token: str = ""
    acknowledged: set[bytes] = field(default_factory=set[bytes])
    failures: list[str] = field(default_factory=list[str])
    requests: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def sending(self) -> Generator["Load"]:
        """Send while the block runs, two threads for each protocol."""
        kinds = [self._over_grpc] * 2 * bool(self.grpc) + [self._over_http] * 2 * bool(self.http)
        threads = [threading.Thread(target=kind) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def more(self, requests: int = 50) -> None:
        """Wait until so many more requests were answered."""
        wanted = self.requests + requests
        assert eventually(lambda: self.requests >= wanted or bool(self.failures)), "nothing is answered"

    def _next(self) -> tuple[list[bytes], bytes]:
        with self._lock:
            number = next(self.numbers)
        ids = [(number * SPANS + each + 1).to_bytes(8, "big") for each in range(SPANS)]
        return ids, encoded(*(span({}, span_id=each) for each in ids))

    def _note(self, ids: list[bytes], failure: str) -> None:
        with self._lock:
            self.requests += 1
            if failure:
                self.failures.append(failure)
            else:
                self.acknowledged.update(ids)

    def _over_grpc(self) -> None:
        metadata = [("authorization", f"Bearer {self.token}")] if self.token else None
        with grpc.insecure_channel(self.grpc) as channel:
            call = cast("Any", channel).unary_unary(METHOD)
            while not self._stop.is_set():
                ids, request = self._next()
                failure = ""
                try:
                    call(request, timeout=20, metadata=metadata)
                except grpc.RpcError as error:
                    failure = f"gRPC {error}"
                self._note(ids, failure)
                time.sleep(0.002)

    def _over_http(self) -> None:
        host, _, port = self.http.rpartition(":")
        headers = _HEADERS | ({"authorization": f"Bearer {self.token}"} if self.token else {})
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        while not self._stop.is_set():
            ids, request = self._next()
            failure = ""
            try:
                connection.request("POST", "/v1/traces", request, headers)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    failure = f"HTTP {answer.status} {body!r}"
            except (OSError, http.client.HTTPException) as error:
                failure = f"HTTP {type(error).__name__}: {error}"
                connection.close()
            self._note(ids, failure)
            time.sleep(0.002)
        connection.close()
