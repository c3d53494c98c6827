"""HTTP connections whose peers send no request, half of one, or nonsense: real sockets, and how each ends."""

import contextlib
import json
import logging
import re
import socket
import ssl
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import trustme
from starlette.types import Receive, Scope, Send

import running
from serving import serving
from spanward_processor.receive.gate import Gate
from spanward_processor.receive.http import http_app
from spanward_processor.receive.http1 import Patience
from spanward_processor.signals import Signal

HEAD_S = 0.4
QUICK = Patience(head_s=HEAD_S, idle_s=60.0, handshake_s=HEAD_S, connections=4)
AT_MOST_S = 20.0
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
UNFINISHED = {
    "nothing": b"",
    "a byte": b"P",
    "no end of the line": b"POST /v1/traces HTTP/1.1",
    "no end of the head": b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n",
}


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request with "well" once its body is there."""
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"well"})


@contextmanager
def connected(address: str, sent: bytes = b"") -> Generator[socket.socket]:
    """Open a connection and send something."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), AT_MOST_S) as connection:
        connection.sendall(sent)
        yield connection


def last_words(connection: socket.socket) -> bytes:
    """Return all that comes until the connection is ended by the other side."""
    pieces: list[bytes] = []
    with contextlib.suppress(ConnectionError):  # ended with something of ours unread
        while piece := connection.recv(65_536):
            pieces.append(piece)
    return b"".join(pieces)


def heard(connection: socket.socket) -> bytes:
    """Return one answer, whole, or what came of it until the connection ended."""
    answer = b""
    while piece := connection.recv(65_536):
        answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if length and len(body) >= int(length[1]):
            break
    return answer


def problem(answer: bytes) -> tuple[int, str]:
    """Return the status of an answer and the message of the google.rpc.Status in it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    return int(head.split()[1]), str(json.loads(body)["message"])


@pytest.mark.parametrize("kind", UNFINISHED)
def test_unfinished_head_ends_the_connection(kind: str) -> None:
    """After head_s, with 408 where something was asked for."""
    with serving(answering, patience=QUICK) as address, connected(address, UNFINISHED[kind]) as connection:
        began = time.monotonic()
        answer = last_words(connection)
        took_s = time.monotonic() - began

    assert HEAD_S / 2 < took_s < AT_MOST_S
    assert not answer if kind == "nothing" else problem(answer) == (408, "header: must come within 0.4 s")


def trickle(connection: socket.socket, sent: bytes, every_s: float) -> bytes:
    """Send byte by byte until it is through or the other side has had enough; return what it says."""
    connection.settimeout(every_s)
    for number in range(len(sent)):
        try:
            connection.sendall(sent[number : number + 1])
            connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            continue
        except ConnectionError:
            return b""
        break
    connection.settimeout(AT_MOST_S)
    return heard(connection)


@pytest.mark.parametrize("first", [b"", REQUEST], ids=["first request", "second request"])
def test_trickling_head_is_no_way_around(first: bytes) -> None:
    """A byte now and then does not buy more time, nor does a good request before."""
    slow = b"GET / HTTP/1.1\r\nhost: " + b"x" * 10_000
    with serving(answering, patience=QUICK) as address, connected(address, first) as connection:
        if first:
            assert heard(connection).endswith(b"well")
        began = time.monotonic()
        answer = trickle(connection, slow, HEAD_S / 8)

    assert problem(answer)[0] == 408
    assert time.monotonic() - began < AT_MOST_S


def test_pause_after_an_answer_is_allowed() -> None:
    """A connection that has asked something is kept longer than a head may take."""
    with serving(answering, patience=QUICK) as address, connected(address, REQUEST) as connection:
        assert heard(connection).endswith(b"well")
        connection.settimeout(3 * HEAD_S)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(AT_MOST_S)
        connection.sendall(REQUEST)
        assert heard(connection).endswith(b"well")


def test_pause_after_an_answer_ends() -> None:
    """After idle_s the connection is closed, without a word."""
    patience = Patience(head_s=30.0, idle_s=HEAD_S)
    with serving(answering, patience=patience) as address, connected(address, REQUEST) as connection:
        assert last_words(connection).endswith(b"well")


def test_body_has_its_own_time() -> None:
    """A head that came is answered, however long its body takes beyond head_s."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\n"
    with serving(answering, patience=QUICK) as address, connected(address, head) as connection:
        assert trickle(connection, b"x" * 12, HEAD_S / 4).endswith(b"well")


