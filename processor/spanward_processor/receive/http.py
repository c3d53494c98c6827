"""OTLP over HTTP: a POST in, an honest answer out; a plain ASGI application.

Source: OpenTelemetry Protocol specification 1.x, "OTLP/HTTP"; RFC 9110 for what it leaves to HTTP.
"""

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from starlette.types import ASGIApp, Receive, Scope, Send

from spanward_processor.decode import UndecodableError
from spanward_processor.dora.announcements import MOST_BYTES, Announcement, AnnouncementError, read_announcement
from spanward_processor.forward.delivery import RefusedError
from spanward_processor.receive.admission import BusyError
from spanward_processor.receive.body import Body, BodyRoom, GoneError, Held
from spanward_processor.receive.compression import CompressionError, TooLargeError, decompress
from spanward_processor.receive.gate import Gate
from spanward_processor.receive.grpc import BACKEND_RETRY_S, BUSY_RETRY_S
from spanward_processor.receive.otlp_json import from_protobuf, to_protobuf
from spanward_processor.signals import Signal
from spanward_processor.status import Code, as_json, encoded

_log = logging.getLogger(__name__)

_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_ENCODINGS: Final = ("gzip", "deflate", "zstd")
_PATHS: Final = {"/v1/traces": Signal.TRACES, "/v1/metrics": Signal.METRICS, "/v1/logs": Signal.LOGS}
_DEPLOYMENTS: Final = "/v1/deployments"
_INLINE_JSON_BYTES: Final = 128 << 10  # below it a thread's hand-over costs more than it gains
BODY_S: Final = 30.0  # longest time for a body to come
_LINGER_S: Final = 2.0  # how long a refused body is read and thrown away, so that its sender lives to see the answer

_CODES: Final = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    408: Code.DEADLINE_EXCEEDED,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    431: Code.RESOURCE_EXHAUSTED,
    503: Code.UNAVAILABLE,
}


Announce = Callable[[Announcement], int]
"""Takes in what a pipeline says of a deployment; returns of how many it speaks that were seen already."""


class Intake(Protocol):
    """Takes export requests; `spanward_processor.receive.intake.Intake` is the real one."""

    def keep_pace(self) -> None:
        """Raise BusyError when there is no time for another request."""
        ...

    def take(self, signal: Signal, payload: bytes, within_s: float | None = None) -> bytes | Awaitable[bytes]:
        """Take an encoded request; return the encoded response."""
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
    return HttpReceiver(intake, gate, announce, most_bytes, most_ratio, header_bytes, body_s, BodyRoom(buffered_bytes))


