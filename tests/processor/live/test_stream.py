"""The event stream, over real HTTP."""

import json
import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from spanward_processor.live.testing import ScriptedSource, served
from spanward_processor.live.view import Snapshot

_PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    id: str
    data: dict[str, Any]


@contextmanager
def _stream(url: str, last: str | None = None) -> Generator[httpx.Response]:
    """Open an event stream."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with httpx.stream("GET", f"{url}/events", headers=headers, timeout=_PATIENCE_S) as response:
        yield response


def _events(response: httpx.Response) -> Iterator[_Event]:
    """Read server-sent events as the HTML standard says; comments and retry times are passed over.

    A line ends with a line feed only: `iter_lines` would also end it at U+2028, which a name may contain.
    A snapshot comes each second, so no read ever times out; the deadline ends a wait for an event that never comes.
    """
    until = time.monotonic() + _PATIENCE_S
    fields: dict[str, str] = {}
    for line in _lines(response):
        assert time.monotonic() < until, f"the event awaited has not come within {_PATIENCE_S} s"
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield _Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            fields = {}


def _lines(response: httpx.Response) -> Iterator[str]:
    rest = ""
    for text in response.iter_text():
        *lines, rest = (rest + text).split("\n")
        yield from lines


def _named(events: Iterator[_Event], name: str) -> _Event:
    return next(event for event in events if event.name == name)


def test_stream_opens_with_the_state_as_it_is(scenes: dict[str, Snapshot]) -> None:
    """A new client is sent histories and a snapshot at once, and no transition of the past."""
    source = ScriptedSource(scenes["trouble"])
    source.tell(scenes["trouble"].findings[0])
    with served(source) as url, _stream(url) as response:
        events = _events(response)
        names = [next(events).name for _ in range(3)]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert names == ["hello", "histories", "snapshot"]


def test_snapshots_come_each_second_and_histories_only_with_a_new_window(scenes: dict[str, Snapshot]) -> None:
    """What is large is sent once; a snapshot comes each second even when nothing has changed."""
    with served(ScriptedSource(scenes["quiet"])) as url, _stream(url) as response:
        events = _events(response)
        _named(events, "snapshot")
        began = time.monotonic()
        assert [next(events).name for _ in range(2)] == ["snapshot", "snapshot"]
    assert time.monotonic() - began > 1.5


def test_histories_are_of_whole_series(scenes: dict[str, Snapshot]) -> None:
    """Slices, of which there may be many, have no charts."""
    with served(ScriptedSource(scenes["trouble"])) as url, _stream(url) as response:
        told = _named(_events(response), "histories").data
    assert set(told) == {str(view.key) for view in scenes["trouble"].series if view.series.slice is None}


def test_transition_arrives_with_its_number(scenes: dict[str, Snapshot]) -> None:
    """A finding that opens while a client listens reaches it."""
    source = ScriptedSource()
    finding = scenes["trouble"].findings[0]
    with served(source) as url, httpx.stream("GET", f"{url}/events", timeout=_PATIENCE_S) as response:
        events = _events(response)
        _named(events, "snapshot")
        source.tell(finding)
        told = _named(events, "finding")
    assert (told.id, told.data["id"], told.data["state"]) == ("1", finding.id, "updated")


def test_client_that_comes_back_is_sent_what_it_missed(scenes: dict[str, Snapshot]) -> None:
    """With Last-Event-ID 1, transitions 2 and 3 come, in order and once."""
    source = ScriptedSource()
    for finding in scenes["trouble"].findings[:3]:
        source.tell(finding)
    with served(source) as url, _stream(url, "1") as response:
        events = _events(response)
        told = [next(events) for _ in range(4)]
    assert [(event.name, event.id) for event in told] == [
        ("hello", "1"),
        ("finding", "2"),
        ("finding", "3"),
        ("histories", ""),
    ]


def test_number_of_an_earlier_process_starts_from_the_first(scenes: dict[str, Snapshot]) -> None:
    """After a restart numbers begin again; a client that names a higher one has seen none of these."""
    source = ScriptedSource()
    source.tell(scenes["trouble"].findings[0])
    with served(source) as url, _stream(url, "500") as response:
        assert _named(_events(response), "finding").id == "1"


@pytest.mark.parametrize("last", ["", "-1", "1e3", "x", "9" * 5000])
def test_number_that_is_none_is_passed_over(last: str) -> None:
    """A client that sends nonsense is treated as a new one."""
    with served(ScriptedSource()) as url, _stream(url, last) as response:
        assert next(_events(response)) == _Event("hello", "0", {"sequence": 0})


def test_streams_are_bounded_and_a_place_is_free_again_when_a_client_leaves() -> None:
    """The stream beyond the limit is refused with 503; after a client has gone the next is served."""
    with served(ScriptedSource(), most_streams=1) as url:
        with _stream(url) as response:
            events = _events(response)  # kept: dropping it would close the connection
            next(events)
            with _stream(url) as second:
                assert second.status_code == 503
        until = time.monotonic() + _PATIENCE_S
        status = 503
        while status == 503 and time.monotonic() < until:
            with _stream(url) as response:
                status = response.status_code
    assert status == 200


def test_streams_end_when_the_server_stops(caplog: pytest.LogCaptureFixture) -> None:
    """A stopping server need not cut a stream off: the response is complete and nothing is logged as an error."""
    with httpx.Client(timeout=_PATIENCE_S) as client:
        with served(ScriptedSource()) as url:
            response = client.send(client.build_request("GET", f"{url}/events"), stream=True)
            events = _events(response)
            next(events)
        assert {event.name for event in events} <= {"hello", "histories", "snapshot"}
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_text_of_any_kind_stays_one_event(scenes: dict[str, Snapshot]) -> None:
    """Line ends in a name cannot forge an event, and half a surrogate pair cannot stop the stream."""
    scene = scenes["trouble"]
    hostile = "a\n\nevent: finding\ndata: {}\r\u2028\ud800"
    view = replace(scene.series[0], series=replace(scene.series[0].series, model=hostile))
    with served(ScriptedSource(replace(scene, series=(view,)))) as url, _stream(url) as response:
        told = _named(_events(response), "snapshot").data
    assert told["series"][0]["series"]["model"] == hostile.replace("\ud800", "?")
