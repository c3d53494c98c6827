"""The client: one connection at a time to one server, made when it is needed."""

import asyncio
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Final

from spanward_processor.h2.call import Answer, Status
from spanward_processor.h2.calling import Calling
from spanward_processor.h2.connection import Connection
from spanward_processor.h2.encodings import GZIP, Decoder
from spanward_processor.h2.errors import CallTimeoutError, NotConnectedError, NotProcessedError
from spanward_processor.h2.frames import PREFACE
from spanward_processor.h2.grpc import CONTENT_TYPE, PREFIX, format_timeout
from spanward_processor.h2.headers import encode_fields
from spanward_processor.h2.limits import ChannelLimits
from spanward_processor.h2.settings import (
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    MAX_HEADER_LIST_SIZE,
    pack_settings,
)
from spanward_processor.h2.windows import Buffer

_RECEIVE_BYTES: Final = 64 << 10
_WINDOW_BYTES: Final = 16 << 20  # of a connection; replies are short
_SLACK_BYTES: Final = 1 << 16
_ATTEMPTS: Final = 3  # for calls the server says it did not look at
_BLOCKS: Final = 64  # encoded header blocks that are kept
_NEXT_ADDRESS_S: Final = 0.25  # RFC 8305, "Happy Eyeballs"
_VALUE: Final = re.compile(r"[\x20-\x7e]*")

Headers = tuple[tuple[str, str], ...]


