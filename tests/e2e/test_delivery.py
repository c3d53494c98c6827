"""A whole processor with its journal: an OK is kept, whatever the backend does."""

import asyncio
import random
import socket
import subprocess
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import numpy as np
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import crashing
import running
from spans import encoded, eventually, span, spans_of
from spanward import semconv
from spanward_processor.configuration.config import Config
from spanward_processor.server import Processor

QUICK = {"backoff_initial_s": 0.05, "backoff_max_s": 0.2, "drain_s": 0.5}
EASILY_FOUND = {"window_s": 1, "lateness_s": 5, "learning": {"windows": 15, "rows": 100}}
SECOND_NS = 1_000_000_000


def journalled(folder: Path, *ports: int, **sections: Any) -> Any:
    """Run a processor whose journal lies in the folder."""
    return running.processor(*ports, **({"journal": {"folder": str(folder)}, "forwarding": QUICK} | sections))


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def span_id(number: int) -> bytes:
    """Return the id of a numbered span."""
    return (number + 1).to_bytes(8, "big")


def send(address: str, numbers: Iterable[int], timeout: float = 20.0) -> None:
    """Send one request of one span for each number; every one must be acknowledged in time."""
    with grpc.insecure_channel(address) as channel:
        call = cast("Any", channel).unary_unary(crashing.METHOD)
        for number in numbers:
            assert call(encoded(span({}, span_id=span_id(number))), timeout=timeout) == b""


def arrived(backend: running.Backend) -> list[int]:
    """Return the numbers of the spans that a backend has, in the order in which they came."""
    return [int.from_bytes(each.span_id, "big") - 1 for sent in list(backend.traces) for each in spans_of(sent)]


def all_arrived(backend: running.Backend, count: int) -> bool:
    """Return whether every numbered span arrived before the deadline."""
    return eventually(lambda: set(range(count)) <= set(arrived(backend)))


def test_a_backend_that_is_down_at_start_gets_everything_later_in_order(tmp_path: Path) -> None:
    """Senders get their OK at once; when the backend comes, nothing is missing."""
    port = free_port()
    one_at_a_time = QUICK | {"in_flight": 1}
    with journalled(tmp_path, port, forwarding=one_at_a_time) as processor:
        send(processor.receiver_address, range(50))
        with running.backend(port) as (backend, _):
            assert all_arrived(backend, 50)

    assert arrived(backend) == list(range(50))


def test_the_page_counts_as_forwarded_what_every_backend_took(tmp_path: Path) -> None:
    """An operator sees that a backend takes nothing, though senders hear OK."""
    port, live = free_port(), {"listen": "127.0.0.1:0"}
    with running.backend() as (_, up), journalled(tmp_path, up, port, live=live) as processor:

        def forwarded() -> tuple[int, int]:
            counts = httpx.get(f"{processor.page_url}api/snapshot").json()["counts"]
            return counts["accepted"], counts["forwarded"]

        send(processor.receiver_address, range(10))
        assert forwarded() == (10, 0)
        with running.backend(port):
            assert eventually(lambda: forwarded() == (10, 10))


def test_an_outage_in_between_loses_nothing(tmp_path: Path) -> None:
    """Up, down, up again: at least once, all of it."""
    port = free_port()
    with journalled(tmp_path, port) as processor:
        with running.backend(port) as (before, _):
            send(processor.receiver_address, range(10))
            assert all_arrived(before, 10)
        send(processor.receiver_address, range(10, 20))
        with running.backend(port) as (after, _):
            assert eventually(lambda: set(range(10, 20)) <= set(arrived(after)))


def test_a_slow_backend_does_not_slow_senders(tmp_path: Path) -> None:
    """While it answers nobody, a sender is answered all the same; then everything arrives."""
    with running.backend() as (backend, port), journalled(tmp_path, port) as processor:
        backend.answering.clear()
        send(processor.receiver_address, range(50), timeout=5.0)
        backend.answering.set()

        assert all_arrived(backend, 50)


