"""Whatever the bytes and however they are cut into reads: the same calls, or an orderly end."""

import asyncio
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

import h2raw
from spanward_processor.h2.call import Answer, Call, Peer, Status
from spanward_processor.h2.connection import Connection
from spanward_processor.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from spanward_processor.h2.headers import encode_fields
from spanward_processor.h2.limits import Budget, Buffered, Limits, Rate
from spanward_processor.h2.replies import Replies
from spanward_processor.h2.service import Service
from spanward_processor.h2.serving import Serving


class _Recorder:
    """Keeps what came, and answers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []

    def open(self, path: str, headers: Mapping[str, str], peer: Peer) -> Answer | None:
        return Answer(status=Status.UNIMPLEMENTED) if path == "/no/such" else None

    def __call__(self, call: Call) -> Answer:
        self.calls.append((call.path, call.body))
        return Answer(call.body[:100])


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def _outcome(reads: Sequence[bytes]) -> tuple[list[tuple[str, bytes]], bytes, int]:
    """Return the calls, the bytes we answered, and what is still held after the connection is lost."""

    async def main() -> tuple[list[tuple[str, bytes]], bytes, int]:
        unhandled: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unhandled.append(context))
        clock = lambda: 0.0
        recorder, buffered = _Recorder(), Buffered(1 << 20)
        limits = Limits(message_bytes=50_000)
        replies, failures = Replies(["identity"]), Budget(Rate(1, 0), clock)
        service = Service(recorder, limits, lambda reason: Answer(status=14), replies, buffered, failures, clock)
        serving = Serving(service, lambda _: Peer("test"), lambda _: None)
        buffer = memoryview(bytearray(1 << 17))
        connection = Connection(serving, buffer, limits, preface=PREFACE, hello=b"", window=1 << 20, clock=clock)
        transport = _Transport()
        connection.connection_made(transport)
        for read in reads:
            left = memoryview(read)
            while left and not transport.closed:
                room = connection.get_buffer(-1)
                count = min(len(room), len(left))
                room[:count] = left[:count]
                connection.buffer_updated(count)
                left = left[count:]
        await asyncio.sleep(0)
        connection.connection_lost(None)
        assert unhandled == []
        return recorder.calls, transport.written, buffered.bytes

    return asyncio.run(main())


def _cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    points = [0, *sorted(point % (len(data) + 1) for point in at), len(data)]
    return [data[start:end] for start, end in pairwise(points)]


def _frames(draw: st.DrawFn) -> bytes:
    """Return frames that mostly make sense, with some that do not."""
    stream = draw(st.sampled_from([1, 1, 3, 5, 7, 0, 2]))
    fields = h2raw.fields_of(draw(st.sampled_from([h2raw.ECHO, "/no/such"])))
    body = draw(st.binary(max_size=300)) * draw(st.sampled_from([1, 1, 100]))
    flags = draw(st.sampled_from([0, END_STREAM]))
    return draw(
        st.sampled_from(
            [
                h2raw.request(stream, body),
                h2raw.headers(stream, fields, END_HEADERS | flags),
                h2raw.continued(stream, encode_fields(fields), 3),
                frame(HEADERS, flags, stream, encode_fields(fields)),
                frame(CONTINUATION, END_HEADERS, stream, b""),
                frame(DATA, flags, stream, h2raw.message(body)),
                frame(DATA, flags | PADDED, stream, b"\x05" + h2raw.message(body) + bytes(5)),
                frame(DATA, flags, stream, body),
                frame(PING, 0, 0, bytes(8)),
                frame(PRIORITY, 0, stream, bytes(5)),
                frame(RST_STREAM, 0, stream, struct.pack(">I", 8)),
                frame(SETTINGS, 0, 0, struct.pack(">HI", 4, len(body))),
                frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", len(body))),
                frame(0x42, 0xFF, stream, body),
                body,
            ]
        )
    )


_streams = st.composite(lambda draw: b"".join(_frames(draw) for _ in range(draw(st.integers(1, 12)))))()


@given(_streams, st.lists(st.integers(0, 1 << 20), max_size=20))
def test_any_cut_gives_the_same_calls_and_answers(sent: bytes, at: Sequence[int]) -> None:
    """Where the network cuts a stream of frames changes neither a call nor a byte of what we answer."""
    sent = PREFACE + frame(SETTINGS, 0, 0) + sent
    whole = _outcome([sent])
    assert whole == _outcome(_cut(sent, at))
    assert whole[2] == 0


@given(st.integers(0, 400), st.binary(max_size=100))
@settings(max_examples=50)
def test_byte_by_byte_is_the_same(size: int, extra: bytes) -> None:
    """Single bytes make the same calls as one read."""
    sent = PREFACE + frame(SETTINGS, 0, 0) + h2raw.request(1, bytes(size)) + h2raw.request(3, b"second") + extra
    calls, _, held = _outcome([sent[at : at + 1] for at in range(len(sent))])
    assert [(h2raw.ECHO, bytes(size)), (h2raw.ECHO, b"second")] == calls
    assert held == 0


@given(st.binary(max_size=2000), st.booleans())
@example(b"\x00\x00\x00\x01\x04\x00\x00\x00\x01", True)
@example(frame(HEADERS, END_HEADERS, 1, b"\x40"), True)
@example(frame(HEADERS, END_HEADERS, 1, b"\x00"), True)
def test_random_bytes_end_in_order(sent: bytes, greeted: bool) -> None:
    """Any bytes at all are answered or turned away; nothing is raised, and nothing stays behind."""
    hello = PREFACE + frame(SETTINGS, 0, 0) if greeted else b""
    assert _outcome([hello + sent])[2] == 0


@given(st.binary(max_size=300))
def test_random_header_blocks_end_in_order(block: bytes) -> None:
    """Any header block is decoded or ends the connection."""
    sent = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, block)
    assert _outcome([sent])[2] == 0


@given(st.lists(st.binary(min_size=1, max_size=500), min_size=1, max_size=5))
@settings(max_examples=30)
def test_random_bytes_never_hurt_other_connections(noises: Sequence[bytes]) -> None:
    """A call that is half sent is finished as if the noise of others were not there."""
    with h2raw.serving() as server, server.greeted() as innocent:
        innocent.send(h2raw.headers(1) + frame(DATA, 0, 1, h2raw.message(b"unharmed")[:7]))
        for noise in noises:
            with server.greeted() as guilty:
                guilty.send(noise)
        innocent.send(frame(DATA, END_STREAM, 1, h2raw.message(b"unharmed")[7:]))
        assert innocent.answer(1) == ("0", b"unharmed")
