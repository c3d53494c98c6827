"""A scripted source and a real server, for tests of the page and of whatever else reads it."""

import socket
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

import uvicorn

from spanward_processor.findings import Finding
from spanward_processor.live.app import MOST_STREAMS, live_app
from spanward_processor.live.explain import AskWhy
from spanward_processor.live.view import Counts, LiveSource, Snapshot

NOTHING: Final = Snapshot(
    version="0.0.0",
    started_ns=0,
    watermark_ns=0,
    window_s=10.0,
    budget_per_day=1.0,
    counts=Counts(accepted=0, refused=0, dropped=0, late=0, forwarded=0, annotated=0),
    series=(),
    findings=(),
    receiver="127.0.0.1:4317",
)
"""A processor that has just started."""


class ScriptedSource:
    """Shows what it was told to.

    Args:
        shown: The snapshot to begin with.
    """

    def __init__(self, shown: Snapshot = NOTHING) -> None:
        self._lock = threading.Lock()
        self._shown = shown
        self._transitions: tuple[tuple[int, Finding], ...] = ()

    def show(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        with self._lock:
            self._shown = snapshot

    def tell(self, finding: Finding) -> int:
        """Add a transition; return its number."""
        with self._lock:
            sequence = len(self._transitions) + 1
            self._transitions = (*self._transitions, (sequence, finding))
            return sequence

    def snapshot(self) -> Snapshot:
        """Return what it was told to show."""
        with self._lock:
            return self._shown

    def transitions(self, after: int) -> tuple[tuple[int, Finding], ...]:
        """Return the transitions after a number."""
        with self._lock:
            return tuple(item for item in self._transitions if item[0] > after)


@contextmanager
def served(
    source: LiveSource,
    *,
    ready: bool = True,
    allowed_hosts: Sequence[str] = (),
    most_streams: int = MOST_STREAMS,
    ask_why: AskWhy | None = None,
) -> Generator[str]:
    """Serve the page on a free loopback port, in a thread of its own; yield its address.

    Args:
        source: What is shown.
        ready: What `/readyz` says.
        allowed_hosts: Host names beside the loopback ones.
        most_streams: Event streams that may be open at once.
        ask_why: Who knows why a model is slow.
    """
    app = live_app(
        source,
        lambda: ready,
        closing=lambda: server.should_exit,
        allowed_hosts=allowed_hosts,
        most_streams=most_streams,
        ask_why=ask_why,
    )
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=2)
    )
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
