"""A server against peers that break the rules of HTTP/2: each ends its own connection or stream, and nothing else."""

import struct

import pytest

import h2raw
from spanward_processor.h2 import settings
from spanward_processor.h2.call import Answer
from spanward_processor.h2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_FIELDS,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    frame,
)
from spanward_processor.h2.headers import encode_fields
from spanward_processor.h2.limits import Limits

_FIELDS = encode_fields(h2raw.fields_of())
_OPEN = h2raw.headers(1)
_DONE = h2raw.request(1, b"")
_WORD = struct.Struct(">I")


def _setting(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", name, value))


CONNECTION_ERRORS = {
    "data on stream 0": (frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "data on an idle stream": (frame(DATA, 0, 5, b"x"), ErrorCode.PROTOCOL_ERROR),
    "data on a closed stream": (_DONE + frame(DATA, 0, 1, b"x"), ErrorCode.STREAM_CLOSED),
    "data that is all padding": (_OPEN + frame(DATA, PADDED, 1, b"\x05abcd"), ErrorCode.PROTOCOL_ERROR),
    "padded data without a pad length": (_OPEN + frame(DATA, PADDED, 1), ErrorCode.PROTOCOL_ERROR),
    "headers on stream 0": (frame(HEADERS, END_HEADERS, 0, _FIELDS), ErrorCode.PROTOCOL_ERROR),
    "headers on an even stream": (frame(HEADERS, END_HEADERS, 2, _FIELDS), ErrorCode.PROTOCOL_ERROR),
    "headers on a closed stream": (_DONE + _OPEN, ErrorCode.STREAM_CLOSED),
    "headers on a lower stream": (h2raw.request(5, b"") + h2raw.headers(3), ErrorCode.STREAM_CLOSED),
    "headers that are all padding": (
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + _FIELDS[:20]),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "padded headers without a pad length": (frame(HEADERS, END_HEADERS | PADDED, 1), ErrorCode.FRAME_SIZE_ERROR),
    "headers too short for priority": (
        frame(HEADERS, END_HEADERS | PRIORITY_FIELDS, 1, b"abc"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "interrupted header block": (frame(HEADERS, 0, 1, _FIELDS) + frame(PING, 0, 0, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "header block continued on another stream": (
        frame(HEADERS, 0, 1, _FIELDS) + frame(CONTINUATION, END_HEADERS, 3, b""),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "header block interrupted by an unknown frame": (
        frame(HEADERS, 0, 1, _FIELDS) + frame(0x77, 0, 1, b""),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1, _FIELDS), ErrorCode.PROTOCOL_ERROR),
    "header block that is no HPACK": (frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
    "header block with index 0": (frame(HEADERS, END_HEADERS, 1, b"\x80"), ErrorCode.COMPRESSION_ERROR),
    "header block cut off": (frame(HEADERS, END_HEADERS, 1, _FIELDS[:-3]), ErrorCode.COMPRESSION_ERROR),
    "header table larger than allowed": (
        frame(HEADERS, END_HEADERS, 1, b"\x3f\xe1\xff\x03" + _FIELDS),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "priority on stream 0": (frame(PRIORITY, 0, 0, bytes(5)), ErrorCode.PROTOCOL_ERROR),
    "priority of a wrong size": (frame(PRIORITY, 0, 1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR),
    "reset of stream 0": (frame(RST_STREAM, 0, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "reset of an idle stream": (frame(RST_STREAM, 0, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "reset of a wrong size": (_OPEN + frame(RST_STREAM, 0, 1, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    "settings on a stream": (frame(SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
    "settings of a wrong size": (frame(SETTINGS, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
    "settings acknowledged with a payload": (frame(SETTINGS, ACK, 0, bytes(6)), ErrorCode.FRAME_SIZE_ERROR),
    "push that is neither on nor off": (_setting(settings.ENABLE_PUSH, 2), ErrorCode.PROTOCOL_ERROR),
    "initial window too large": (_setting(settings.INITIAL_WINDOW_SIZE, 1 << 31), ErrorCode.FLOW_CONTROL_ERROR),
    "frame size too small": (_setting(settings.MAX_FRAME_SIZE, 16_383), ErrorCode.PROTOCOL_ERROR),
    "frame size too large": (_setting(settings.MAX_FRAME_SIZE, 1 << 24), ErrorCode.PROTOCOL_ERROR),
    "push promise": (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + _FIELDS), ErrorCode.PROTOCOL_ERROR),
    "ping on a stream": (frame(PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "ping of a wrong size": (frame(PING, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "goaway on a stream": (frame(GOAWAY, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "goaway too short": (frame(GOAWAY, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "window update on an idle stream": (frame(WINDOW_UPDATE, 0, 1, _WORD.pack(1)), ErrorCode.PROTOCOL_ERROR),
    "window update of a wrong size": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    "window update of the connection by 0": (frame(WINDOW_UPDATE, 0, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "window of the connection above 2^31-1": (
        frame(WINDOW_UPDATE, 0, 0, _WORD.pack((1 << 31) - 1)),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "frame longer than announced": (b"\x10\x00\x01\x00\x00\x00\x00\x00\x01", ErrorCode.FRAME_SIZE_ERROR),
    "control frame longer than needed": (b"\x00\x40\x01\x07\x00\x00\x00\x00\x00", ErrorCode.FRAME_SIZE_ERROR),
    "preface twice": (PREFACE, ErrorCode.FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("name", CONNECTION_ERRORS)
def test_connection_error(name: str) -> None:
    """The connection ends with the code the RFC names; one that was open before goes on."""
    sent, code = CONNECTION_ERRORS[name]
    with h2raw.serving() as server, server.greeted() as innocent, server.greeted() as guilty:
        innocent.send(h2raw.headers(1))
        guilty.send(sent)
        assert guilty.goaway()[0] is code
        innocent.send(frame(DATA, END_STREAM, 1, h2raw.message(b"unharmed")))
        assert innocent.answer(1) == ("0", b"unharmed")


_HALF = h2raw.headers(1, h2raw.fields_of(h2raw.LATER)) + frame(DATA, END_STREAM, 1, h2raw.message(b""))

STREAM_ERRORS = {
    "window update by 0": (_OPEN + frame(WINDOW_UPDATE, 0, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "window above 2^31-1": (
        _OPEN + frame(WINDOW_UPDATE, 0, 1, _WORD.pack((1 << 31) - 1)),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "data after the end": (_HALF + frame(DATA, 0, 1, b"x"), ErrorCode.STREAM_CLOSED),
    "headers after the end": (_HALF + _OPEN, ErrorCode.STREAM_CLOSED),
    "trailers that end nothing": (_OPEN + _OPEN, ErrorCode.PROTOCOL_ERROR),
    "trailers with a pseudo-header": (
        _OPEN + h2raw.headers(1, [(":path", "/x")], END_HEADERS | END_STREAM),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "upper case": (h2raw.headers(1, h2raw.fields_of(h2raw.ECHO, ("X-Tenant", "a"))), ErrorCode.PROTOCOL_ERROR),
    "line break in a value": (h2raw.headers(1, h2raw.fields_of(h2raw.ECHO, ("x", "a\r\nb"))), ErrorCode.PROTOCOL_ERROR),
    "space around a value": (h2raw.headers(1, h2raw.fields_of(h2raw.ECHO, ("x", " a"))), ErrorCode.PROTOCOL_ERROR),
    "empty name": (h2raw.headers(1, h2raw.fields_of(h2raw.ECHO, ("", "a"))), ErrorCode.PROTOCOL_ERROR),
    "connection header": (
        h2raw.headers(1, h2raw.fields_of(h2raw.ECHO, ("connection", "close"))),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "te other than trailers": (h2raw.headers(1, h2raw.fields_of(te="gzip")), ErrorCode.PROTOCOL_ERROR),
    "pseudo-header twice": (h2raw.headers(1, [(":path", "/x"), *h2raw.fields_of()]), ErrorCode.PROTOCOL_ERROR),
    "pseudo-header after others": (
        h2raw.headers(1, [("x", "y"), *h2raw.fields_of()]),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "unknown pseudo-header": (h2raw.headers(1, [(":kind", "x"), *h2raw.fields_of()]), ErrorCode.PROTOCOL_ERROR),
    "pseudo-header of a response": (
        h2raw.headers(1, [(":status", "200"), *h2raw.fields_of()]),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "no method": (h2raw.headers(1, h2raw.fields_of()[1:]), ErrorCode.PROTOCOL_ERROR),
    "empty path": (h2raw.headers(1, h2raw.fields_of("")), ErrorCode.PROTOCOL_ERROR),
    "content-length that is no number": (
        h2raw.headers(1, h2raw.fields_of(h2raw.ECHO, ("content-length", "ten"))),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "more than the content-length": (
        h2raw.headers(1, h2raw.fields_of(h2raw.ECHO, ("content-length", "7")))
        + frame(DATA, 0, 1, h2raw.message(b"abc")),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "less than the content-length": (
        h2raw.headers(1, h2raw.fields_of(h2raw.ECHO, ("content-length", "9")))
        + frame(DATA, END_STREAM, 1, h2raw.message(b"abc")),
        ErrorCode.PROTOCOL_ERROR,
    ),
}


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_stream_error(name: str) -> None:
    """The stream is reset with the code the RFC names, and the connection serves the next one."""
    sent, code = STREAM_ERRORS[name]
    with h2raw.serving() as server, server.greeted() as raw:
        raw.send(sent)
        assert raw.rst(1) is code
        raw.send(h2raw.request(3, b"next"))
        assert raw.answer(3) == ("0", b"next")


NO_ERRORS = {
    "priority": frame(PRIORITY, 0, 7, bytes(5)) + h2raw.request(1, b"fine"),
    "headers with priority and padding": frame(
        HEADERS, END_HEADERS | PADDED | PRIORITY_FIELDS, 1, b"\x03" + bytes(5) + _FIELDS + bytes(3)
    )
    + frame(DATA, END_STREAM, 1, h2raw.message(b"fine")),
    "padded data": _OPEN + frame(DATA, END_STREAM | PADDED, 1, b"\x04" + h2raw.message(b"fine") + bytes(4)),
    "data that is nothing but padding": _OPEN
    + frame(DATA, PADDED, 1, b"\x02ab")
    + frame(DATA, END_STREAM, 1, h2raw.message(b"fine")),
    "end in an empty frame": _OPEN + frame(DATA, 0, 1, h2raw.message(b"fine")) + frame(DATA, END_STREAM, 1),
    "end in trailers": _OPEN
    + frame(DATA, 0, 1, h2raw.message(b"fine"))
    + h2raw.headers(1, [("x-checksum", "1")], END_HEADERS | END_STREAM),
    "unknown frame": frame(0x77, 0xFF, 0, bytes(100_000)) + h2raw.request(1, b"fine"),
    "unknown setting": _setting(0x99, 7) + h2raw.request(1, b"fine"),
    "unknown flags": frame(HEADERS, END_HEADERS | 0xD2 & ~PRIORITY_FIELDS & ~PADDED, 1, _FIELDS)
    + frame(DATA, END_STREAM | 0xE6, 1, h2raw.message(b"fine")),
    "reserved bit of the stream": h2raw.headers(1 | 1 << 31) + frame(DATA, END_STREAM, 1, h2raw.message(b"fine")),
    "settings acknowledged": frame(SETTINGS, ACK, 0) + h2raw.request(1, b"fine"),
    "window update of a closed stream": h2raw.request(1, b"fine") + frame(WINDOW_UPDATE, 0, 1, _WORD.pack(9)),
    "reset of a closed stream": h2raw.request(1, b"fine") + frame(RST_STREAM, 0, 1, _WORD.pack(8)),
    "continuation": h2raw.continued(1, _FIELDS, 7) + frame(DATA, END_STREAM, 1, h2raw.message(b"fine")),
    "content-length that is right": h2raw.headers(1, h2raw.fields_of(h2raw.ECHO, ("content-length", "9")))
    + frame(DATA, END_STREAM, 1, h2raw.message(b"fine")),
    "streams that are left out": h2raw.headers(101)
    + h2raw.request(201, b"")
    + frame(DATA, END_STREAM, 101, b"")
    + h2raw.request(203, b""),
    "goaway of a client": frame(GOAWAY, 0, 0, bytes(8)) + h2raw.request(1, b"fine"),
}


@pytest.mark.parametrize("name", NO_ERRORS)
def test_what_is_allowed_is_served(name: str) -> None:
    """Rare but legal frames change nothing."""
    with h2raw.serving() as server, server.greeted() as raw:
        raw.send(NO_ERRORS[name])
        stream, body = (203, b"") if name == "streams that are left out" else (1, b"fine")
        assert raw.answer(stream) == ("0", body)
        raw.send(h2raw.request(1001, b"next"))
        assert raw.answer(1001) == ("0", b"next")


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/1.1\r\n", b"\x16\x03\x01"])
def test_other_protocols_are_turned_away(sent: bytes) -> None:
    """What does not begin like HTTP/2 is told so."""
    with h2raw.serving() as server, server.connect() as raw:
        raw.send(sent)
        assert raw.goaway() == (ErrorCode.PROTOCOL_ERROR, "the connection does not begin with the HTTP/2 preface")
        assert server.is_well()


@pytest.mark.parametrize("first", [frame(PING, 0, 0, bytes(8)), frame(SETTINGS, ACK, 0), h2raw.headers(1)])
def test_settings_must_come_first(first: bytes) -> None:
    """Anything but SETTINGS after the preface ends the connection."""
    with h2raw.serving() as server, server.connect() as raw:
        raw.send(PREFACE + first)
        assert raw.goaway() == (ErrorCode.PROTOCOL_ERROR, "the first frame must be SETTINGS")


def test_ping_is_answered_with_its_bytes() -> None:
    """PING comes back as it went."""
    with h2raw.serving() as server, server.greeted() as raw:
        raw.send(frame(PING, 0, 0, b"12345678"))
        assert raw.until(PING) == (PING, ACK, 0, b"12345678")


def test_settings_are_acknowledged() -> None:
    """Every SETTINGS gets its ACK."""
    with h2raw.serving() as server, server.greeted() as raw:
        assert raw.until(SETTINGS, flags=ACK) == (SETTINGS, ACK, 0, b"")


def test_last_frames_of_a_stream_we_ended_are_ignored() -> None:
    """What was under way when we refused a call is no error, trailers included."""
    with h2raw.serving() as server, server.greeted() as raw:
        server.handler.refuse = lambda path: Answer(status=12) if path != h2raw.ECHO else None
        raw.send(h2raw.headers(1, h2raw.fields_of("/no/such")))
        assert raw.answer(1) == ("12", b"")
        assert raw.rst(1) is ErrorCode.NO_ERROR
        raw.send(frame(DATA, 0, 1, bytes(1000)) + h2raw.headers(1, [("x", "y")], END_HEADERS | END_STREAM))
        raw.send(h2raw.request(3, b"next"))
        assert raw.answer(3) == ("0", b"next")


def test_answers_wait_for_the_windows_of_the_peer() -> None:
    """A reply is sent in the pieces the windows allow, and its trailers after them."""
    with h2raw.serving() as server, server.greeted(struct.pack(">HI", settings.INITIAL_WINDOW_SIZE, 10)) as raw:
        raw.send(h2raw.request(1, bytes(30)))
        assert len(raw.until(DATA)[3]) == 10
        raw.send(frame(WINDOW_UPDATE, 0, 1, _WORD.pack(20)))
        assert len(raw.until(DATA)[3]) == 20
        raw.send(_setting(settings.INITIAL_WINDOW_SIZE, 11))
        assert len(raw.until(DATA)[3]) == 1
        raw.send(frame(WINDOW_UPDATE, 0, 1, _WORD.pack(1000)))
        assert len(raw.until(DATA)[3]) == 4
        assert raw.until(HEADERS)[1] & END_STREAM


def test_answers_keep_to_the_frame_size_of_the_peer() -> None:
    """A reply longer than a frame comes in several."""
    with h2raw.serving() as server, server.greeted() as raw:
        raw.send(h2raw.request(1, bytes(40_000)))
        sizes = [len(raw.until(DATA)[3]) for _ in range(3)]
        assert sizes == [16_384, 16_384, 40_005 - 2 * 16_384]


def test_window_of_the_connection_is_given_back() -> None:
    """A peer that keeps to the windows can send for ever."""
    limits = Limits(connection_bytes=70_000, message_bytes=1000)
    with h2raw.serving(limits) as server, server.greeted() as raw:
        for stream in range(1, 401, 2):
            raw.send(h2raw.request(stream, bytes(900)))
            assert raw.answer(stream) == ("0", bytes(900))
            raw.send(frame(WINDOW_UPDATE, 0, 0, _WORD.pack(905)))


def test_more_than_the_window_of_the_connection_ends_it() -> None:
    """A peer that ignores the window of the connection is cut off."""
    with h2raw.serving(Limits(connection_bytes=70_000, message_bytes=1000)) as server, server.greeted() as raw:
        raw.send(_OPEN + frame(DATA, 0, 1, h2raw.message(bytes(100_000))))
        assert raw.goaway() == (ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window of the connection")
        assert server.is_well()