class Nobody:
    """Takes nothing."""

    async def turn(self) -> None:
        """Let everybody go on at once."""

    def take(self, signal: Signal, payload: bytes, within_s: float | None = None) -> bytes:
        """Take a request."""
        raise AssertionError(f"{len(payload)} bytes of {signal} came")


def receiver(body_s: float = 0.4) -> Any:
    """Return the real receiver, with little patience for bodies."""
    return http_app(Nobody(), Gate(), lambda _: 0, most_bytes=1 << 20, most_ratio=100.0, body_s=body_s)


@pytest.mark.parametrize("framing", [b"content-length: 100000", b"transfer-encoding: chunked"])
def test_trickling_body_ends(framing: bytes) -> None:
    """A body that comes byte by byte is answered 408 when its time is over, and takes nothing."""
    head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" + framing + b"\r\n\r\n"
    body = b"1\r\nx\r\n" * 10_000 if b"chunked" in framing else b"x" * 50_000
    with serving(receiver()) as address, connected(address, head) as connection:
        assert problem(trickle(connection, body, 0.05)) == (408, "body: must come within 0.4 s")


def test_body_that_trickles_after_a_refusal_ends() -> None:
    """The answer is there before the body; what is left of the body must not hold the connection."""
    head = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
    with serving(receiver(), patience=QUICK) as address, connected(address, head) as connection:
        assert problem(heard(connection))[0] == 404
        began = time.monotonic()
        trickle(connection, b"x" * 50_000, HEAD_S / 8)

    assert time.monotonic() - began < AT_MOST_S


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (b"hello\r\n\r\n", 400, "Invalid HTTP request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400, "Content-Length"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "Invalid HTTP request"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 20_000, 431, "limits.header_bytes"),
    ],
    ids=["no HTTP", "no host", "bad length", "TLS", "head too long"],
)
def test_what_is_no_request_is_answered_with_a_status(sent: bytes, status: int, says: str) -> None:
    """OTLP wants a google.rpc.Status in every answer that is an error; without a content type it is JSON."""
    with serving(answering) as address, connected(address, sent) as connection:
        found, message = problem(last_words(connection))

    assert found == status
    assert says in message


def test_nonsense_after_an_answer_is_no_failure_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """A refused sender whose body turns out malformed loses its connection; nothing is logged."""
    head = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    with serving(receiver()) as address, connected(address, head) as connection:
        assert problem(heard(connection))[0] == 404
        connection.sendall(b"no chunk\r\n")
        last_words(connection)

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_too_many_connections_are_answered_then_closed_at_once() -> None:
    """Past the bound 503 in the encoding of the request; past twice the bound there is not even that."""
    app = receiver()
    head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n"
    patience = Patience(head_s=60.0, connections=2)
    with serving(app, patience=patience, busy=app.busy(2)) as address:
        host, _, port = address.rpartition(":")
        held = [socket.create_connection((host, int(port)), AT_MOST_S) for _ in range(4)]
        held[3].sendall(head)
        answer = heard(held[3])
        with connected(address) as fifth:
            assert last_words(fifth) == b""
        for each in held:
            each.close()

    assert problem(answer) == (503, "more connections are open than limits.connections allows, 2")
    assert re.search(rb"retry-after: \d+", answer)


def test_handshake_that_never_comes_ends() -> None:
    """A peer that connects to a TLS port and says nothing is left."""
    authority: Any = trustme.CA()  # its types need pyOpenSSL's
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(answering, context, QUICK) as address, connected(address) as connection:
        assert last_words(connection) == b""


@pytest.mark.slow  # ten seconds are the default
def test_both_ports_of_a_processor_have_the_deadline() -> None:
    """The receiver and the live page end connections on which nothing or half a head came, within the default time."""
    both = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"}
    with running.processor(receiver=both, live={"listen": "127.0.0.1:0"}) as processor, ExitStack() as stack:
        addresses = (processor.http_address, processor.page_url.removeprefix("http://").rstrip("/"))
        began = time.monotonic()
        halves, silent = (
            [stack.enter_context(connected(address, sent)) for address in addresses]
            for sent in (b"GET / HTTP/1.1\r\n", b"")
        )
        answers = [problem(last_words(each))[0] for each in halves]
        rest = [last_words(each) for each in silent]
        took_s = time.monotonic() - began

    assert (answers, rest) == ([408, 408], [b"", b""])
    assert Patience().head_s - 1 < took_s < 2 * Patience().head_s
