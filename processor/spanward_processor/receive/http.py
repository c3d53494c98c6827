"""The receiver for HTTP: a POST in, an honest answer out; a plain ASGI application.

Source: OpenTelemetry Protocol specification 1.x, "OTLP/HTTP"; RFC 9110 for what it leaves to HTTP.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from spanward_processor.receive import announcing
from spanward_processor.receive.announcing import Announce, Announcements
from spanward_processor.receive.body import Body, BodyRoom, GoneError
from spanward_processor.receive.exports import JSON, PATHS, PROTOBUF, Exports, Intake
from spanward_processor.receive.gate import Gate
from spanward_processor.receive.http_failures import Failure, come_back, failure_of, refusal_of, status_of
from spanward_processor.receive.http_head import Head
from spanward_processor.receive.turned import BUSY_RETRY_S
from spanward_processor.status import as_json

BODY_S: Final = 30.0  # longest time for a body to come
_LINGER_S: Final = 2.0  # how long a refused body is read and thrown away, so that its sender lives to see the answer


class Route(Protocol):
    """What is done with the requests to one path."""

    async def take(self, head: Head, body: Body) -> bytes:
        """Take a request; return the answer to it, of the request's media type.

        Raises:
            Failure: It is answered with an error, as for every other exception.
        """
        ...


def http_app(
    intake: Intake,
    gate: Gate,
    announce: Announce,
    *,
    most_bytes: int,
    most_ratio: float,
    header_bytes: int = 16 << 10,
    body_s: float = BODY_S,
    buffered_bytes: int = 64 << 20,
) -> "HttpReceiver":
    """Return the application that receives OTLP over HTTP.

    Args:
        intake: Takes requests.
        gate: Decides who may send, before a body is read.
        announce: Takes what pipelines say of deployments.
        most_bytes: Largest body, both as it comes and decompressed, bytes.
        most_ratio: Largest ratio of a body to its compressed form.
        header_bytes: Largest header, names and values, bytes.
        body_s: Longest time a body may take to come, seconds.
        buffered_bytes: Bodies held by all requests together while they come in, bytes; one is always let in.
    """
    room = BodyRoom(buffered_bytes, body_s)
    routes: dict[str, Route] = {
        path: Exports(signal, intake, room, most_bytes, most_ratio) for path, signal in PATHS.items()
    }
    routes[announcing.PATH] = Announcements(announce, room)
    return HttpReceiver(routes, gate, most_bytes, header_bytes)


class HttpReceiver:
    """The application; see `http_app`.

    Args:
        routes: What takes the requests to each path.
        gate: Decides who may send.
        most_bytes: Largest body, bytes.
        header_bytes: Largest header, bytes.
    """

    def __init__(self, routes: Mapping[str, Route], gate: Gate, most_bytes: int, header_bytes: int) -> None:
        self._routes = routes
        self._gate = gate
        self._most_bytes = most_bytes
        self._header_bytes = header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an ASGI application."""
        head, body = Head.of(scope), Body(receive)
        try:
            reply = await self._admit(head).take(head, body)
            await _send(send, 200, head.content_type, reply, [])
        except GoneError:
            return
        except asyncio.CancelledError:  # stopping takes too long; the sender shall send it again
            await self._refuse(send, come_back("the processor stops", BUSY_RETRY_S), head, body)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender gets an answer it may come back from
            await self._refuse(send, failure_of(error), head, body)

    def busy(self, connections: int) -> ASGIApp:
        """Return the application that answers instead while more connections are open than that."""
        failure = come_back(f"more connections are open than limits.connections allows, {connections}", BUSY_RETRY_S)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await self._refuse(send, failure, Head.of(scope), Body(receive))

        return answer

    def _admit(self, head: Head) -> Route:
        """Return what takes a request; all that can be refused by its head is refused before its body is read."""
        # the server bounds a header that is still coming; one that came whole it lets through
        if head.size_bytes > self._header_bytes:
            raise Failure(431, f"header: must be <= {self._header_bytes} bytes (limits.header_bytes)")
        route = self._routes.get(head.path)
        if route is None:
            raise Failure(404, f"path: must be one of {', '.join(self._routes)}, got {head.path[:100]!r}")
        if head.method != "POST":
            raise Failure(405, f"method: must be POST, got {head.method[:20]}", headers=[("allow", "POST")])
        turned = self._gate.turn_away(head.headers, head.peer)
        if turned is not None:
            raise refusal_of(turned)
        return route

    async def _refuse(self, send: Send, failure: Failure, head: Head, body: Body) -> None:
        """Answer with an error; end the connection where more of the body may come than we care to read."""
        bounded = not head.is_chunked and head.body_bytes <= self._most_bytes
        keep = body.whole or (bounded and failure.status != 408)
        extra = [*failure.headers, *([] if keep else [("connection", "close")])]
        if failure.retry_s is not None:
            extra.append(("retry-after", str(max(1, math.ceil(failure.retry_s)))))
        content_type = PROTOBUF if head.content_type == PROTOBUF else JSON
        status = status_of(failure).SerializeToString()
        answer = status if content_type == PROTOBUF else as_json(status)
        await _send(send, failure.status, content_type, answer, extra, None if keep else body)


async def _send(
    send: Send,
    status: int,
    content_type: str,
    answer: bytes,
    headers: Sequence[tuple[str, str]],
    unread: Body | None = None,
) -> None:
    """Send an answer; one to a body that is still coming is followed by a moment of reading it away.

    A socket closed with bytes unread is reset, and the reset may overtake the answer.
    """
    lines = [("content-type", content_type), ("content-length", str(len(answer))), *headers]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in lines]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    if unread is not None:
        await send({"type": "http.response.body", "body": answer, "more_body": True})
        await unread.discard(_LINGER_S)
        answer = b""
    await send({"type": "http.response.body", "body": answer})
