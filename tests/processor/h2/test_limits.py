"""Every limit of a server, one test each: who runs into it is told so and ended, and everybody else is served."""

import contextlib
import struct
import time

import pytest

import h2raw
from spanward_processor.h2 import server as server_module
from spanward_processor.h2.call import Answer, Status
from spanward_processor.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    frame,
)
from spanward_processor.h2.headers import encode_fields
from spanward_processor.h2.limits import Limits, Rate

_CALM = ErrorCode.ENHANCE_YOUR_CALM
_FIELDS = encode_fields(h2raw.fields_of())
_WORD = struct.Struct(">I")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the clocks often, so that tests of time limits are short."""
    monkeypatch.setattr(server_module, "_TICK_S", 0.02)


def test_message_bytes() -> None:
    """A message longer than the limit is RESOURCE_EXHAUSTED as soon as its prefix tells, and names the limit."""
    with h2raw.serving(Limits(message_bytes=1000)) as server, server.greeted() as raw:
        raw.send(h2raw.headers(1) + frame(DATA, 0, 1, struct.pack(">BI", 0, 1001)))
        fields, _ = raw.response(1)
        assert fields.headers["grpc-status"] == str(int(Status.RESOURCE_EXHAUSTED))
        assert fields.headers["grpc-message"] == "message of 1001 bytes is longer than the limit of 1000 bytes"
        assert raw.rst(1) is ErrorCode.NO_ERROR
        raw.send(h2raw.request(3, bytes(1000)))
        assert raw.answer(3) == ("0", bytes(1000))


def test_header_bytes_of_one_frame() -> None:
    """A header block longer than the limit ends the connection before it is there."""
    with h2raw.serving(Limits(header_bytes=2000)) as server, server.greeted() as raw:
        raw.send(b"\x00\x07\xd1\x01\x04\x00\x00\x00\x01")
        assert raw.goaway() == (_CALM, "header block longer than the limit of 2000 bytes")
        assert server.is_well()


def test_header_bytes_of_continuations() -> None:
    """CONTINUATION without end ends the connection at the limit."""
    with h2raw.serving() as server, server.greeted() as raw:
        raw.send(frame(HEADERS, 0, 1, _FIELDS))
        for _ in range(20):
            raw.send(frame(CONTINUATION, 0, 1, bytes(1000)))
        assert raw.goaway() == (_CALM, "header block longer than the limit of 16384 bytes")
        assert server.is_well()


def test_empty_continuations() -> None:
    """CONTINUATION frames without a byte do not go on for ever either (CVE-2024-27316 in small)."""
    with h2raw.serving() as server, server.greeted() as raw:
        raw.send(frame(HEADERS, 0, 1, _FIELDS) + frame(CONTINUATION, 0, 1) * 3000)
        assert raw.goaway() == (_CALM, "too many CONTINUATION frames")
        assert server.is_well()


def test_header_bytes_after_decoding() -> None:
    """A small block that refers to one large field again and again (an HPACK bomb) ends the connection."""
    large = b"\x40\x01x\x7f\xa1\x1e" + bytes(b"y" * 4000)
    with h2raw.serving() as server, server.greeted() as raw:
        raw.send(frame(HEADERS, END_HEADERS, 1, _FIELDS + large + b"\xbe" * 500))
        assert raw.goaway() == (_CALM, "header list longer than the limit of 16384 bytes")
        assert server.is_well()


def test_streams_per_connection() -> None:
    """A call beyond the limit is refused so that it may be sent again; the others are answered."""
    with h2raw.serving(Limits(streams_per_connection=3)) as server, server.greeted() as raw:
        raw.send(b"".join(h2raw.request(stream, b"", h2raw.LATER) for stream in (1, 3, 5, 7)))
        assert raw.rst(7) is ErrorCode.REFUSED_STREAM
        server.let_go()
        assert {raw.answer(stream) for stream in (1, 3, 5)} == {("0", b"")}
        assert len(server.handler.calls) == 3


def test_streams_reset_while_the_handler_works() -> None:
    """A reset call keeps its place until its handler is done: resets buy no further work (CVE-2023-44487)."""
    with h2raw.serving(Limits(streams_per_connection=3)) as server, server.greeted() as raw:
        for stream in (1, 3, 5):
            raw.send(h2raw.request(stream, b"", h2raw.LATER) + frame(RST_STREAM, 0, stream, _WORD.pack(8)))
        raw.send(h2raw.request(7, b""))
        assert raw.rst(7) is ErrorCode.REFUSED_STREAM
        server.let_go()
        h2raw.wait_for(lambda: server.handler.finished == 3, "handlers finish")
        raw.send(h2raw.request(9, b"again"))
        assert raw.answer(9) == ("0", b"again")


def test_connections() -> None:
    """A connection beyond the limit is closed at once, and there is room again when one goes."""
    with h2raw.serving(Limits(connections=2)) as server:
        with server.greeted() as one, server.greeted() as two:
            for raw in (one, two):
                raw.send(h2raw.request(1, b""))
                assert raw.answer(1) == ("0", b"")
            with server.greeted() as three:
                assert three.ended()
        h2raw.wait_for(lambda: server.server.connections == 0, "connections are counted down")
        assert server.is_well()


def test_buffered_bytes() -> None:
    """When all messages together are too much a call is answered by `busy`; there is room again when one is through."""
    limits = Limits(buffered_bytes=10_000)

    def busy(reason: str) -> Answer:
        return Answer(status=Status.UNAVAILABLE, message=f"later: {reason}", details=b"retry info")

    with h2raw.serving(limits, busy=busy) as server, server.greeted() as one, server.greeted() as two:
        one.send(h2raw.request(1, bytes(6000), h2raw.LATER))
        h2raw.wait_for(lambda: len(server.handler.calls) == 1, "the first call is there")
        two.send(h2raw.request(1, bytes(5000)))
        fields, _ = two.response(1)
        assert fields.headers["grpc-status"] == "14"
        assert fields.headers["grpc-message"] == "later: calls of all connections hold 10000 bytes, the limit"
        assert fields.headers["grpc-status-details-bin"] == "cmV0cnkgaW5mbw"
        server.let_go()
        assert one.answer(1)[0] == "0"
        two.send(h2raw.request(3, bytes(5000)))
        assert two.answer(3) == ("0", bytes(5000))


def test_buffered_bytes_of_headers() -> None:
    """Headers of open calls count as well: a thousand calls without a message are not free."""
    with h2raw.serving(Limits(buffered_bytes=20_000)) as server, server.greeted() as raw:
        large = h2raw.fields_of(h2raw.ECHO, ("x", "y" * 8000))
        raw.send(h2raw.headers(1, large) + h2raw.headers(3, large) + h2raw.headers(5, large))
        assert raw.answer(5)[0] == "14"
        raw.send(frame(DATA, END_STREAM, 1, h2raw.message(b"one")))
        assert raw.answer(1) == ("0", b"one")


def test_connection_bytes() -> None:
    """One connection cannot use up what is for all."""
    with h2raw.serving(Limits(connection_bytes=6000)) as server, server.greeted() as one, server.greeted() as two:
        one.send(h2raw.request(1, bytes(5000), h2raw.LATER) + h2raw.request(3, bytes(5000)))
        assert one.answer(3)[0] == "14"
        two.send(h2raw.request(1, bytes(5000)))
        assert two.answer(1) == ("0", bytes(5000))
        server.let_go()


def test_bytes_are_given_back_when_a_connection_is_lost() -> None:
    """Half-sent messages of a peer that is gone count no longer."""
    with h2raw.serving(Limits(buffered_bytes=10_000)) as server:
        for _ in range(5):
            with server.greeted() as raw:
                raw.send(h2raw.headers(1) + frame(DATA, 0, 1, h2raw.message(bytes(9000))[:-1]))
                raw.send(frame(PING, 0, 0, bytes(8)))
                raw.until(PING)
            h2raw.wait_for(lambda: server.server.connections == 0, "the connection is gone")
        with server.greeted() as raw:
            raw.send(h2raw.request(1, bytes(9000)))
            assert raw.answer(1) == ("0", bytes(9000))


@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE, PREFACE + frame(SETTINGS, 0, 0, bytes(6))[:-1]])
def test_connect_s(sent: bytes) -> None:
    """Who does not get to SETTINGS in time is told and closed."""
    with h2raw.serving(Limits(connect_s=0.2)) as server, server.connect() as raw:
        raw.send(sent)
        assert raw.goaway() == (ErrorCode.SETTINGS_TIMEOUT, "no SETTINGS within 0.2 s")
        assert server.is_well()


def test_transfer_s_of_a_header_block() -> None:
    """A header block that never ends does not hold a connection."""
    with h2raw.serving(Limits(transfer_s=0.2)) as server, server.greeted() as raw:
        raw.send(frame(HEADERS, 0, 1, _FIELDS))
        assert raw.goaway() == (_CALM, "a frame or header block takes longer than 0.2 s")
        assert server.is_well()


def test_transfer_s_of_a_frame_that_trickles() -> None:
    """Single bytes of a frame, each in time, do not hold a connection."""
    with h2raw.serving(Limits(transfer_s=0.3)) as server, server.greeted() as raw:
        for byte in h2raw.headers(1):
            raw.send(bytes((byte,)))
            time.sleep(0.02)
        assert raw.goaway() == (_CALM, "a frame or header block takes longer than 0.3 s")


def test_transfer_s_of_a_message() -> None:
    """A message that does not come whole in time is given up; the connection is not."""
    with h2raw.serving(Limits(transfer_s=0.2)) as server, server.greeted() as raw:
        raw.send(h2raw.headers(1) + frame(DATA, 0, 1, h2raw.message(bytes(100))[:50]))
        fields, _ = raw.response(1)
        assert fields.headers["grpc-status"] == str(int(Status.DEADLINE_EXCEEDED))
        assert fields.headers["grpc-message"] == "the message did not come within 0.2 s"
        assert raw.rst(1) is ErrorCode.NO_ERROR
        raw.send(h2raw.request(3, b"next"))
        assert raw.answer(3) == ("0", b"next")


def test_transfer_s_of_an_answer() -> None:
    """An answer nobody makes room for is given up."""
    with h2raw.serving(Limits(transfer_s=0.2)) as server, server.greeted(struct.pack(">HI", 4, 3)) as raw:
        raw.send(h2raw.request(1, bytes(100)))
        assert raw.rst(1) is ErrorCode.CANCEL


def test_handlers_may_take_longer_than_a_transfer() -> None:
    """The time of a handler is not a time of transfer."""
    with h2raw.serving(Limits(transfer_s=0.1)) as server, server.greeted() as raw:
        raw.send(h2raw.request(1, b"slow", h2raw.LATER))
        h2raw.wait_for(lambda: len(server.handler.calls) == 1, "the call is there")
        time.sleep(0.3)
        server.let_go()
        assert raw.answer(1) == ("0", b"slow")


def test_idle_s() -> None:
    """A connection without calls is told to go."""
    with h2raw.serving(Limits(idle_s=0.2)) as server, server.greeted() as raw:
        raw.send(h2raw.request(1, b""))
        assert raw.answer(1) == ("0", b"")
        assert raw.goaway() == (ErrorCode.NO_ERROR, "no more calls here")


def test_keepalive_ends_a_silent_connection() -> None:
    """A peer that answers no PING is taken for dead."""
    limits = Limits(keepalive_s=0.1, keepalive_timeout_s=0.2)
    with h2raw.serving(limits) as server, server.greeted() as raw:
        raw.until(PING)
        h2raw.wait_for(lambda: server.server.connections == 0, "the dead connection is dropped")


def test_keepalive_keeps_a_living_connection() -> None:
    """A peer that answers PINGs may be silent for ever."""
    limits = Limits(keepalive_s=0.05, keepalive_timeout_s=0.5)
    with h2raw.serving(limits) as server, server.greeted() as raw:
        for _ in range(15):
            raw.send(frame(PING, 1, 0, raw.until(PING, flags=0)[3]))
        raw.send(h2raw.request(1, b"alive"))
        assert raw.answer(1) == ("0", b"alive")


def test_peer_that_does_not_read() -> None:
    """Answers a peer does not read stop us from reading it, and in the end the connection is dropped."""
    limits = Limits(transfer_s=1.0, message_bytes=1 << 20)
    wide = struct.pack(">HI", 4, (1 << 31) - 1)
    with h2raw.serving(limits) as server, server.greeted(wide) as raw:
        raw.sock.settimeout(2.0)
        raw.send(frame(WINDOW_UPDATE, 0, 0, _WORD.pack((1 << 31) - 1 - 65_535)))
        stream = 1
        with contextlib.suppress(TimeoutError, ConnectionError):
            while stream < 401:
                raw.sock.sendall(h2raw.request(stream, bytes(1 << 19)))
                stream += 2
        assert stream < 401  # it did not read on and on
        h2raw.wait_for(lambda: server.server.connections == 0, "the connection is dropped")
        assert len(server.handler.calls) < 200
        assert server.is_well()


_FEW = Limits(resets=Rate(10, 0), control_frames=Rate(20, 0))
_RESET = frame(RST_STREAM, 0, 0, _WORD.pack(8))[:5]

FLOODS = {
    "streams opened and reset": (
        b"".join(h2raw.headers(n) + _RESET + _WORD.pack(n) + _WORD.pack(8) for n in range(1, 31, 2)),
        "too many streams reset",
    ),
    "calls made and reset": (
        b"".join(h2raw.request(n, b"") + _RESET + _WORD.pack(n) + _WORD.pack(8) for n in range(1, 31, 2)),
        "too many streams reset",
    ),
    "streams we have to reset": (
        b"".join(h2raw.headers(n, [(":path", "/")]) for n in range(1, 31, 2)),
        "too many streams reset",
    ),
    "settings": (frame(SETTINGS, 0, 0) * 30, "too many control frames"),
    "settings acknowledged": (frame(SETTINGS, 1, 0) * 30, "too many control frames"),
    "pings": (frame(PING, 0, 0, bytes(8)) * 30, "too many control frames"),
    "pings answered": (frame(PING, 1, 0, bytes(8)) * 30, "too many control frames"),
    "priorities": (frame(PRIORITY, 0, 1, bytes(5)) * 30, "too many control frames"),
    "goaways": (frame(GOAWAY, 0, 0, bytes(8)) * 30, "too many control frames"),
    "window updates": (frame(WINDOW_UPDATE, 0, 0, _WORD.pack(1)) * 30, "too many control frames"),
    "unknown frames": (frame(0x55, 0, 0, b"x") * 30, "too many unknown frames"),
    "empty data": (h2raw.headers(1) + frame(DATA, 0, 1) * 30, "too many small DATA frames"),
    "data byte by byte": (
        h2raw.headers(1) + frame(DATA, 0, 1, h2raw.message(bytes(100))[:5]) + frame(DATA, 0, 1, b"x") * 30,
        "too many small DATA frames",
    ),
    "data that is padding": (
        h2raw.headers(1) + frame(DATA, 8, 1, b"\xff" + bytes(255)) * 30,
        "too many small DATA frames",
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood(name: str) -> None:
    """More frames that carry no call forward than the budget has end the connection."""
    sent, reason = FLOODS[name]
    with h2raw.serving(_FEW) as server, server.greeted() as raw:
        raw.send(sent)
        assert raw.goaway() == (_CALM, reason)
        assert server.is_well()


def test_settings_with_too_many_entries() -> None:
    """One SETTINGS frame is no flood either."""
    with h2raw.serving() as server, server.greeted() as raw:
        raw.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 0x99, 1) * 65))
        assert raw.goaway() == (_CALM, "SETTINGS with more than 64 entries")


def test_budgets_come_back_with_time() -> None:
    """What is a flood at once is none when it is spread."""
    limits = Limits(control_frames=Rate(5, 200))
    with h2raw.serving(limits) as server, server.greeted() as raw:
        for _ in range(50):
            raw.send(frame(PING, 0, 0, bytes(8)))
            raw.until(PING)
            time.sleep(0.01)
        raw.send(h2raw.request(1, b"fine"))
        assert raw.answer(1) == ("0", b"fine")


def test_data_earns_control_frames() -> None:
    """A peer whose every message brings a PING and a WINDOW_UPDATE, as real ones do, is no flood."""
    with h2raw.serving(_FEW) as server, server.greeted() as raw:
        for stream in range(1, 201, 2):
            raw.send(frame(PING, 0, 0, bytes(8)) + h2raw.request(stream, bytes(100)))
            assert raw.answer(stream) == ("0", bytes(100))
            raw.send(frame(WINDOW_UPDATE, 0, 0, _WORD.pack(105)))


def test_memory_of_single_bytes() -> None:
    """A message sent as single bytes is held as one array, not as a million objects."""
    limits = Limits(control_frames=Rate(1e9, 0))
    with h2raw.serving(limits) as server, server.greeted() as raw:
        body = bytes(range(256)) * 200
        pieces = (frame(DATA, 0, 1, body[at : at + 1]) for at in range(len(body)))
        raw.send(h2raw.headers(1) + frame(DATA, 0, 1, h2raw.message(body)[:5]) + b"".join(pieces))
        raw.send(frame(DATA, END_STREAM, 1))
        assert raw.answer(1) == ("0", body)