def test_a_flapping_backend_gets_everything(tmp_path: Path) -> None:
    """Refused again and again, every request is sent again."""
    with running.backend() as (backend, port), journalled(tmp_path, port) as processor:
        for start in range(0, 40, 10):
            backend.refusal = (grpc.StatusCode.UNAVAILABLE, "flapping")
            refused = backend.refused
            send(processor.receiver_address, range(start, start + 10))
            assert eventually(lambda refused=refused: backend.refused > refused)  # type: ignore[misc]
            backend.refusal = None

        assert all_arrived(backend, 40)


def test_a_backend_that_accepts_and_hangs_is_given_up_on_and_asked_again(tmp_path: Path) -> None:
    """After timeout_s the same request is sent again, and arrives."""
    with running.backend() as (backend, port):
        slow = [{"name": "b", "endpoint": f"http://127.0.0.1:{port}", "timeout_s": 0.3}]
        with journalled(tmp_path, backends=slow) as processor:
            backend.answering.clear()
            send(processor.receiver_address, range(3))
            assert eventually(lambda: backend.asked >= 3)  # more attempts than the one joined request
            backend.answering.set()

            assert all_arrived(backend, 3)
            assert eventually(lambda: processor.delivery.backends[0].sent.spans >= 3)


def test_an_oversized_reply_of_a_hostile_backend_does_no_harm(tmp_path: Path) -> None:
    """Megabytes of reply are not read; nothing acknowledged is lost, and a well-behaved answer ends it."""
    with running.backend() as (backend, port), journalled(tmp_path, port) as processor:
        backend.reply.partial_success.error_message = "x" * (8 << 20)
        send(processor.receiver_address, range(5))
        assert eventually(lambda: len(backend.traces) > 0)
        backend.reply.Clear()

        assert all_arrived(backend, 5)
        assert eventually(lambda: processor.delivery.backends[0].sent.spans >= 5)


class Choosy(running.Backend):
    """Refuses for good every request that holds one span."""

    bad = span_id(7)

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the stubs' name
        """Look, then take."""
        if isinstance(request, ExportTraceServiceRequest) and self.bad in {each.span_id for each in spans_of(request)}:
            self.refused += 1
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this span is bad")
        return super().Export(request, context)


def test_one_request_refused_for_good_takes_no_other_with_it(tmp_path: Path) -> None:
    """Although requests are joined on the way, only the bad one is given up, and counted."""
    with running.backend(kept=Choosy()) as (backend, port), journalled(tmp_path, port) as processor:
        backend.answering.clear()
        send(processor.receiver_address, range(20))
        backend.answering.set()

        assert eventually(lambda: set(range(20)) - set(arrived(backend)) == {7})
        assert eventually(lambda: processor.delivery.backends[0].sent.failed_spans == 1)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED])
def test_wrong_credentials_or_address_for_a_backend_lose_nothing(code: grpc.StatusCode, tmp_path: Path) -> None:
    """Until the operator has mended them the spans wait in the journal."""
    with running.backend() as (backend, port), journalled(tmp_path, port) as processor:
        backend.refusal = (code, "not like this")
        send(processor.receiver_address, range(5))
        assert eventually(lambda: backend.refused >= 3)
        backend.refusal = None

        assert all_arrived(backend, 5)


def test_a_backend_for_traces_only_gets_its_traces(tmp_path: Path) -> None:
    """It knows neither our metrics nor findings; spans do not wait behind them."""
    backend = crashing.MoodyBackend(random.Random(1))
    try:
        with journalled(tmp_path, backend.port, telemetry={"interval_s": 0.05}) as processor:
            for number in range(30):
                send(processor.receiver_address, [number])
            assert eventually(lambda: {span_id(number) for number in range(30)} <= set(backend.arrived.copy()))
    finally:
        backend.close()


