"""One HTTP/1.1 connection: uvicorn's, with a deadline for request heads and an answer of ours to what is no request.

uvicorn times only the pause after an answer. A peer that sends nothing at first, or a head byte by byte, would keep its
connection for ever.
"""

import asyncio
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

import h11
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from spanward_processor.status import Code, as_json, encoded

_ABORTED_PAST: Final = 2  # times the bound: beyond it there is not even an answer, else open files would run out


@dataclass(frozen=True, slots=True)
class Patience:
    """What connections of one server may take.

    Args:
        head_s: Longest time for the head of a request to come, from the first byte, or from connecting; seconds.
        idle_s: Longest pause after an answer, seconds.
        handshake_s: Longest time for a TLS handshake, seconds.
        header_bytes: Largest head of a request.
        connections: Open connections beyond which requests are answered by `busy`.
    """

    head_s: float = 10.0
    idle_s: float = 75.0  # above the minute in which many senders export metrics
    handshake_s: float = 10.0
    header_bytes: int = 16 << 10
    connections: int = 256


class Connection(H11Protocol):
    """A connection that ends when no request comes.

    Args:
        patience: What it may take.
        busy: Answers requests when there are too many connections.
        options: uvicorn's own.
    """

    def __init__(self, patience: Patience, busy: ASGIApp, **options: Any) -> None:
        super().__init__(**options)
        self._patience = patience
        self.timeout_keep_alive = cast("Any", patience.idle_s)  # uvicorn's type says int; fractions do as well
        self._apps: tuple[Any, Any] = (cast("Any", self).app, busy)
        self._head_by: float | None = None
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; the first head must come in time."""
        super().connection_made(transport)
        if len(self.connections) > _ABORTED_PAST * self._patience.connections:
            transport.abort()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        if self._watch is not None:
            self._watch.cancel()

    def data_received(self, data: bytes) -> None:
        """Take bytes; unless they complete the head of a request, the rest of it must come in time."""
        self.app = self._apps[len(self.connections) > self._patience.connections]
        super().data_received(data)
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            self._head_by = None
        elif self._head_by is None:
            self._expect_head()

    def _expect_head(self) -> None:
        self._head_by = self.loop.time() + self._patience.head_s
        if self._watch is None:
            self._watch = self.loop.call_at(self._head_by, self._look)

    def _look(self) -> None:
        """Look whether the head came; there is one timer for a connection, not one for each request."""
        self._watch = None
        if self._head_by is None or self.transport.is_closing():
            return
        if self.loop.time() < self._head_by:
            self._watch = self.loop.call_at(self._head_by, self._look)
        elif self.conn.trailing_data[0]:
            self._refuse(408, Code.DEADLINE_EXCEEDED, f"header: must come within {self._patience.head_s:g} s")
        else:
            self.transport.close()  # it has not asked for anything

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read; uvicorn calls this while it handles h11's error, which knows the status."""
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 400) == 431:
            most = self._patience.header_bytes
            self._refuse(431, Code.RESOURCE_EXHAUSTED, f"header: must be <= {most} bytes (limits.header_bytes)")
        else:
            self._refuse(400, Code.INVALID_ARGUMENT, f"{msg} {error or ''}".strip())

    def _refuse(self, status: int, code: Code, message: str) -> None:
        """Answer with an error, where an answer may still be given, and close."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = as_json(encoded(code, message))
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            head = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