class GrpcChannel:
    """Calls one gRPC server.

    Args:
        host: Its name or address.
        port: Its port.
        authority: What it is called, for `:authority` and its certificate; `host:port` when None.
        tls: For new connections; may be exchanged at any time. None connects without TLS.
        limits: Bounds.
        decoders: Reads compressed replies, by encoding; a server answers a compressed request in the same encoding.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        authority: str | None = None,
        tls: ssl.SSLContext | None = None,
        limits: ChannelLimits = ChannelLimits(),  # noqa: B008 - frozen
        decoders: Mapping[str, Decoder] = GZIP,
    ) -> None:
        self.tls = tls
        self._host = host
        self._port = port
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._authority = authority or self._target
        self._limits = limits
        self._decoders = dict(decoders)
        self._buffer = memoryview(bytearray(max(_RECEIVE_BYTES, 4 * limits.header_bytes)))
        self._blocks: dict[tuple[str, Headers, str | None, bool], bytes] = {}
        self._calling: Calling | None = None
        self._all: set[Calling] = set()
        self._connecting: asyncio.Task[Calling] | None = None
        self._closed = False

    async def call(
        self,
        path: str,
        body: bytes | Sequence[Buffer],
        *,
        timeout_s: float,
        headers: Sequence[tuple[str, str]] = (),
        encoding: str | None = None,
    ) -> Answer:
        """Make one unary call.

        Args:
            path: `/package.Service/Method`.
            body: The message; several parts are sent as one, without being joined, and must stay as they are meanwhile.
            timeout_s: Longest time to the answer, seconds.
            headers: Further request headers; names in lower case, values printable ASCII.
            encoding: How the message is compressed; None when it is not.

        Returns:
            What the server, or the gRPC specification on its behalf, said.

        Raises:
            NotConnectedError: No connection; nothing was sent.
            ConnectionLostError: The connection ended before the answer.
            ReplyTooLongError: The reply is longer than the limit.
            CallTimeoutError: No answer in time.
            ValueError: A header that HTTP forbids.
        """
        parts = [memoryview(part).cast("B") for part in ((body,) if isinstance(body, bytes) else body)]
        prefix = PREFIX.pack(encoding is not None, sum(len(part) for part in parts))
        block = self._block(path, tuple(headers), encoding)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        reason = ""
        try:
            async with asyncio.timeout_at(deadline):
                for _ in range(_ATTEMPTS):
                    calling = await self._connected()
                    patience = encode_fields([("grpc-timeout", format_timeout(deadline - loop.time()))])
                    try:
                        return await calling.call(block + patience, (prefix, *parts))
                    except NotProcessedError as error:
                        reason = str(error)
        except TimeoutError:
            raise CallTimeoutError(f"no answer from {self._target} within {timeout_s} s") from None
        return Answer(
            status=Status.UNAVAILABLE, message=f"{self._target} took the call in none of {_ATTEMPTS} attempts: {reason}"
        )

    async def close(self) -> None:
        """Close every connection; calls that wait for an answer fail. Closing twice is closing once."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        await asyncio.gather(*(calling.close() for calling in tuple(self._all)))

    def _block(self, path: str, headers: Headers, encoding: str | None) -> bytes:
        """Return the encoded request headers, all but the timeout."""
        key = (path, headers, encoding, self.tls is not None)
        block = self._blocks.get(key)
        if block is None:
            block = encode_fields(self._fields(path, headers, encoding))
            if len(self._blocks) >= _BLOCKS:
                self._blocks.clear()
            self._blocks[key] = block
        return block

    def _fields(self, path: str, headers: Headers, encoding: str | None) -> list[tuple[str, str]]:
        for name, value in headers:
            if not re.fullmatch(r"[0-9a-z_.\-]+", name) or not _VALUE.fullmatch(value):
                raise ValueError(f"header {name!r}: name must be lower case, value printable ASCII")
        fields = [
            (":method", "POST"),
            (":scheme", "https" if self.tls is not None else "http"),
            (":path", path),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", CONTENT_TYPE),
            ("grpc-accept-encoding", ",".join(("identity", *self._decoders))),
        ]
        if encoding is not None:
            fields.append(("grpc-encoding", encoding))
        return [*fields, *headers]

    async def _connected(self) -> Calling:
        if self._closed:
            raise NotConnectedError(f"the channel to {self._target} is closed")
        if self._calling is not None and self._calling.usable:
            return self._calling
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(self._connect_done)
        return await asyncio.shield(self._connecting)

    def _connect_done(self, task: asyncio.Task[Calling]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # those who waited have it; when all gave up nobody else asks

    async def _connect(self) -> Calling:
        """Make a connection, up to the server's SETTINGS: one that only accepts is no server."""
        loop = asyncio.get_running_loop()
        calling = Calling(self._limits, self._decoders)
        tls = self.tls
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await loop.create_connection(
                    lambda: self._connection(calling),
                    self._host,
                    self._port,
                    ssl=tls,
                    server_hostname=_host_of(self._authority) if tls else None,
                    happy_eyeballs_delay=_NEXT_ADDRESS_S,
                )
                self._all.add(calling)
                calling.gone.add_done_callback(lambda _: self._all.discard(calling))
                self._prepare(calling.connection.transport)
                await calling.ready
        except (OSError, asyncio.CancelledError) as error:
            if calling in self._all:
                calling.connection.abort("the connection is not usable")
            if isinstance(error, asyncio.CancelledError):
                raise NotConnectedError(f"the channel to {self._target} is closed") from None
            reason = str(error) or f"nothing within {self._limits.connect_s} s"
            raise NotConnectedError(f"cannot connect to {self._target}: {reason}") from error
        self._calling = calling
        return calling

    def _connection(self, calling: Calling) -> Connection:
        limits = self._limits
        hello = pack_settings(
            {
                ENABLE_PUSH: 0,
                INITIAL_WINDOW_SIZE: limits.reply_bytes + _SLACK_BYTES,
                MAX_HEADER_LIST_SIZE: limits.header_bytes,
            }
        )
        return Connection(
            calling,
            self._buffer,
            limits,
            preface=b"",
            hello=PREFACE + hello,
            window=_WINDOW_BYTES,
            clock=asyncio.get_running_loop().time,
        )

    def _prepare(self, transport: asyncio.Transport) -> None:
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            raise NotConnectedError("the server does not speak HTTP/2 over TLS (ALPN h2)")
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _host_of(authority: str) -> str:
    """Return an authority's host, as certificates name it.

    >>> _host_of("[::1]:4317"), _host_of("tempo:4317"), _host_of("tempo")
    ('::1', 'tempo', 'tempo')
    """
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]
