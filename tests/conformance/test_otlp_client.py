"""What OTLP asks of clients, which our exporters are: a real processor with its journal in front of real backends.

`forwarding.permanent_codes` is `give_up` here, as the specification has it; docs/conformance.md says why the default differs.
"""

import gzip
import logging
import random
import threading
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import running
from everysignal import SIGNALS, sent_of
from scripted import GrpcBackend, HttpBackend, Reply, http_backend
from spans import encoded, eventually, span, spans_of
from spanward_processor.configuration.settings import Forwarding
from spanward_processor.server import Processor

RETRYABLE = ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
PERMANENT = (
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "FAILED_PRECONDITION",
    "UNIMPLEMENTED",
    "INTERNAL",
)
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
QUICK: dict[str, Any] = {"backoff_initial_s": 0.02, "backoff_max_s": 0.05, "drain_s": 0.5, "permanent_codes": "give_up"}
GROWING: dict[str, Any] = QUICK | {"backoff_initial_s": 0.05, "backoff_max_s": 0.8}
FIRST_BOUND_S: float = 2 * GROWING["backoff_initial_s"]
ATTEMPTS = 10  # four of the pauses between them may be as long as the bound; all short has a chance of one in 4,096


def forwarding_to(
    folder: Path, port: int, protocol: str = "grpc", compression: str = "none", **options: Any
) -> AbstractContextManager[Processor]:
    """Run a processor with one backend and a journal; options are those of forwarding, in place of quick ones."""
    backend = {
        "name": "b",
        "endpoint": f"http://127.0.0.1:{port}",
        "protocol": protocol,
        "compression": compression,
    }
    return running.processor(backends=[backend], journal={"folder": str(folder)}, forwarding=QUICK | options)


def numbered(number: int, **attributes: Any) -> Span:
    """Return a span that can be told from others."""
    return span(attributes, span_id=(number + 1).to_bytes(8, "big"))


def numbers_in(requests: Any) -> list[int]:
    """Return the numbers of the spans in what a backend got, in order."""
    parsed = [each if isinstance(each, ExportTraceServiceRequest) else _parsed(each) for each in list(requests)]
    return [int.from_bytes(each.span_id, "big") - 1 for sent in parsed for each in spans_of(sent)]


def _parsed(posted: Any) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(posted.body)


def send(processor: Processor, number: int, **attributes: Any) -> None:
    """Have one span acknowledged."""
    assert running.export(processor.receiver_address, encoded(numbered(number, **attributes))) == b""


def given_up(processor: Processor) -> int:
    """Return how many spans were dropped on the way to the backend."""
    return processor.delivery.backends[0].sent.failed_spans


def gaps(times: list[float]) -> list[float]:
    """Return the pauses between attempts, seconds."""
    return [later - sooner for sooner, later in pairwise(times)]


def free_port() -> int:
    """Return a port on which nothing listens."""
    with http_backend(HttpBackend()) as port:
        return port


# --- both transports


def test_destinations_do_not_block_each_other(tmp_path: Path) -> None:
    """One is down, one refuses, one is well: the well one has everything at once, the others get it later."""
    down = free_port()
    with running.backend(kept=GrpcBackend()) as (well, port), running.backend(kept=GrpcBackend()) as (busy, other):
        busy.refusal = (UNAVAILABLE, "busy")
        with running.processor(port, down, other, journal={"folder": str(tmp_path)}, forwarding=QUICK) as processor:
            for number in range(5):
                send(processor, number)
            assert eventually(lambda: sorted(numbers_in(well.traces)) == list(range(5)))
            busy.refusal = None
            assert eventually(lambda: sorted(numbers_in(busy.traces)) == list(range(5)))


@pytest.mark.parametrize(("drain_s", "arrives"), [(20.0, True), (0.0, False)])
def test_client_waits_on_shutdown_as_configured(drain_s: float, arrives: bool, tmp_path: Path) -> None:
    """With time to drain, what is under way at the stop arrives; with none, the stop does not wait for it."""
    with running.backend() as (backend, port):
        backend.answering.clear()
        with forwarding_to(tmp_path, port, drain_s=drain_s) as processor:
            send(processor, 1)
            assert eventually(lambda: backend.asked > 0)
            sent = processor.delivery.backends[0].sent
            answer = threading.Timer(1.0, backend.answering.set) if arrives else threading.Timer(0, lambda: None)
            answer.start()
        answer.join()

        assert (sent.spans == 1) == arrives
        assert backend.answering.is_set() == arrives


