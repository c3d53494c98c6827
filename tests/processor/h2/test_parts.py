"""The parts by themselves: header blocks, statuses, timeouts, windows, budgets."""

import doctest
import gc
from itertools import pairwise

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanward_processor.h2 import client, grpc
from spanward_processor.h2.call import Answer
from spanward_processor.h2.frames import (
    DATA,
    END_STREAM,
    HEAD,
    ConnectionFault,
    ErrorCode,
    frame,
    header_frames,
    parse_goaway,
)
from spanward_processor.h2.grpc import (
    Incoming,
    MessageFault,
    format_timeout,
    parse_status,
    parse_timeout,
    status_fields,
)
from spanward_processor.h2.headers import Fields, HeaderDecoder, encode_fields, parse_fields
from spanward_processor.h2.limits import Budget, Buffered, Rate
from spanward_processor.h2.windows import Body, Buffer, Inflow, Outflow

_NAMES = st.from_regex(r"[a-z0-9\-]{1,200}", fullmatch=True)
_VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20_000)
_PAIRS = st.lists(st.tuples(_NAMES, _VALUES), max_size=6, unique_by=lambda pair: pair[0])


@given(_PAIRS)
def test_header_blocks_are_read_by_hpack(fields: list[tuple[str, str]]) -> None:
    """What we encode, another implementation decodes, lengths of every size included."""
    decoder = hpack.Decoder(max_header_list_size=1 << 20)
    decoded = decoder.decode(encode_fields(fields), raw=True)
    assert [(name.encode(), value.encode()) for name, value in fields] == [tuple(field) for field in decoded]
    assert not decoder.header_table.dynamic_entries


@given(st.lists(st.tuples(_PAIRS, st.booleans()), min_size=1, max_size=12))
def test_cached_blocks_mean_what_they_say(blocks: list[tuple[list[tuple[str, str]], bool]]) -> None:
    """Blocks that use and change the dynamic table, each sent twice, decode as by a decoder that remembers nothing."""
    encoder, ours, theirs = hpack.Encoder(), HeaderDecoder(1 << 20), hpack.Decoder(max_header_list_size=1 << 20)
    for fields, literal in blocks:
        for _ in range(2):
            block = encode_fields(fields) if literal else encoder.encode(fields)
            assert parse_fields(theirs.decode(block, raw=True)) == ours.decode(block)


def test_table_size_is_part_of_what_a_block_means() -> None:
    """A block that sets the table's size is not taken from the cache after another size was set."""
    decoder, small, large = HeaderDecoder(1 << 16), b"\x20\x82", b"\x3f\xe1\x1f\x82"
    add = b"\x40\x01a\x01b"
    for block in (small, large, small):
        decoder.decode(block)
    decoder.decode(add)  # the table has no room
    with pytest.raises(ConnectionFault, match="COMPRESSION_ERROR"):
        decoder.decode(b"\xbe")


def test_repeated_blocks_are_decoded_once() -> None:
    """The same block gives the same object, as long as the table stays as it is."""
    decoder = HeaderDecoder(1 << 16)
    block = encode_fields([(":path", "/x"), ("a", "b")])
    first = decoder.decode(block)
    assert first == Fields({":path": "/x"}, {"a": "b"}, 7 + 2 + 2 * 32)
    assert decoder.decode(block) is first
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.decode(block) is not first


def test_kept_blocks_are_bounded() -> None:
    """A sender of ever new blocks does not fill memory."""
    decoder = HeaderDecoder(1 << 16)
    for number in range(10_000):
        decoder.decode(encode_fields([("n", str(number))]))
    gc.collect()
    assert sum(isinstance(kept, Fields) for kept in gc.get_objects()) < 100


def test_long_blocks_are_not_kept() -> None:
    """A block that is long, or becomes long, is decoded each time: it would be a cheap way to our memory."""
    decoder = HeaderDecoder(1 << 16)
    decoder.decode(b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000)
    for block in (b"\xbe", encode_fields([("a", "b" * 2000)])):
        assert decoder.decode(block) is not decoder.decode(block)


def test_long_header_blocks_are_continued() -> None:
    """A block longer than the smallest frame goes in several, of which only the last ends it."""
    block = bytes(40_000)
    sent = header_frames(1, block, END_STREAM)
    seen: list[tuple[int, int, int]] = []
    while sent:
        high, low, kind, flags, _ = HEAD.unpack_from(sent)
        length = high << 16 | low
        seen.append((kind, flags, length))
        sent = sent[9 + length :]
    assert seen == [(1, 1, 16_384), (9, 0, 16_384), (9, 4, 7232)]


@given(st.text(max_size=300), st.binary(max_size=100), st.integers(0, 20))
def test_statuses_survive_the_wire(message: str, details: bytes, status: int) -> None:
    """Any message and details come back as they went, in printable ASCII."""
    answer = Answer(b"", status, message.encode("utf-8", "replace").decode(), details)
    fields = dict(status_fields(answer))
    assert all(" " <= char <= "~" for value in fields.values() for char in value)
    assert answer == parse_status(fields, b"")


@given(st.floats(1e-6, 1e9))
def test_timeouts_survive_the_wire(seconds: float) -> None:
    """A timeout has at most eight digits and is read back nearly the same, never longer."""
    text = format_timeout(seconds)
    read = parse_timeout(text)
    assert len(text) <= 9
    assert read is not None
    assert seconds * 0.98 - 1e-6 <= read <= seconds * (1 + 1e-9)


