"""The client's side of one connection: calls to streams, frames to answers."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from spanward_processor.h2.call import Answer, Status
from spanward_processor.h2.connection import Connection
from spanward_processor.h2.encodings import Decoder, TooLongError
from spanward_processor.h2.errors import ConnectionLostError, NotConnectedError, NotProcessedError, ReplyTooLongError
from spanward_processor.h2.frames import (
    LARGEST_STREAM,
    ConnectionFault,
    ErrorCode,
    goaway,
    header_frames,
    name_of,
    rst_stream,
)
from spanward_processor.h2.grpc import (
    CONTENT_TYPE,
    Borrowing,
    Incoming,
    MessageFault,
    answer_of_http,
    answer_of_reset,
    parse_status,
)
from spanward_processor.h2.headers import Fields
from spanward_processor.h2.limits import ChannelLimits
from spanward_processor.h2.settings import MAX_CONCURRENT_STREAMS
from spanward_processor.h2.windows import Body, Buffer

_TICK_S: Final = 1.0
_PINGS: Final = 2  # without anything else from the server; gRPC servers take a third for a flood
_UNTIL_TOLD: Final = 1 << 31  # streams at once before the server's SETTINGS say a number


class _Sent:
    """A call that waits for its answer."""

    __slots__ = ("answer", "head", "message", "number", "whole")

    def __init__(self, number: int, answer: asyncio.Future[Answer], longest: int) -> None:
        self.number = number
        self.answer = answer
        self.message = Incoming(longest)
        self.head: Fields | None = None
        self.whole = False  # all of the request is on its way

    def is_whole(self) -> None:
        """Note that the request needs no more windows."""
        self.whole = True


class Calling:
    """One connection of a client.

    Args:
        limits: Bounds.
        decoders: Reads compressed replies, by encoding.
    """

    def __init__(self, limits: ChannelLimits, decoders: Mapping[str, Decoder]) -> None:
        loop = asyncio.get_running_loop()
        self.connection: Connection
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self._limits = limits
        self._decoders = decoders
        self._loop = loop
        self._sent: dict[int, _Sent] = {}
        self._borrowing = Borrowing()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._most = _UNTIL_TOLD
        self._next = 1
        self._leaving = ""
        self._pings = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether new calls may be sent here."""
        return not self._leaving and not self.connection.closing and self._next <= LARGEST_STREAM

    async def call(self, block: bytes, parts: Sequence[Buffer]) -> Answer:
        """Send one request and return its answer.

        Args:
            block: The encoded header block.
            parts: The message with its prefix.

        Raises:
            NotProcessedError: The server did not look at it.
            ConnectionLostError: The connection ended; nobody knows.
            ReplyTooLongError: The reply is longer than the limit.
        """
        while self.usable and len(self._sent) >= self._most:
            await self._for_a_place()
        if not self.usable:
            raise NotProcessedError(self._leaving or "the connection was closed")
        number = self._next
        self._next += 2
        sent = self._sent[number] = _Sent(number, self._loop.create_future(), self._limits.reply_bytes)
        self.connection.send(header_frames(number, block))
        self.connection.send_body(Body(number, parts, b"", sent.is_whole))
        try:
            return await sent.answer
        except asyncio.CancelledError:
            self._give_up(sent)
            raise

    async def close(self) -> None:
        """End the connection; calls that wait for an answer fail."""
        if not self.connection.closing:
            self.connection.send(goaway(0, ErrorCode.NO_ERROR, "the client is done"))
            self.connection.close("closed by us")
            self._fail_all("closed by us")
        await asyncio.shield(self.gone)

    async def _for_a_place(self) -> None:
        place: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._wake()  # it was given a place that somebody else can have
            raise

    def _wake(self) -> None:
        """Let those who wait look again: as many as there are places, or all when the connection takes no more calls."""
        places = self._most - len(self._sent) if self.usable else len(self._waiting)
        while self._waiting and places > 0:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                places -= 1

    # Side: what the connection tells

    def connected(self, connection: Connection) -> None:
        """Start the clock."""
        self.connection = connection
        self._timer = self._loop.call_later(_TICK_S, self._tick)

    def settled(self, changed: Mapping[int, int]) -> None:
        """Take note of how many calls the server takes at once."""
        self._most = changed.get(MAX_CONCURRENT_STREAMS, self._most)
        if not self.ready.done():
            self.ready.set_result(None)
        self._wake()

    def is_idle(self, stream: int) -> bool:
        """Return whether we never opened a stream."""
        return stream >= self._next or stream % 2 == 0

    def headers(self, stream: int, fields: Fields, *, ends: bool) -> None:
        """Take the head of an answer, or its end."""
        if self.is_idle(stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on a stream that was never opened")
        self._pings = 0
        sent = self._sent.get(stream)
        if sent is None:
            return
        if fields.fault:
            self._malformed(sent, fields.fault)
        elif sent.head is None:
            self._head(sent, fields, ends=ends)
        elif fields.pseudo or not ends:
            self._malformed(sent, "trailers with a pseudo-header, or that end nothing")
        else:
            self._trailers(sent, fields)

    def data(self, stream: int, size: int) -> None:  # noqa: ARG002 - bounded by the message's limit
        """Check that a DATA frame may come."""
        self._pings = 0
        sent = self._sent.get(stream)
        if sent is not None and sent.head is None:
            self._malformed(sent, "DATA before HEADERS")

    def piece(self, stream: int, piece: memoryview) -> None:
        """Add bytes to a reply."""
        sent = self._sent.get(stream)
        if sent is None:
            return
        try:
            sent.message.feed(piece)
        except MessageFault as fault:
            if fault.status == Status.RESOURCE_EXHAUSTED:
                self._fail(sent, ReplyTooLongError(f"reply: {fault}"))
            else:
                self._malformed(sent, str(fault))
        self._borrowing.note(sent.message)

    def read(self) -> None:
        """Copy what is left of the receive buffer in replies that are not whole."""
        self._borrowing.end()

    def ended(self, stream: int) -> None:
        """Take note that a stream ended without trailers."""
        sent = self._sent.get(stream)
        if sent is not None:
            self._malformed(sent, "the stream ended without trailers")

    def reset(self, stream: int, code: int) -> None:
        """End a call the server does not want to answer."""
        sent = self._sent.get(stream)
        if sent is None:
            return
        sent.whole = True  # nothing more may be sent on it, not even our own reset
        if code == ErrorCode.REFUSED_STREAM:
            self._fail(sent, NotProcessedError("the server refused the stream"))
        else:
            self._finish(sent, answer_of_reset(code))

    def widened(self, stream: int, more: int) -> None:
        """Send more of a request."""
        sent = self._sent.get(stream)
        if sent is None:
            return
        if more == 0 or not self.connection.outflow.widen_stream(stream, more):
            self._malformed(sent, "WINDOW_UPDATE by 0, or to above 2^31-1")

    def going_away(self, last: int, code: int, reason: str) -> None:
        """Send nothing new; what the server did not look at may go elsewhere."""
        self._leaving = f"the server goes away: {name_of(code)} {reason[:128]}".rstrip()
        for sent in tuple(self._sent.values()):
            if sent.number > last:
                sent.whole = True
                self._fail(sent, NotProcessedError(self._leaving))
        self._wake()
        self._close_if_done()

    def blocked(self, *, blocked: bool) -> None:
        """Do nothing: the connection stops sending by itself."""

    def lost(self, reason: str) -> None:
        """Fail what is open."""
        if self._timer is not None:
            self._timer.cancel()
        reason = f"{self._leaving}; {reason}" if self._leaving else reason
        if not self.ready.done():
            self.ready.set_exception(NotConnectedError(reason))
            self.ready.exception()  # whoever connects may have given up already, and then nobody asks
        self._fail_all(reason)
        self._wake()
        if not self.gone.done():
            self.gone.set_result(None)

    # one call

    def _head(self, sent: _Sent, fields: Fields, *, ends: bool) -> None:
        status = fields.pseudo.get(":status", "")
        if status.startswith("1") and not ends:
            self.connection.spend("informational answers")  # the real one is still to come
            return
        sent.head = fields
        kind = fields.headers.get("content-type", "")
        if ends and "grpc-status" in fields.headers:
            self._trailers(sent, fields)
        elif status != "200":
            self._finish(sent, answer_of_http(status), cancel=not ends)
        elif not kind.startswith(CONTENT_TYPE):
            message = f"the server's content-type must be {CONTENT_TYPE}, got {kind[:64]!r}"
            self._finish(sent, Answer(status=Status.UNKNOWN, message=message), cancel=not ends)
        elif ends:
            self._trailers(sent, fields)

    def _trailers(self, sent: _Sent, fields: Fields) -> None:
        body = b""
        if fields.headers.get("grpc-status") == "0":
            try:
                body = self._reply(sent)
            except TooLongError as error:
                self._fail(sent, ReplyTooLongError(f"reply: {error}"))
                return
            except (MessageFault, ValueError) as fault:
                self._malformed(sent, str(fault))
                return
        self._finish(sent, parse_status(fields.headers, body))

    def _reply(self, sent: _Sent) -> bytes:
        body = sent.message.finish()
        if not sent.message.compressed or sent.head is None:
            return body
        encoding = sent.head.headers.get("grpc-encoding", "")
        decoder = self._decoders.get(encoding)
        if decoder is None:
            raise ValueError(f"the reply's encoding is {encoding[:32]!r}, which was not asked for")
        return decoder(body, self._limits.reply_bytes)

    def _malformed(self, sent: _Sent, rule: str) -> None:
        self._finish(sent, Answer(status=Status.INTERNAL, message=f"malformed answer: {rule}"), cancel=True)

    def _finish(self, sent: _Sent, answer: Answer, *, cancel: bool = False) -> None:
        self._end(sent, cancel=cancel)
        if not sent.answer.done():
            sent.answer.set_result(answer)

    def _fail(self, sent: _Sent, error: Exception) -> None:
        self._end(sent, cancel=not sent.whole or isinstance(error, ReplyTooLongError))
        if not sent.answer.done():
            sent.answer.set_exception(error)

    def _give_up(self, sent: _Sent) -> None:
        if sent.number in self._sent:
            self._end(sent, cancel=True)

    def _end(self, sent: _Sent, *, cancel: bool) -> None:
        """Forget a stream; tell the server when it, or we, would otherwise go on with it."""
        del self._sent[sent.number]
        self.connection.outflow.forget(sent.number)
        if cancel or not sent.whole:
            self.connection.send(rst_stream(sent.number, ErrorCode.CANCEL))
        self._wake()
        self._close_if_done()

    def _fail_all(self, reason: str) -> None:
        for sent in tuple(self._sent.values()):
            sent.whole = True
            self._fail(sent, ConnectionLostError(f"connection lost: {reason}"))

    def _close_if_done(self) -> None:
        if self._leaving and not self._sent:
            self.connection.close("the server goes away")

    def _tick(self) -> None:
        now = self._loop.time()
        self.connection.tick(now)
        if self._sent and self._pings < _PINGS and self.connection.ping_if_silent(now):
            self._pings += 1
        self._timer = self._loop.call_later(_TICK_S, self._tick)