def test_client_records_what_was_not_delivered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line says to whom, how much, and what the backend said."""
    with (
        caplog.at_level(logging.ERROR, "spanward_processor"),
        running.backend(kept=GrpcBackend([(grpc.StatusCode.INVALID_ARGUMENT, None)])) as (_, port),
        forwarding_to(tmp_path, port) as processor,
    ):
        send(processor, 1)
        assert eventually(lambda: given_up(processor) == 1)

    (line,) = [record.getMessage() for record in caplog.records if "given up" in record.getMessage()]
    assert "backend=b signal=trace requests=1 spans=1" in line
    assert "INVALID_ARGUMENT by the script" in line


# --- gRPC


def test_grpc_client_does_not_retry_too_large(tmp_path: Path) -> None:
    """A backend of ordinary gRPC takes 4 MiB: what is larger is given up once, what comes after it arrives."""
    with running.backend() as (backend, port), forwarding_to(tmp_path, port) as processor:
        large = {f"k{part}": "x" * 900_000 for part in range(5)}
        send(processor, 1, **large)
        assert eventually(lambda: given_up(processor) == 1)
        send(processor, 2)
        assert eventually(lambda: numbers_in(backend.traces) == [2])

        assert given_up(processor) == 1


def test_grpc_client_limits_request_size(tmp_path: Path) -> None:
    """What waits is joined up to the configured size and not beyond."""
    port = free_port()
    with forwarding_to(tmp_path, port, joined_bytes=20_000) as processor:
        for number in range(40):
            send(processor, number, text="x" * 1_000)
        with running.backend(port) as (backend, _):
            assert eventually(lambda: set(numbers_in(backend.traces)) == set(range(40)))

    sizes = [each.ByteSize() for each in backend.traces]
    assert len(sizes) < 10
    assert max(sizes) <= 20_000


@pytest.mark.parametrize("in_flight", [1, 3])
def test_grpc_client_pipelines_requests(in_flight: int, tmp_path: Path) -> None:
    """As many as configured are under way before the first is answered, and never more."""
    kept = GrpcBackend()
    with (
        running.backend(kept=kept) as (backend, port),
        forwarding_to(tmp_path, port, in_flight=in_flight, joined_bytes=1) as processor,
    ):
        backend.answering.clear()
        for number in range(6):
            send(processor, number)
        assert eventually(lambda: backend.asked == in_flight)
        backend.answering.set()
        assert eventually(lambda: len(backend.traces) == 6)

    assert kept.most_at_once == in_flight


def partial() -> ExportTraceServiceResponse:
    """Return a response that rejects one span."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans, response.partial_success.error_message = 1, "too old"
    return response


def test_grpc_client_does_not_retry_partial_success(tmp_path: Path) -> None:
    """It is counted as rejected, and the next request is another one."""
    with running.backend(kept=GrpcBackend()) as (backend, port), forwarding_to(tmp_path, port) as processor:
        backend.reply.CopyFrom(partial())
        send(processor, 1)
        assert eventually(lambda: processor.delivery.backends[0].sent.rejected == 1)
        send(processor, 2)
        assert eventually(lambda: processor.delivery.backends[0].sent.rejected == 2)

    assert numbers_in(backend.traces) == [1, 2]


@pytest.mark.parametrize("code", RETRYABLE)
def test_grpc_client_retries_retryable_codes(code: str, tmp_path: Path) -> None:
    """The same request comes again until it is taken; nothing is given up."""
    kept = GrpcBackend([(grpc.StatusCode[code], None)] * 2)
    with running.backend(kept=kept) as (backend, port), forwarding_to(tmp_path, port) as processor:
        send(processor, 1)
        assert eventually(lambda: numbers_in(backend.traces) == [1])

        assert (len(kept.times), given_up(processor)) == (3, 0)


@pytest.mark.parametrize("code", PERMANENT)
def test_grpc_client_drops_on_permanent_codes(code: str, tmp_path: Path) -> None:
    """One attempt, and then the next request."""
    kept = GrpcBackend([(grpc.StatusCode[code], None)])
    with running.backend(kept=kept) as (backend, port), forwarding_to(tmp_path, port) as processor:
        send(processor, 1)
        assert eventually(lambda: given_up(processor) == 1)
        send(processor, 2)
        assert eventually(lambda: numbers_in(backend.traces) == [2])

    assert len(kept.times) == 2