class _Failure(Exception):  # noqa: N818 - an answer
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        message: What is wrong, in a sentence.
        retry_s: When the sender shall come back, seconds; None says nothing about it.
        headers: Further headers of the answer.
        violations: What is wrong in the body, by field; its message where it is a single mistake.
    """

    def __init__(
        self,
        status: int,
        message: str,
        retry_s: float | None = None,
        headers: Sequence[tuple[str, str]] = (),
        violations: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.status = status
        self.message = message
        self.retry_s = retry_s
        self.headers = headers
        self.violations = violations or (("body", message),)
        super().__init__(message)


class HttpReceiver:
    """The application; see `http_app`."""

    def __init__(
        self,
        intake: Intake,
        gate: Gate,
        announce: Announce,
        most_bytes: int,
        most_ratio: float,
        header_bytes: int,
        body_s: float,
        room: BodyRoom,
    ) -> None:
        self._intake = intake
        self._gate = gate
        self._announce = announce
        self._most_bytes = most_bytes
        self._most_ratio = most_ratio
        self._header_bytes = header_bytes
        self._body_s = body_s
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an ASGI application."""
        headers = _headers(scope)
        content_type = _content_type(headers)
        body = Body(receive)
        try:
            reply = await self._take(scope, headers, content_type, body)
            await _send(send, 200, content_type, reply, [])
        except GoneError:
            return
        except asyncio.CancelledError:  # stopping takes too long; the sender shall send it again
            await self._refuse(send, _come_back("the processor stops", BUSY_RETRY_S), content_type, headers, body)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender gets an answer it may come back from
            await self._refuse(send, _failure(error), content_type, headers, body)

    def busy(self, connections: int) -> ASGIApp:
        """Return the application that answers instead while more connections are open than that."""
        failure = _come_back(f"more connections are open than limits.connections allows, {connections}", BUSY_RETRY_S)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            headers = _headers(scope)
            await self._refuse(send, failure, _content_type(headers), headers, Body(receive))

        return answer

    async def _take(self, scope: Scope, headers: Mapping[str, str], content_type: str, body: Body) -> bytes:
        signal = self._admit(scope, headers)
        if signal is None:
            return await self._take_announcement(headers, content_type, body)
        if content_type not in {_PROTOBUF, _JSON}:
            raise _Failure(415, f"content-type: must be {_PROTOBUF} or {_JSON}, got {content_type[:100]!r}")
        encoding = _encoding(headers)
        if _declared(headers) > self._most_bytes:
            raise TooLargeError(f"content-length: must be <= {self._most_bytes} (limits.message_bytes)")
        with self._room.hold() as held:
            packed = await self._in_time(body, held, self._most_bytes)
            self._intake.keep_pace()
            payload = decompress(encoding, packed, self._most_bytes, self._most_ratio)
            if content_type == _JSON:
                payload = await _from_json(signal, payload)
            taken = self._intake.take(signal, payload, None)
        reply = taken if isinstance(taken, bytes) else await taken
        return from_protobuf(signal, reply) if content_type == _JSON else reply

    async def _take_announcement(self, headers: Mapping[str, str], content_type: str, body: Body) -> bytes:
        """Take what a pipeline says of a deployment; the answer tells of how many it speaks that were seen."""
        if content_type != _JSON:
            raise _Failure(415, f"content-type: must be {_JSON}, got {content_type[:100]!r}")
        if _encoding(headers) not in {"", "identity"}:
            raise _Failure(415, "content-encoding: must be identity")
        with self._room.hold() as held:
            try:
                told = await self._in_time(body, held, MOST_BYTES)
            except TooLargeError as error:
                raise _Failure(413, f"body: must be <= {MOST_BYTES} bytes") from error
            said = read_announcement(told)
        return json.dumps({"deployments_seen": self._announce(said)}).encode()

    async def _in_time(self, body: Body, held: Held, most_bytes: int) -> bytes:
        try:
            async with asyncio.timeout(self._body_s):
                return await body.read(most_bytes, held)
        except TimeoutError as error:
            raise _Failure(408, f"body: must come within {self._body_s:g} s") from error

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> Signal | None:
        """Return what a request may bring: telemetry, or, None, what a pipeline says of a deployment."""
        # the server bounds a header that is still coming; one that came whole it lets through
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self._header_bytes:
            raise _Failure(431, f"header: must be <= {self._header_bytes} bytes (limits.header_bytes)")
        signal = _PATHS.get(scope["path"])
        if signal is None and scope["path"] != _DEPLOYMENTS:
            raise _Failure(
                404, f"path: must be one of {', '.join((*_PATHS, _DEPLOYMENTS))}, got {scope['path'][:100]!r}"
            )
        if scope["method"] != "POST":
            raise _Failure(405, f"method: must be POST, got {scope['method'][:20]}", headers=[("allow", "POST")])
        turned = self._gate.turn_away(headers, scope["client"][0] if scope["client"] else "")
        if turned is None:
            return signal
        if turned.code is Code.UNAUTHENTICATED:
            raise _Failure(401, turned.message, headers=[("www-authenticate", "Bearer")])
        raise _come_back(turned.message, BUSY_RETRY_S if turned.retry_s is None else turned.retry_s)

    async def _refuse(
        self, send: Send, failure: _Failure, content_type: str, headers: Mapping[str, str], body: Body
    ) -> None:
        """Answer with an error; end the connection where more of the body may come than we care to read."""
        bounded = "transfer-encoding" not in headers and _declared(headers) <= self._most_bytes
        keep = body.whole or (bounded and failure.status != 408)
        extra = [*failure.headers, *([] if keep else [("connection", "close")])]
        if failure.retry_s is not None:
            extra.append(("retry-after", str(max(1, math.ceil(failure.retry_s)))))
        content_type = content_type if content_type == _PROTOBUF else _JSON
        status = _status(failure).SerializeToString()
        encoded_answer = status if content_type == _PROTOBUF else as_json(status)
        await _send(send, failure.status, content_type, encoded_answer, extra, None if keep else body)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _from_json(signal: Signal, document: bytes) -> bytes:
    if len(document) <= _INLINE_JSON_BYTES:
        return to_protobuf(signal, document)
    return await asyncio.to_thread(to_protobuf, signal, document)


def _encoding(headers: Mapping[str, str]) -> str:
    encoding = headers.get("content-encoding", "").strip().lower().removeprefix("x-")  # x-gzip is gzip, RFC 9110
    if encoding not in {"", "identity", *_ENCODINGS}:
        known = ", ".join(_ENCODINGS)
        raise _Failure(
            415,
            f"content-encoding: must be one of identity, {known}, got {encoding[:40]!r}",
            headers=[("accept-encoding", known)],
        )
    return encoding


def _declared(headers: Mapping[str, str]) -> int:
    """Return the length that a request says its body has, 0 when it does not say; the server has checked the digits."""
    return int(headers.get("content-length", "0"))


def _come_back(message: str, delay_s: float) -> _Failure:
    return _Failure(503, message, delay_s)


def _failure(error: Exception) -> _Failure:
    message = str(error)
    if isinstance(error, _Failure):
        return error
    if isinstance(error, AnnouncementError):
        return _Failure(400, message, violations=error.errors)
    if isinstance(error, UndecodableError | CompressionError):
        return _Failure(400, message)
    if isinstance(error, RefusedError) and error.for_good:
        return _Failure(400, message)
    if isinstance(error, TooLargeError):
        return _Failure(413, message)
    if isinstance(error, BusyError):
        return _come_back(message, BUSY_RETRY_S)
    if isinstance(error, RefusedError):
        return _come_back(message, BACKEND_RETRY_S)
    _log.error("request failed", exc_info=error)
    return _come_back("the processor failed on this request; its log says more", BACKEND_RETRY_S)


def _status(failure: _Failure) -> Status:
    status = Status.FromString(encoded(_CODES[failure.status], failure.message, failure.retry_s))
    if failure.status == 400:
        wrong = [BadRequest.FieldViolation(field=field, description=rule) for field, rule in failure.violations]
        status.details.add().Pack(BadRequest(field_violations=wrong))
    return status


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