@pytest.mark.parametrize("text", ["", "5", "S", "123456789S", "-1S", "1.5S", "5s", " 5S", "٣S"])
def test_what_is_no_timeout(text: str) -> None:
    """Anything but digits and a unit is no timeout."""
    assert parse_timeout(text) is None


@given(st.binary(max_size=200), st.lists(st.tuples(st.integers(0, 210), st.booleans()), max_size=6))
def test_message_in_any_pieces(body: bytes, at: list[tuple[int, bool]]) -> None:
    """A message is the same however it is cut, and whenever the buffer its pieces lay in is written over."""
    sent = bytes(1) + len(body).to_bytes(4, "big") + body
    message = Incoming(200)
    buffer = bytearray(sent)
    cuts = sorted((min(point, len(sent)), kept) for point, kept in at)
    for (start, kept), (end, _) in pairwise([(0, False), *cuts, (len(sent), False)]):
        if kept:
            message.keep()
            buffer[:start] = bytes(start)
        message.feed(memoryview(buffer)[start:end])
    assert message.finish() == body


@pytest.mark.parametrize("piece", [16_384, 100_000, 300_000])
def test_a_large_message_in_pieces(piece: int) -> None:
    """What is kept in several arrays is one message in the end, the last bytes still borrowed."""
    body = bytes(range(251)) * 4_000
    sent = bytes(1) + len(body).to_bytes(4, "big") + body
    message = Incoming(len(body))
    for start in range(0, len(sent), piece):
        message.keep()
        message.feed(memoryview(sent)[start : start + piece])

    assert message.finish() == body


def test_flag_that_is_neither() -> None:
    """The compressed flag is 0 or 1."""
    with pytest.raises(MessageFault, match="compressed flag must be 0 or 1, got 2"):
        Incoming(10).feed(memoryview(b"\x02\x00\x00\x00\x00"))


def test_a_body_waits_only_for_its_own_window() -> None:
    """A stream without window does not hold up another one."""
    out: list[Buffer] = []
    done: list[int] = []
    outflow = Outflow(out)
    outflow.resize(10)
    outflow.send(Body(1, [bytes(20)], b"", lambda: done.append(1)))
    outflow.send(Body(3, [bytes(5)], b"", lambda: done.append(3)))
    assert b"".join(out) == frame(DATA, 0, 1, bytes(10)) + frame(DATA, END_STREAM, 3, bytes(5))
    assert outflow.widen_stream(1, 10)
    assert done == [3, 1]


def test_empty_parts_are_left_out() -> None:
    """No empty buffer reaches the transport, which on Python 3.12 and later would try for ever to send it."""
    out: list[Buffer] = []
    Outflow(out).send(Body(1, [b"", b"body", b""], b"", lambda: None))
    assert [len(part) for part in out] == [9, 4]


def test_a_stopped_transport_gets_nothing() -> None:
    """Bodies wait while the transport is full, and go when it is not."""
    out: list[Buffer] = []
    outflow = Outflow(out)
    outflow.stopped = True
    outflow.send(Body(1, [b"body"], b"", lambda: None))
    assert out == []
    outflow.stopped = False
    outflow.pump()
    assert b"".join(out) == frame(DATA, END_STREAM, 1, b"body")


def test_a_smaller_initial_window_may_make_windows_negative() -> None:
    """After SETTINGS took back what was sent already, nothing goes until it is given again."""
    out: list[Buffer] = []
    outflow = Outflow(out)
    outflow.resize(10)
    outflow.send(Body(1, [bytes(30)], b"", lambda: None))
    outflow.resize(4)
    out.clear()
    assert outflow.widen_stream(1, 6)
    assert out == []
    assert outflow.widen_stream(1, 1)
    assert b"".join(out) == frame(DATA, 0, 1, b"\0")


def test_window_updates_are_rare() -> None:
    """A receiver tells the sender a few times per window, not per frame."""
    updates: list[int] = []
    inflow = Inflow(1 << 20, updates.append)
    inflow.open()
    for _ in range(1000):
        inflow.took(10_000)
    assert len(updates) < 45
    assert sum(updates) <= 10_000_000 + (1 << 20)


def test_budget_fills_with_time_and_work() -> None:
    """What is spent comes back, up to the burst."""
    now = [0.0]
    budget = Budget(Rate(2, 1), lambda: now[0])
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    now[0] = 1.0
    assert [budget.spend(), budget.spend()] == [True, False]
    budget.earn(9)
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_bytes_that_do_not_fit_are_not_counted() -> None:
    """A refused piece leaves the count as it was."""
    buffered = Buffered(10)
    assert [buffered.take(6), buffered.take(5), buffered.take(4)] == [True, False, True]
    buffered.give_back(10)
    assert buffered.bytes == 0


def test_goaway_of_the_future() -> None:
    """An error code the RFC does not know is kept as a number, its text made harmless."""
    assert parse_goaway(b"\x80\x00\x00\x05\x00\x00\x0a\xbcok\xff") == (5, 0xABC, "ok\ufffd")


def test_fault_names_code_and_rule() -> None:
    """A fault says what was broken."""
    assert str(ConnectionFault(ErrorCode.CANCEL, "rule")) == "CANCEL: rule"


@pytest.mark.parametrize("module", [grpc, client])
def test_examples(module: object) -> None:
    """The examples in docstrings hold."""
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert (failed, tried > 0) == (0, True)