def test_grpc_client_counts_what_it_drops(tmp_path: Path) -> None:
    """In the metric that Collectors have for it, by exporter."""
    kept = GrpcBackend([(grpc.StatusCode.INVALID_ARGUMENT, None)])
    backends = {"name": "b", "protocol": "grpc"}
    with running.backend(kept=kept) as (backend, port):
        backends |= {"endpoint": f"http://127.0.0.1:{port}"}
        told = {"backends": [backends], "journal": {"folder": str(tmp_path)}, "forwarding": QUICK}
        with running.processor(**told, telemetry={"interval_s": 0.1}) as processor:
            running.export(processor.receiver_address, encoded(numbered(1), numbered(2)))
            assert eventually(lambda: ("b", 2) in failed_spans(backend))


def failed_spans(backend: running.Backend) -> list[tuple[str, int]]:
    """Return exporter and value of every point of the counter."""
    return [
        (point.attributes[0].value.string_value, point.as_int)
        for sent in list(backend.metrics)
        for metric in sent.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "otelcol_exporter_send_failed_spans"
        for point in metric.sum.data_points
    ]


def assert_growing(times: list[float]) -> None:
    """Pauses become longer than the first may be."""
    print("pauses", [round(gap, 3) for gap in gaps(times)])
    assert max(gaps(times)[-4:]) > FIRST_BOUND_S


def test_grpc_client_backs_off_exponentially(tmp_path: Path) -> None:
    """The bound of the random pause doubles from failure to failure, up to a cap."""
    kept = GrpcBackend([(UNAVAILABLE, None)] * ATTEMPTS)
    with running.backend(kept=kept) as (backend, port), forwarding_to(tmp_path, port, **GROWING) as processor:
        send(processor, 1)
        assert eventually(lambda: len(backend.traces) == 1)

    assert_growing(kept.times)


@pytest.mark.parametrize("delay_s", [None, 0.3])
def test_grpc_client_retries_resource_exhausted_only_with_retry_info(delay_s: float | None, tmp_path: Path) -> None:
    """With a delay it passes; without, it is given up."""
    kept = GrpcBackend([(EXHAUSTED, delay_s)])
    with running.backend(kept=kept) as (backend, port), forwarding_to(tmp_path, port) as processor:
        send(processor, 1)
        assert eventually(lambda: len(backend.traces) + given_up(processor) == 1)

        assert (len(kept.times), given_up(processor)) == ((1, 1) if delay_s is None else (2, 0))


def test_grpc_client_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    """Its own pauses would be far shorter."""
    kept = GrpcBackend([(UNAVAILABLE, 1.2)])
    with running.backend(kept=kept) as (backend, port), forwarding_to(tmp_path, port) as processor:
        send(processor, 1)
        assert eventually(lambda: len(backend.traces) == 1)

    assert gaps(kept.times)[0] >= 1.2


# --- HTTP


@pytest.mark.parametrize("signal", SIGNALS)
def test_http_client_uses_the_default_paths(signal: str, tmp_path: Path) -> None:
    """Each signal has its own, and binary's Content-Type."""
    path = "/v1/traces" if signal == "trace" else f"/v1/{signal}"
    backend = HttpBackend()
    with http_backend(backend) as port, forwarding_to(tmp_path, port, "http") as processor:
        running.export(processor.receiver_address, sent_of(signal), signal)
        assert eventually(lambda: len(backend.posted) > 0)
    posted = backend.posted[0]

    assert posted.path == path
    assert posted.headers["content-type"] == "application/x-protobuf"


def test_http_client_labels_gzip(tmp_path: Path) -> None:
    """Packed bodies are labelled."""
    backend = HttpBackend()
    with http_backend(backend) as port, forwarding_to(tmp_path, port, "http", "gzip") as processor:
        send(processor, 1)
        assert eventually(lambda: len(backend.traces) == 1)
    (posted,) = backend.traces

    assert posted.headers["content-encoding"] == "gzip"
    assert numbers_in([ExportTraceServiceRequest.FromString(gzip.decompress(posted.body))]) == [1]


def assert_dropped_after_one(status: int, folder: Path) -> None:
    """A refused request is not sent again; the next one is."""
    backend = HttpBackend([Reply(status)])
    with http_backend(backend) as port, forwarding_to(folder, port, "http") as processor:
        send(processor, 1)
        assert eventually(lambda: given_up(processor) == 1)
        send(processor, 2)
        assert eventually(lambda: len(backend.traces) == 2)

    assert numbers_in(backend.traces) == [1, 2]


def test_http_client_does_not_retry_413(tmp_path: Path) -> None:
    """One attempt."""
    assert_dropped_after_one(413, tmp_path)


def test_http_client_does_not_retry_400(tmp_path: Path) -> None:
    """One attempt."""
    assert_dropped_after_one(400, tmp_path)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 408, 409, 415, 422, 425, 431, 500, 501, 505, 511])
