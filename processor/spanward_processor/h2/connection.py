"""What both ends share of a connection: settings, flow control, signs of life, writing, and a proper end.

Source: RFC 9113, sections 5.4, 6.3 to 6.9.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from typing import Final, cast

from spanward_processor.h2 import frames, settings
from spanward_processor.h2.frames import ConnectionFault, ErrorCode
from spanward_processor.h2.headers import HeaderDecoder
from spanward_processor.h2.limits import Bounds, Budget
from spanward_processor.h2.reading import FrameReader
from spanward_processor.h2.settings import parse_settings
from spanward_processor.h2.side import Side
from spanward_processor.h2.windows import Body, Buffer, Inflow, Outflow

_log = logging.getLogger(__name__)

_SMALL_DATA: Final = 64  # bytes; up to it a DATA frame that does not end its stream counts as a control frame
_EARNED: Final = (
    2  # control frames that a DATA frame pays for: an update of the stream's window and of the connection's
)
_LINGER_S: Final = 1.0  # how long a failed connection still reads, so that GOAWAY is not lost to a TCP reset
_HIGH_WATER: Final = 1 << 20  # bytes waiting in the transport before we stop producing
_LONG_BYTES: Final = 64 << 10  # from which on it takes less to write parts than to join them
_PLAIN_TRANSPORTS: Final = "asyncio.selector_events"  # these tell how much they keep back; uvloop's do not
_MOST_PARTS: Final = 1024  # of one system call; IOV_MAX on Linux
_PRIORITY_BYTES: Final = 5
_PING_BYTES: Final = 8
_OF_THE_CONNECTION: Final = frozenset({frames.SETTINGS, frames.PING, frames.GOAWAY})


class Connection(asyncio.BufferedProtocol):
    """One HTTP/2 connection.

    Args:
        side: Who owns its streams.
        buffer: The event loop's receive buffer.
        bounds: Limits.
        preface: What the peer must send first; empty on a client.
        hello: What we send first.
        window: Receive window of the connection, bytes.
        clock: Monotonic time, seconds.
    """

    def __init__(
        self,
        side: Side,
        buffer: memoryview,
        bounds: Bounds,
        *,
        preface: bytes,
        hello: bytes,
        window: int,
        clock: Callable[[], float],
    ) -> None:
        self.transport: asyncio.Transport
        self.closing = False
        self.last_stream = 0  # newest stream the peer opened
        self._side = side
        self._bounds = bounds
        self._hello = hello
        self._clock = clock
        self._reader = FrameReader(self, buffer, preface, bounds.header_bytes)
        self._decoder = HeaderDecoder(bounds.header_bytes)
        self._control = Budget(bounds.control_frames, clock)
        self._out: list[Buffer] = []
        self._flushing = False
        self._socket = -1  # what the transport writes to; -1 where it encrypts, or keeps bytes back, before it does
        self.outflow = Outflow(self._out)
        self._inflow = Inflow(window, lambda more: self._out.append(frames.window_update(0, more)))
        self._reason = ""
        # since when, for `tick`
        self._made = self._heard = clock()
        self._midway: float | None = None
        self._pinged: float | None = None
        self._stalled: float | None = None

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(_HIGH_WATER)
        if type(transport).__module__ == _PLAIN_TRANSPORTS:
            self._socket = transport.get_extra_info("socket").fileno()
        self._made = self._heard = self._clock()
        self._out.append(self._hello)
        self._inflow.open()
        self._side.connected(self)
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        """Return where the loop may write."""
        return self._reader.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Read frames; whatever is wrong with them ends this connection and nothing else."""
        if self.closing:
            return
        self._heard = self._clock()
        self._pinged = None
        self._flushing = True  # at the end, once
        try:
            self._reader.read(nbytes)
        except ConnectionFault as fault:
            self.fail(fault)
        except Exception:  # noqa: BLE001 - whatever it is, it must not reach the event loop
            _log.exception("HTTP/2 connection failed by a defect of ours")
            self.fail(ConnectionFault(ErrorCode.INTERNAL_ERROR, "defect in the receiver"))
        self._side.read()
        if not self._reader.is_midway:
            self._midway = None
        elif self._midway is None:
            self._midway = self._heard
        self.flush()

    def eof_received(self) -> bool:
        """Close; HTTP/2 knows no half-closed connections."""
        return False

    def pause_writing(self) -> None:
        """Stop producing."""
        self.outflow.stopped = True
        self._stalled = self._clock()
        self._side.blocked(blocked=True)

    def resume_writing(self) -> None:
        """Produce again."""
        self.outflow.stopped = False
        self._stalled = None
        self._side.blocked(blocked=False)
        self.outflow.pump()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the side."""
        self.closing = True
        self._socket = -1
        self._reader.stop()
        self._out.clear()
        self._side.lost(self._reason or (str(exc) if exc else "closed by the peer"))

    # writing

    def send(self, frame: bytes) -> None:
        """Queue a frame; it is written in this turn of the loop."""
        self._out.append(frame)
        self._flush_soon()

    def send_body(self, body: Body) -> None:
        """Queue a body; flow control decides when it goes."""
        self.outflow.send(body)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what is queued, in one go."""
        self._flushing = False
        if self.outflow.frames:
            self._control.earn(_EARNED * self.outflow.frames)
            self.outflow.frames = 0
        if self._out:
            if not self.closing and not self.transport.is_closing():
                self._write()
            self._out.clear()

    def _write(self) -> None:
        """Write what is queued; where it is long and nothing waits before it, as it lies, without joining it first."""
        out, sent = self._out, 0
        size = sum(map(len, out))
        unjoined = size >= _LONG_BYTES and len(out) <= _MOST_PARTS and self._socket >= 0
        if unjoined and not self.transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # no room at the moment; or the peer is gone, as the transport will find
                sent = os.writev(self._socket, out)
        if sent < size:
            # not `writelines`: until Python 3.12.9 and 3.13.2 it never calls `pause_writing` (CVE-2024-12254)
            self.transport.write(b"".join(out)[sent:])

    # the end

    def fail(self, fault: ConnectionFault) -> None:
        """Say why in GOAWAY, and close."""
        if not self.closing:
            self.send(frames.goaway(self.last_stream, fault.code, fault.reason))
            self.close(f"we ended it: {fault}")

    def close(self, reason: str) -> None:
        """Close after what is queued; for a short while what still comes is read and dropped."""
        if self.closing:
            return
        self._reason = reason
        self.flush()
        self.closing = True
        self._reader.stop()
        try:
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()
        except OSError:  # the peer is gone, and the event loop has not heard of it yet
            self.transport.abort()
            return
        asyncio.get_running_loop().call_later(_LINGER_S, self.transport.abort)

    def abort(self, reason: str) -> None:
        """Close at once, whatever is queued."""
        self._reason = self._reason or reason
        self.closing = True
        self._reader.stop()
        self._out.clear()
        self.transport.abort()

    def tick(self, now: float) -> None:
        """End the connection if the peer takes too long for something.

        Args:
            now: Monotonic time, seconds.
        """
        bounds = self._bounds
        if self.closing:
            return
        if not self._reader.settled and now - self._made > bounds.connect_s:
            self.fail(ConnectionFault(ErrorCode.SETTINGS_TIMEOUT, f"no SETTINGS within {bounds.connect_s} s"))
        elif self._midway is not None and now - self._midway > bounds.transfer_s:
            reason = f"a frame or header block takes longer than {bounds.transfer_s} s"
            self.fail(ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, reason))
        elif self._stalled is not None and now - self._stalled > bounds.transfer_s:
            self.abort(f"the peer read too little for {bounds.transfer_s} s")
        elif self._pinged is not None and now - self._pinged > bounds.keepalive_timeout_s:
            self.abort(f"no sign of life for {now - self._heard:.0f} s")

    def ping_if_silent(self, now: float) -> bool:
        """Ask for a sign of life after a long silence; return whether that was necessary."""
        if self.closing or self._pinged is not None or now - self._heard <= self._bounds.keepalive_s:
            return False
        self._pinged = now
        self.send(frames.frame(frames.PING, 0, 0, b"spanward"))
        return True

    # what the reader found

    def data_begins(self, stream: int, length: int, padding: int, *, ends: bool) -> None:
        """Account for a DATA frame."""
        if stream == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0")
        if self._side.is_idle(stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on a stream that was never opened")
        self._inflow.took(length)
        if length - padding <= _SMALL_DATA and not ends:
            self.spend("small DATA frames")
        else:
            self._control.earn(_EARNED)
        if padding and not ends:
            self._out.append(frames.window_update(stream, padding))  # so that a stream's window is all for its message
        self._side.data(stream, length - padding)

    def data_piece(self, stream: int, piece: memoryview) -> None:
        """Hand on bytes of a stream."""
        self._side.piece(stream, piece)

    def data_ends(self, stream: int) -> None:
        """Hand on the end of a stream."""
        self._side.ended(stream)

    def header_block(self, stream: int, block: bytes, *, ends: bool) -> None:
        """Decode a header block, of any stream: the tables of both ends must stay the same."""
        self._side.headers(stream, self._decoder.decode(block), ends=ends)

    def control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Act on a frame that carries no call forward."""
        self.spend("control frames")
        if (stream == 0) != (kind in _OF_THE_CONNECTION) and kind != frames.WINDOW_UPDATE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"frame of type {kind} on stream {stream}")
        if stream and kind != frames.PRIORITY and self._side.is_idle(stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"frame of type {kind} on a stream that was never opened")
        match kind:
            case frames.WINDOW_UPDATE:
                self._window_update(stream, payload)
            case frames.PING:
                self._ping(flags, payload)
            case frames.RST_STREAM:
                self._side.reset(stream, frames.word(payload))
            case frames.SETTINGS:
                self._settings(flags, payload)
            case frames.GOAWAY:
                self._side.going_away(*frames.parse_goaway(payload))
            case frames.PRIORITY:  # ignored but for its size, as RFC 9113 wants (5.3.2)
                if len(payload) != _PRIORITY_BYTES:
                    raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY must be 5 bytes, got {len(payload)}")
            case _:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, which nobody allowed")

    def spend(self, what: str) -> None:
        """Count a frame that carries no call forward."""
        if not self._control.spend():
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {what}")

    def _window_update(self, stream: int, payload: bytes) -> None:
        more = frames.word(payload) & settings.LARGEST_WINDOW
        if stream:
            self._side.widened(stream, more)
        else:
            self.outflow.widen(more)

    def _ping(self, flags: int, payload: bytes) -> None:
        if len(payload) != _PING_BYTES:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"PING must be 8 bytes, got {len(payload)}")
        if not flags & frames.ACK:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _settings(self, flags: int, payload: bytes) -> None:
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS acknowledgement with a payload")
            return
        changed = parse_settings(payload)
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self.outflow.frame_bytes = changed.get(settings.MAX_FRAME_SIZE, self.outflow.frame_bytes)
        if settings.INITIAL_WINDOW_SIZE in changed:
            self.outflow.resize(changed[settings.INITIAL_WINDOW_SIZE])
        self._side.settled(changed)
