"""To a backend over OTLP/HTTP, as binary protobuf.

Source: OpenTelemetry Protocol specification 1.x, "OTLP/HTTP Response", "Failures" and "OTLP/HTTP Throttling"; RFC 9110,
section 10.2.3 (Retry-After).
"""

import ssl
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final

import aiohttp
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from spanward_processor.exporters.base import Refusal, Taken, Verdict
from spanward_processor.exporters.replies import taken
from spanward_processor.receive.compression import compress_gzip
from spanward_processor.signals import Encoded, Signal

_PROTOBUF: Final = "application/x-protobuf"
_PATHS: Final = {Signal.TRACES: "/v1/traces", Signal.METRICS: "/v1/metrics", Signal.LOGS: "/v1/logs"}
_MOST_REPLY_BYTES: Final = 64 << 10
_MOST_REASON_CHARACTERS: Final = 300
_USER_AGENT: Final = f"spanward/{version('spanward')}"

_TOO_LARGE: Final = 413
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_NO_SUCH_PATH: Final = frozenset({404, 405, 501})
_DATA_MAY_BE_GOOD: Final = frozenset({401, 403, 404, 405, 406, 407, 408, 415, 421, 425, 429})
"""4xx answers that the configuration or the moment earned, not the data: credentials, path, encoding, proxy, pace."""


class HttpExporter:
    """Posts export requests to a backend over kept connections.

    Args:
        endpoint: SCHEME://HOST:PORT, to which the signals' paths are added.
        headers: Sent with every request.
        gzip: Whether bodies are compressed.
        tls: How an https endpoint is checked; None for http.
        clock_s: Returns Unix time, seconds; answers may ask for a date.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Sequence[tuple[str, str]],
        *,
        gzip: bool,
        tls: ssl.SSLContext | None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._urls = {signal: endpoint.rstrip("/") + path for signal, path in _PATHS.items()}
        self._gzip = gzip
        self._tls = tls
        self._clock_s = clock_s
        self._headers = {"user-agent": _USER_AGENT, "accept-encoding": "identity"} | dict(headers)
        self._headers["content-type"] = _PROTOBUF
        if gzip:
            self._headers["content-encoding"] = "gzip"
        self._session: aiohttp.ClientSession | None = None

    async def export(self, signal: Signal, parts: Sequence[Encoded], timeout_s: float) -> Taken:
        """Try once; see `Exporter.export`."""
        body = [compress_gzip(parts)] if self._gzip else parts
        headers = self._headers | {"content-length": str(sum(map(len, body)))}
        try:
            async with self._open().post(
                self._urls[signal],
                data=_pieces(body),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                reply = await _read(response)
                if response.status // 100 == 2:
                    return taken(signal, reply)
                raise self._refusal(signal, response, reply)
        except TimeoutError as error:
            raise Refusal(f"no answer within {timeout_s:g} s", Verdict.LATER) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Refusal(str(error) or type(error).__name__, Verdict.LATER) from error

    def _open(self) -> aiohttp.ClientSession:
        """Return the session; it is made on first use because it belongs to the event loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=True if self._tls is None else self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=_MOST_REPLY_BYTES,
            )
        return self._session

    def _refusal(self, signal: Signal, response: aiohttp.ClientResponse, reply: bytes) -> Refusal:
        status = response.status
        verdict = Verdict.LATER if status in _RETRYABLE else Verdict.BARRED
        if status == _TOO_LARGE:
            verdict = Verdict.TOO_LARGE
        elif status in _NO_SUCH_PATH and signal is not Signal.TRACES:  # spans wait for a mended address
            verdict = Verdict.FOREIGN
        elif status // 100 == 4 and status not in _DATA_MAY_BE_GOOD:
            verdict = Verdict.NEVER
        reason = f"{status} {_message(response.content_type, reply) or response.reason or ''}"
        return Refusal(reason.strip(), verdict, _delay_s(response.headers.get("retry-after"), self._clock_s()))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _pieces(body: Sequence[Encoded]) -> AsyncGenerator[Encoded]:
    """Hand a body over piece by piece, so that joining does not copy it."""
    for piece in body:
        yield piece


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, empty when it is too large or breaks off: the status has said by then what counts."""
    pieces: list[bytes] = []
    left = _MOST_REPLY_BYTES
    try:
        while left >= 0 and (piece := await response.content.read(left + 1)):
            pieces.append(piece)
            left -= len(piece)
    except (aiohttp.ClientError, OSError):  # a time limit that passes is an OSError, too
        left = -1
    if left < 0:
        response.close()
        return b""
    return b"".join(pieces)


def _message(content_type: str, reply: bytes) -> str:
    """Return what an error's body says: a google.rpc.Status, or text of whatever stands in front of the backend."""
    text = reply.decode("utf-8", "replace")
    if content_type == _PROTOBUF:
        try:
            text = Status.FromString(reply).message
        except DecodeError:
            text = ""
    return text[:_MOST_REASON_CHARACTERS].strip()


def _delay_s(retry_after: str | None, now_s: float) -> float | None:
    """Return the wait that a Retry-After header asks for, seconds; None when it says nothing that can be read."""
    if retry_after is None:
        return None
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