def test_http_client_retries_no_other_code(status: int, tmp_path: Path) -> None:
    """One attempt."""
    assert_dropped_after_one(status, tmp_path)


def assert_retried(reply: Reply, folder: Path) -> HttpBackend:
    """A request is sent again until it is taken; return the backend that took it."""
    backend = HttpBackend([reply] * 2)
    with http_backend(backend) as port, forwarding_to(folder, port, "http") as processor:
        send(processor, 1)
        assert eventually(lambda: processor.delivery.backends[0].sent.spans == 1)

        assert given_up(processor) == 0
    assert numbers_in(backend.traces) == [1, 1, 1]
    return backend


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_http_client_retries_429_502_503_504(status: int, tmp_path: Path) -> None:
    """The same request until it is taken."""
    assert_retried(Reply(status), tmp_path)


def test_http_client_does_not_retry_partial_success(tmp_path: Path) -> None:
    """It is counted as rejected, and the next request is another one."""
    backend = HttpBackend(always=Reply(body=partial().SerializeToString()))
    with http_backend(backend) as port, forwarding_to(tmp_path, port, "http") as processor:
        send(processor, 1)
        assert eventually(lambda: processor.delivery.backends[0].sent.rejected == 1)
        send(processor, 2)
        assert eventually(lambda: processor.delivery.backends[0].sent.rejected == 2)

    assert numbers_in(backend.traces) == [1, 2]


@pytest.mark.parametrize("status", [429, 503])
def test_http_client_honours_retry_after(status: int, tmp_path: Path) -> None:
    """Its own pauses would be far shorter."""
    backend = assert_retried(Reply(status, {"retry-after": "1"}), tmp_path)

    assert min(gaps([each.time_s for each in backend.traces])) >= 1.0


def test_http_client_backs_off_without_retry_after(tmp_path: Path) -> None:
    """As over gRPC."""
    backend = HttpBackend([Reply(503)] * ATTEMPTS)
    with http_backend(backend) as port, forwarding_to(tmp_path, port, "http", **GROWING) as processor:
        send(processor, 1)
        assert eventually(lambda: processor.delivery.backends[0].sent.spans == 1)

    assert_growing([each.time_s for each in backend.traces])


def test_http_client_retries_after_a_lost_answer(tmp_path: Path) -> None:
    """The backend reads the request and closes: nobody knows whether it was taken, so it comes again."""
    assert_retried(Reply(0), tmp_path)


def said_nothing_listens(caplog: pytest.LogCaptureFixture) -> bool:
    """Return whether an attempt to connect has failed."""
    return any("backend takes nothing" in record.getMessage() for record in list(caplog.records))


def test_http_client_retries_connecting_with_jitter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens at first; it arrives once somebody does. Pauses are drawn anew each time, below growing bounds."""
    port = free_port()
    backend = HttpBackend()
    with forwarding_to(tmp_path, port, "http") as processor:
        send(processor, 1)
        assert eventually(lambda: said_nothing_listens(caplog))
        with http_backend(backend, port):
            assert eventually(lambda: len(backend.traces) == 1)
    seed = 7
    print("seed", seed)
    rng, forwarding = random.Random(seed), Forwarding(backoff_initial_s=0.1, backoff_max_s=3.2)
    pauses = [[forwarding.delay_s(attempt, None, rng) for _ in range(200)] for attempt in range(8)]

    assert all(len(set(drawn)) == 200 for drawn in pauses)
    bounds = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 3.2, 3.2]
    assert all(0.9 * bound < max(drawn) <= bound for drawn, bound in zip(pauses, bounds, strict=True))


def test_http_client_keeps_its_connection(tmp_path: Path) -> None:
    """Request after request on one."""
    backend = HttpBackend()
    with http_backend(backend) as port, forwarding_to(tmp_path, port, "http") as processor:
        for number in range(4):
            send(processor, number)
            assert eventually(lambda number=number: len(backend.traces) == number + 1)  # type: ignore[misc]

    assert len({each.client for each in backend.traces}) == 1


@pytest.mark.parametrize("in_flight", [1, 3])
def test_http_client_connections_are_configurable(in_flight: int, tmp_path: Path) -> None:
    """As many as configured, and never more."""
    backend = HttpBackend()
    with (
        http_backend(backend) as port,
        forwarding_to(tmp_path, port, "http", in_flight=in_flight, joined_bytes=1) as processor,
    ):
        backend.answering.clear()
        for number in range(6):
            send(processor, number)
        assert eventually(lambda: len(backend.traces) == in_flight)
        backend.answering.set()
        assert eventually(lambda: len(backend.traces) == 6)

    assert len({each.client for each in backend.traces}) == in_flight
