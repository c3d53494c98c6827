"""What leaves a process: the very bytes that OpenTelemetry's exporters send, and how content would look in them.

The kit's canary check puts content wherever content can be and looks for it here. A user's own test may do the same.
"""

import base64
import hashlib
import logging
import struct
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, cast

import grpc
import xxhash
from opentelemetry import metrics
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from spanward.canonical import canonical
from spanward.testing import capture_spans

CANARY: Final = "c4n4ry"
"""A text that stands in content and nowhere else."""
NUMBER: Final = 8191.8125
"""A number that does, and is the same in single and double precision."""

_SPANWARD: Final = "spanward"


def forms_of(text: str = CANARY, number: float = NUMBER, whole: Iterable[bytes] = ()) -> dict[str, bytes]:
    """Return, by name, what content looks like in any clothes, and what hashes of it without a key would look like.

    Args:
        text: A part of each text that is content.
        number: A number that is content.
        whole: Contents as they are hashed, each of them whole.
    """
    written = text.encode()
    forms = {"text": written, "hex": written.hex().encode(), "utf-16": text.encode("utf-16-le")}
    for before in range(3):  # where base64 may begin
        encoded = base64.b64encode(b"x" * before + written + b"xxx")
        forms[f"base64 after {before}"] = encoded[before + (before > 0) : (before + len(written)) * 8 // 6]
    forms["number"] = str(number).encode()
    forms |= {f"number as {kind}": struct.pack(kind, number) for kind in ("<f", ">f", "<d", ">d")}
    for content in whole:
        forms |= _digests(content, str(content))
        forms |= _digests(canonical(content.decode()), f"canonical {content!r}")
    return forms


def _digests(content: bytes, name: str) -> dict[str, bytes]:
    made = {kind: hashlib.new(kind, content).digest()[:8] for kind in ("md5", "sha1", "sha256", "blake2b", "blake2s")}
    made["xxh3"] = xxhash.xxh3_64_digest(content)
    forms = {f"{kind} of {name}": digest for kind, digest in made.items()}
    return forms | {f"{kind}, hex": digest.hex().encode() for kind, digest in forms.items()}


def leaks(sent: bytes, forms: dict[str, bytes]) -> list[str]:
    """Return the names of all forms that are in what was sent, in whatever letters."""
    lower = sent.lower()
    return [name for name, form in forms.items() if form in sent or form.lower() in lower]


class Received(NamedTuple):
    """One request that an exporter sent.

    Args:
        method: Full name of what was called, which tells the signal.
        body: As it came.
        headers: As text.
    """

    method: str
    body: bytes
    headers: str


class _Receiver(grpc.GenericRpcHandler):
    """Takes anything and keeps it."""

    def __init__(self) -> None:
        self.received: list[Received] = []

    def service(self, handler_call_details: Any) -> Any:
        """Return what takes a request of any method."""

        def keep(body: bytes, context: Any) -> bytes:
            self.received.append(Received(handler_call_details.method, body, str(context.invocation_metadata())))
            return b""

        return cast("Any", grpc).unary_unary_rpc_method_handler(keep)


@contextmanager
def receiving() -> Generator[tuple[str, list[Received]]]:
    """Run an OTLP server over gRPC; yield its address, as `http://127.0.0.1:4317`, and what has come so far."""
    receiver = _Receiver()
    server: Any = grpc.server(ThreadPoolExecutor(2), handlers=[receiver])
    address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address, receiver.received
    finally:
        server.stop(None).wait()


class Sent:
    """What has left when the block of `exported` has ended.

    Args:
        bodies: Of all requests of all signals.
        spans: How many spans of Spanward's were in them.
    """

    def __init__(self) -> None:
        self.bodies = b""
        self.spans = 0


@contextmanager
def exported() -> Generator[Sent]:
    """Send spans, metrics and log records of Spanward's to a real server as OTLP's exporters do, and keep what it got."""
    sent = Sent()
    with receiving() as (address, received):
        with _logs(address), _measured(address), capture_spans() as spans:
            yield sent
            ours = [one for one in spans.finished if _is_ours(one.instrumentation_scope)]
            _send(OTLPSpanExporter(address, insecure=True), ours)
        sent.bodies = b"".join(one.body + f"{one.method} {one.headers}".encode() for one in received)
        sent.spans = len(ours)


def _send(exporter: Any, what: object) -> None:
    exporter.export(what)
    exporter.shutdown()


def _is_ours(scope: Any) -> bool:
    return scope is not None and str(scope.name).startswith(_SPANWARD)


@contextmanager
def _measured(address: str) -> Generator[None]:
    """Send what is measured in the block."""
    if not isinstance(metrics.get_meter_provider(), MeterProvider):
        metrics.set_meter_provider(MeterProvider(shutdown_on_exit=False))
    provider, reader = metrics.get_meter_provider(), InMemoryMetricReader()
    assert isinstance(provider, MeterProvider), "OpenTelemetry takes the first provider that is set"
    provider.add_metric_reader(reader)
    try:
        yield
        if (measured := reader.get_metrics_data()) is not None:
            _send(OTLPMetricExporter(address, insecure=True), measured)
    finally:
        provider.remove_metric_reader(reader)


class _Handler(logging.Handler):
    """Makes a log record of OpenTelemetry of each record of Spanward's logger."""

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._logger = provider.get_logger(_SPANWARD)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one."""
        self._logger.emit(LogRecord(body=self.format(record)))


@contextmanager
def _logs(address: str) -> Generator[None]:
    """Send what Spanward logs in the block."""
    provider, logger = LoggerProvider(shutdown_on_exit=False), logging.getLogger(_SPANWARD)
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(address, insecure=True)))
    handler = _Handler(provider)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        provider.shutdown()