def test_of_two_backends_one_down_the_other_gets_everything_at_once(tmp_path: Path) -> None:
    """Each has its own pace; the one that was down gets the same later."""
    down = free_port()
    with running.backend() as (up, port), journalled(tmp_path, port, down) as processor:
        send(processor.receiver_address, range(20))
        assert all_arrived(up, 20)
        with running.backend(down) as (late, _):
            assert all_arrived(late, 20)


def test_a_full_journal_asks_senders_to_come_back_and_recovers(tmp_path: Path) -> None:
    """UNAVAILABLE with RetryInfo, nothing acknowledged lost, and room again once the backend took some."""
    port = free_port()
    small = {"folder": str(tmp_path), "most_bytes": 1 << 16}
    with journalled(tmp_path, port, journal=small) as processor:
        acknowledged, error = _until_refused(processor.receiver_address)
        assert processor.counts.refused == 1
        _assert_asked_to_come_back(error)
        with running.backend(port) as (backend, _):
            assert all_arrived(backend, acknowledged)
            assert eventually(lambda: _is_taken(processor.receiver_address, acknowledged))
            assert all_arrived(backend, acknowledged + 1)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_asks_senders_to_come_back_and_recovers(tiny_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same where the disk is full before the journal is, and what was learned finds no room there either."""
    port = free_port()
    kept = {"journal": {"folder": str(tiny_disk / "journal")}, "state": {"interval_s": 0.2}}
    with journalled(tiny_disk, port, **kept) as processor:
        acknowledged, error = _until_refused(processor.receiver_address)
        _assert_asked_to_come_back(error)
        assert "No space left" in str(error.details())
        assert eventually(lambda: "No space left" in caplog.text)
        with running.backend(port) as (backend, _):
            assert all_arrived(backend, acknowledged)
            assert eventually(lambda: _is_taken(processor.receiver_address, acknowledged))
            assert all_arrived(backend, acknowledged + 1)

    assert acknowledged  # how many, is a race with the state, which takes half of this disk where it comes first


def _is_taken(address: str, number: int) -> bool:
    try:
        send(address, [number])
    except grpc.RpcError:
        return False
    return True


def _until_refused(address: str) -> tuple[int, Any]:
    """Send requests of ten kilobytes until one is refused; return how many were not, and the error."""
    with grpc.insecure_channel(address) as channel:
        call = cast("Any", channel).unary_unary(crashing.METHOD)
        for number in range(100):
            try:
                call(encoded(span({"payload": "x" * 10_000}, span_id=span_id(number))), timeout=20)
            except grpc.RpcError as error:
                return number, error
    raise AssertionError("a journal of 64 KiB took a megabyte")


def _assert_asked_to_come_back(error: Any) -> None:
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "journal" in error.details()
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.retry_delay.seconds > 0


def test_a_stop_leaves_the_rest_for_the_next_start(tmp_path: Path) -> None:
    """With the backend down SIGTERM ends within drain_s; the next start delivers what was left, findings' logs and all."""
    port = free_port()
    with crashing.processor(tmp_path, port, "forwarding: {drain_s: 1}") as (process, address):
        send(address, range(20))
        process.terminate()
        assert process.wait(25) == 0
    with running.backend(port) as (backend, _), crashing.processor(tmp_path, port):
        assert all_arrived(backend, 20)


def test_a_sender_that_vanishes_during_a_stop_does_not_stop_the_drain(tmp_path: Path) -> None:
    """It has closed before the event loop hears of it; the rest is drained all the same."""
    config = Config.model_validate(
        {
            "receiver": {"listen": "127.0.0.1:0", "http_listen": None},
            "live": None,
            "journal": {"folder": str(tmp_path)},
            "backends": [{"name": "b", "endpoint": f"http://127.0.0.1:{free_port()}"}],
            "forwarding": QUICK,
        }
    )

    async def run() -> tuple[str, int]:
        async with Processor(config) as processor:
            host, _, port = processor.receiver_address.rpartition(":")
            sender = socket.create_connection((host, int(port)))
            served = cast("Any", processor)._receivers._server._open
            while not served:  # noqa: ASYNC110 - the server has no event to wait for
                await asyncio.sleep(0.01)
            sender.recv(1000)  # with something unread, closing would already reset
            sender.close()  # what we say to it now is answered with a reset, between two calls of ours
            next(iter(served)).leave()
        assert not served
        return host, int(port)

    address = asyncio.run(run())  # an error of any step of the drain would be raised here
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_a_stop_delivers_what_the_backend_takes_in_time(tmp_path: Path) -> None:
    """SIGTERM with a backend that becomes well: everything is delivered before the process ends."""
    with running.backend() as (backend, port), crashing.processor(tmp_path, port) as (process, address):
        backend.refusal = (grpc.StatusCode.UNAVAILABLE, "not yet")
        send(address, range(20))
        process.terminate()
        assert eventually(lambda: "stopping" in (tmp_path / "log").read_text(encoding="utf-8"))
        backend.refusal = None
        assert process.wait(40) == 0

        assert set(range(20)) <= set(arrived(backend))


def test_findings_and_metrics_wait_in_the_journal_too(tmp_path: Path) -> None:
    """What the processor itself says while the backend is down arrives with the rest."""
    port = free_port()
    with journalled(tmp_path, port, detection=EASILY_FOUND, telemetry={"interval_s": 0.1}) as processor:
        rng = np.random.default_rng(5)
        begin = int(time.time()) - 900
        for second in range(120):
            running.export(processor.receiver_address, a_second(begin + second, rng, slowly=second > 60))
        assert eventually(lambda: processor.pipeline.panorama.watermark_ns > (begin + 110) * SECOND_NS)
        with running.backend(port) as (backend, _):
            assert eventually(lambda: semconv.FINDING_EVENT in _events(backend.logs))
            assert eventually(lambda: len(backend.metrics) > 0)


def a_second(at: int, rng: np.random.Generator, *, slowly: bool) -> bytes:
    """Return a second's spans of one model, ten times as long where they are slow."""
    ends = at * SECOND_NS + rng.integers(SECOND_NS, size=60)
    took = 0.02 * SECOND_NS * rng.lognormal(0, 0.2, 60) * (10 if slowly else 1)
    return encoded(
        *(
            span({}, start_time_unix_nano=int(end - lasted), end_time_unix_nano=int(end))
            for end, lasted in zip(ends, took, strict=True)
        )
    )


def _events(logs: Sequence[Any]) -> Generator[str]:
    for sent in list(logs):
        for resource in sent.resource_logs:
            for scope in resource.scope_logs:
                yield from (record.event_name for record in scope.log_records)


def ended(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a process; return its exit code."""
    process.communicate(timeout=60)
    return process.returncode


def test_a_journal_in_use_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    """Two processors never share a folder; the second says why it does not start, without a traceback."""
    with crashing.processor(tmp_path, 1):
        second = crashing.start(tmp_path, 1, log=tmp_path / "second")
        assert ended(second) == 1

    said = (tmp_path / "second").read_text(encoding="utf-8").splitlines()
    assert said == [
        f"journal.folder: must be used by one process only, got {tmp_path / 'journal'}, which another uses",
    ]


def test_a_journal_that_cannot_be_made_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    """A file where the folder should be: the sentence names the key and the path."""
    (tmp_path / "journal").write_text("", encoding="utf-8")
    process = crashing.start(tmp_path, 1)
    assert ended(process) == 1

    *before, sentence = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert [line for line in before if "kernels compiled" not in line] == []  # which a first start says
    assert sentence.startswith(f"journal.folder: must be a folder we can write, got {tmp_path / 'journal'} (")
