"""When tickets are sent, and what is counted, against a real server."""

import asyncio
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from random import Random

import http_servers
from spanward_processor.demo.customers import Customers
from spanward_processor.demo.incidents import flooding, usual
from spanward_processor.demo.traffic import Arrivals, Stream, Traffic

_PATIENCE_S = 20


class _Server(ThreadingHTTPServer):
    """A server that lets a burst wait; five connections, the library's bound, are refused on a busy machine."""

    request_queue_size = 128


@contextmanager
def _server(status: int) -> Generator[str]:
    """Answer every POST with a status."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with http_servers.served(Answer, kind=_Server) as port:
        yield f"http://127.0.0.1:{port}/"


async def _send(traffic: Traffic, enough: int) -> None:
    running = asyncio.create_task(traffic.run())
    async with asyncio.timeout(_PATIENCE_S):
        while traffic.answered + traffic.failed + traffic.turned_away < enough:  # noqa: ASYNC110 - a plain number, nothing to await
            await asyncio.sleep(0.01)
        traffic.stop()
        await running


def _traffic(url: str, rate_per_s: float) -> Traffic:
    rng = Random(2)
    return Traffic(url, Arrivals((Stream(rate_per_s, usual),), rng), Customers(rng))


def test_same_seed_gives_the_same_arrivals() -> None:
    """A run can be repeated."""
    streams = (Stream(40.0, usual), Stream(120.0, flooding))
    one, other = (list(islice(Arrivals(streams, Random(3)), 100)) for _ in range(2))
    assert one == other


def test_arrivals_keep_the_rate_of_each_stream() -> None:
    """Three of four arrivals are of the stream that is three times as fast, 160 a second in all."""
    arrivals = list(islice(Arrivals((Stream(40.0, usual), Stream(120.0, flooding)), Random(3)), 4000))
    counted = Counter(stream.ticket for _, stream in arrivals)
    assert abs(counted[flooding] - 3000) < 5 * (4000 * 0.75 * 0.25) ** 0.5
    assert abs(sum(gap for gap, _ in arrivals) - 25.0) < 5 * 25.0 / 4000**0.5


def test_streams_can_be_exchanged_while_tickets_arrive() -> None:
    """The next arrival is of the new traffic."""
    arrivals = Arrivals((Stream(40.0, usual),), Random(3))
    coming = iter(arrivals)
    assert next(coming)[1].ticket is usual
    arrivals.streams = (Stream(40.0, flooding),)
    assert next(coming)[1].ticket is flooding


def test_answered_requests_are_counted() -> None:
    """After the traffic has stopped every request is counted once."""
    with _server(200) as url:
        traffic = _traffic(url, 200.0)
        asyncio.run(_send(traffic, 30))
    assert (traffic.answered >= 30, traffic.failed) == (True, 0)


def test_refused_requests_are_counted_as_failed() -> None:
    """An error of the service neither stops the traffic nor passes as an answer."""
    with _server(500) as url:
        traffic = _traffic(url, 200.0)
        asyncio.run(_send(traffic, 30))
    assert (traffic.answered, traffic.failed >= 30) == (0, True)


def test_customers_turn_away_from_a_service_that_does_not_answer() -> None:
    """A service that hangs holds a bounded number of requests, so no backlog outlasts an incident."""

    async def hang() -> Traffic:
        ended = asyncio.Event()

        async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await ended.wait()
            writer.close()

        async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            traffic = _traffic(f"http://127.0.0.1:{port}/", 2000.0)
            running = asyncio.create_task(traffic.run())
            until = time.monotonic() + _PATIENCE_S
            while traffic.turned_away < 20 and time.monotonic() < until:  # noqa: ASYNC110 - a plain number, nothing to await
                await asyncio.sleep(0.01)
            traffic.stop()
            ended.set()
            await running
        return traffic

    traffic = asyncio.run(hang())
    assert (traffic.turned_away >= 20, traffic.answered, traffic.failed) == (True, 0, 64)
