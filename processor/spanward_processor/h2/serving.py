"""The server's side of one connection: streams to calls, answers to frames."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from spanward_processor.h2.call import Answer, Call, Peer, Status
from spanward_processor.h2.connection import Connection
from spanward_processor.h2.frames import ConnectionFault, ErrorCode, goaway, rst_stream
from spanward_processor.h2.grpc import PREFIX, Borrowing, MessageFault, parse_timeout
from spanward_processor.h2.headers import Fields
from spanward_processor.h2.limits import Budget, Buffered
from spanward_processor.h2.replies import http_refusal, trailers
from spanward_processor.h2.requests import malformed, not_grpc
from spanward_processor.h2.service import Service
from spanward_processor.h2.stream import Ended, Stream
from spanward_processor.h2.windows import Body


class Serving:
    """One connection of a server.

    Args:
        service: What all connections share.
        identify: Tells who is at the other end; None turns it away.
        gone: Called when the connection is lost.
    """

    def __init__(
        self, service: Service, identify: Callable[["Serving"], Peer | None], gone: Callable[["Serving"], None]
    ) -> None:
        self.connection: Connection
        self._service = service
        self._identify = identify
        self._gone = gone
        self._peer = Peer("")
        self._streams: dict[int, Stream] = {}
        self._ended = Ended()
        self._borrowing = Borrowing()
        self._held = Buffered(service.limits.connection_bytes)
        self._resets = Budget(service.limits.resets, service.clock)
        self._leaving = False
        self._idle_since = service.clock()

    # what the server asks for

    def leave(self) -> None:
        """Tell the peer to send no new calls, and close when the open ones are through."""
        if self._leaving or self.connection.closing:
            return
        self._leaving = True
        self.connection.send(goaway(self.connection.last_stream, ErrorCode.NO_ERROR, "no more calls here"))
        self._close_if_done()

    def abandon(self) -> None:
        """Close at once; handlers' coroutines that still run are cancelled."""
        for stream in self._streams.values():
            if stream.pending is not None and stream.owned:
                stream.pending.cancel()
        self.connection.abort("the server stopped")

    def tick(self, now: float) -> None:
        """End what takes too long."""
        limits, connection = self._service.limits, self.connection
        connection.tick(now)
        for stream in tuple(self._streams.values()):
            if now - stream.since <= limits.transfer_s:
                continue
            if not stream.ended and not stream.answered:
                message = f"the message did not come within {limits.transfer_s} s"
                self._answer(stream, Answer(status=Status.DEADLINE_EXCEEDED, message=message))
            elif connection.outflow.is_sending(stream.number):
                self._reset(stream.number, ErrorCode.CANCEL)
        if self._streams:
            self._idle_since = now
        elif now - self._idle_since > limits.idle_s:
            self.leave()
        connection.ping_if_silent(now)

    # Side: what the connection tells

    def connected(self, connection: Connection) -> None:
        """Find out who it is."""
        self.connection = connection
        peer = self._identify(self)
        if peer is None:
            connection.abort("TLS without ALPN h2")
        else:
            self._peer = peer

    def settled(self, changed: Mapping[int, int]) -> None:
        """Nothing in a client's settings concerns us that the connection does not see to."""

    def is_idle(self, stream: int) -> bool:
        """Return whether the peer has never opened a stream."""
        return stream > self.connection.last_stream or stream % 2 == 0

    def headers(self, stream: int, fields: Fields, *, ends: bool) -> None:
        """Open a call, or take the trailers of one."""
        if stream % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream}, clients use odd ones")
        if stream > self.connection.last_stream:
            self.connection.last_stream = stream
            self._first_headers(stream, fields, ends=ends)
            return
        known = self._streams.get(stream)
        if known is None:
            self._ended.check(stream, "HEADERS")
        elif known.ended:
            self._refuse(stream, ErrorCode.STREAM_CLOSED)
        elif not ends or fields.fault or fields.pseudo:
            self._refuse(stream, ErrorCode.PROTOCOL_ERROR)
        else:
            self.ended(stream)

    def data(self, stream: int, size: int) -> None:
        """Check that a DATA frame may come."""
        known = self._streams.get(stream)
        if known is None:
            self._ended.check(stream, "DATA")
        elif known.ended:
            self._refuse(stream, ErrorCode.STREAM_CLOSED)
        else:
            known.received += size
            if known.declared is not None and known.received > known.declared:
                self._refuse(stream, ErrorCode.PROTOCOL_ERROR)

    def piece(self, stream: int, piece: memoryview) -> None:
        """Add bytes to a call's message."""
        known = self._streams.get(stream)
        if known is None or known.answered:
            return
        if full := self._hold(known, len(piece)):
            self._answer(known, self._service.busy(full))
            return
        try:
            known.message.feed(piece)
        except MessageFault as fault:
            self._answer(known, Answer(status=fault.status, message=str(fault)))
        self._borrowing.note(known.message)

    def read(self) -> None:
        """Copy what is left of the receive buffer in messages that are not whole."""
        self._borrowing.end()

    def ended(self, stream: int) -> None:
        """Hand a whole call to the handler."""
        known = self._streams.get(stream)
        if known is None:
            self._ended.forget(stream)
            return
        known.ended = True
        if known.declared is not None and known.received != known.declared:
            self._refuse(stream, ErrorCode.PROTOCOL_ERROR)
        elif not known.answered:
            try:
                body = known.message.finish()
            except MessageFault as fault:
                self._answer(known, Answer(status=fault.status, message=str(fault)))
            else:
                self._handle(known, body)

    def reset(self, stream: int, code: int) -> None:  # noqa: ARG002 - why it lost interest changes nothing
        """Forget a call the peer lost interest in; what its handler has begun is finished for nobody."""
        self._spend_reset()
        known = self._streams.get(stream)
        if known is not None:
            known.ended = True
            self._give_up(known)

    def widened(self, stream: int, more: int) -> None:
        """Let more of an answer out."""
        if stream not in self._streams:
            return
        if more == 0:
            self._refuse(stream, ErrorCode.PROTOCOL_ERROR)
        elif not self.connection.outflow.widen_stream(stream, more):
            self._refuse(stream, ErrorCode.FLOW_CONTROL_ERROR)

    def going_away(self, last: int, code: int, reason: str) -> None:
        """Do nothing: a client that goes still wants its answers."""

    def blocked(self, *, blocked: bool) -> None:
        """Read nothing from a peer that does not read our answers."""
        if blocked:
            self.connection.transport.pause_reading()
        else:
            self.connection.transport.resume_reading()

    def lost(self, reason: str) -> None:  # noqa: ARG002 - connections come and go
        """Forget all calls."""
        for stream in tuple(self._streams.values()):
            self._give_up(stream)
        self._gone(self)

    # one call

    def _first_headers(self, number: int, fields: Fields, *, ends: bool) -> None:
        if self._leaving:
            self._ended.add(number)
        elif len(self._streams) >= self._service.limits.streams_per_connection:
            self._refuse(number, ErrorCode.REFUSED_STREAM)
        elif malformed(fields):
            self._refuse(number, ErrorCode.PROTOCOL_ERROR)
        else:
            self._open(number, fields, ends=ends)

    def _open(self, number: int, fields: Fields, *, ends: bool) -> None:
        service = self._service
        stream = Stream(number, fields, service.limits.message_bytes, service.clock())
        stream.ended = ends
        self._streams[number] = stream
        if http := not_grpc(fields):
            stream.answered = True
            self.connection.send(http_refusal(number, http))
            self._answer_sent(stream)
            return
        if full := self._hold(stream, fields.size):
            self._answer(stream, service.busy(full))
            return
        refusal = service.turn_away(fields.pseudo[":path"], fields.headers, self._peer)
        if refusal is not None:
            self._answer(stream, refusal)
        elif ends:
            self.ended(number)

    def _hold(self, stream: Stream, size: int) -> str:
        """Count bytes as held; return the limit that is reached, if one is."""
        limits = self._service.limits
        if not self._held.take(size):
            return f"calls of this connection hold {limits.connection_bytes} bytes, the limit for one"
        if not self._service.buffered.take(size):
            self._held.give_back(size)
            return f"calls of all connections hold {limits.buffered_bytes} bytes, the limit"
        stream.held += size
        return ""

    def _handle(self, stream: Stream, body: bytes) -> None:
        fields = stream.fields
        path = fields.pseudo[":path"]
        timeout = fields.headers.get("grpc-timeout")
        timeout_s = None if timeout is None else parse_timeout(timeout)
        call = Call(path, fields.headers, body, stream.message.compressed, self._peer, timeout_s)
        try:
            outcome = self._service.handler(call)
            if not isinstance(outcome, Answer):
                self._wait_for(outcome, stream)
                return
        except Exception:  # noqa: BLE001 - whatever it is, it must not reach the connection
            outcome = self._service.failure(path)
        self._answer(stream, outcome)

    def _wait_for(self, outcome: Awaitable[Answer], stream: Stream) -> None:
        pending = asyncio.ensure_future(outcome)
        stream.pending = pending
        stream.owned = pending is not outcome
        pending.add_done_callback(partial(self._handled, stream))

    def _handled(self, stream: Stream, done: asyncio.Future[Answer]) -> None:
        stream.pending = None
        answer = self._service.answer_of(done, stream.fields.pseudo[":path"])
        if stream.answered:
            self._drop(stream)
        else:
            self._answer(stream, answer)

    def _answer(self, stream: Stream, answer: Answer) -> None:
        stream.answered = True
        stream.since = self._service.clock()
        connection, replies, number = self.connection, self._service.replies, stream.number
        if answer.status != Status.OK:
            connection.send(replies.without_message(number, answer))
        elif answer.body or answer.message or answer.details or not connection.outflow.claim(number, PREFIX.size):
            connection.send(replies.head(number))
            parts = (PREFIX.pack(0, len(answer.body)), answer.body)
            connection.send_body(Body(number, parts, trailers(number, answer), partial(self._answer_sent, stream)))
            return
        else:
            connection.send(replies.empty_ok(number))
        self._answer_sent(stream)

    def _answer_sent(self, stream: Stream) -> None:
        """Forget a call that is answered; a peer that still sends is asked to stop."""
        if not stream.ended:
            self.connection.send(rst_stream(stream.number, ErrorCode.NO_ERROR))
            self._ended.add(stream.number)
        self._drop(stream)

    def _refuse(self, number: int, code: ErrorCode) -> None:
        """Reset a stream for something the peer did."""
        self._spend_reset()
        self._reset(number, code)

    def _reset(self, number: int, code: ErrorCode) -> None:
        self.connection.send(rst_stream(number, code))
        self._ended.add(number)
        known = self._streams.get(number)
        if known is not None:
            self._give_up(known)

    def _give_up(self, stream: Stream) -> None:
        """Send nothing more; a handler at work keeps its place among the calls, or resets would be a way to unbounded work."""
        stream.answered = True
        self.connection.outflow.forget(stream.number)
        if stream.pending is None:
            self._drop(stream)

    def _drop(self, stream: Stream) -> None:
        self._held.give_back(stream.held)
        self._service.buffered.give_back(stream.held)
        self.connection.outflow.forget(stream.number)
        self._streams.pop(stream.number, None)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._leaving and not self._streams:
            self.connection.close("no more calls here")

    def _spend_reset(self) -> None:
        if not self._resets.spend():
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")
