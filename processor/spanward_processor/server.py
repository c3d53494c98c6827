"""The running processor: receivers, delivery, live page, ticking windows, self-telemetry; started and drained in order."""

import asyncio
import gc
import logging
import random
import signal
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

from spanward_processor.admission import Admission
from spanward_processor.assemble import delivery_of, gate_of, limits_of
from spanward_processor.config import Config
from spanward_processor.counts import Counts
from spanward_processor.delivery import Journalled
from spanward_processor.emit import Emitter
from spanward_processor.findings import Finding
from spanward_processor.h2.server import GrpcServer
from spanward_processor.http1 import Patience
from spanward_processor.intake import Intake
from spanward_processor.journal.log import Journal
from spanward_processor.listening import WebServer, address_of, bind
from spanward_processor.live.app import live_app
from spanward_processor.live.source import PipelineSource
from spanward_processor.pipeline import Pipeline
from spanward_processor.receive.grpc import BUSY_RETRY_S, ENCODINGS, GrpcReceiver, come_back
from spanward_processor.receive.http import http_app
from spanward_processor.resident import bound_allocator, give_back
from spanward_processor.telemetry import SelfTelemetry
from spanward_processor.tls import ServerCertificate
from spanward_processor.warmup import compile_apart, warm_up

_log = logging.getLogger(__name__)

VERSION: Final = version("spanward")
GRACE_S: Final = 10.0  # how long requests in flight are waited for when stopping
_TICK_S: Final = 0.25
_RELOAD_S: Final = 5.0  # how often certificates are looked at
_TELL_AGAIN_S: Final = 30.0
_WORKERS: Final = 2
_WORTH_TELLING_S: Final = 1.0


class Processor:
    """A processor in this event loop; an async context manager, drained on leaving.

    Args:
        config: The checked configuration.
        pipeline: Judges spans; one is made from the configuration when absent.
    """

    def __init__(self, config: Config, pipeline: Pipeline | None = None) -> None:
        self._config = config
        self.pipeline = pipeline or Pipeline(config.detection.as_settings(), config.limits.as_settings())
        self.counts = Counts()
        self.receiver_address = ""
        self.http_address = ""
        self.page_url = ""
        self._ready = False
        self._http: WebServer | None = None
        self._page: WebServer | None = None
        self._certificates: list[ServerCertificate] = []

    async def __aenter__(self) -> Self:
        """Start; see `start`."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain; see `drain`."""
        await self.drain()

    async def start(self) -> None:
        """Bind, then serve.

        Raises:
            PortTakenError: A port is in use; nothing is left running.
            JournalError: The journal cannot be opened.
        """
        config = self._config
        grpc_socket = bind(config.receiver.listen)
        http_socket = bind(config.receiver.http_listen) if config.receiver.http_listen else None
        live_socket = bind(config.live.listen) if config.live else None
        await asyncio.to_thread(compile_apart)
        await asyncio.to_thread(warm_up, _log_compilation)  # else the first senders would wait for it, and give up
        self.delivery = delivery_of(config, random.Random())  # noqa: S311 - back-off only
        self._workers = ThreadPoolExecutor(_WORKERS, "decode")
        self._emitter = Emitter(self.delivery, self.counts, VERSION)
        admission = Admission(config.limits.in_flight_bytes, config.limits.in_flight_requests)
        self._intake = Intake(self.pipeline, self.delivery, admission, self.counts, self._workers)
        self._gate = gate_of(config)
        self._tasks = [asyncio.create_task(work) for work in (self._tick(), self._emitter.run(), self._look_after())]
        self._telemetry = SelfTelemetry(
            self.delivery,
            self.counts,
            self.pipeline.panorama,
            lambda: self.pipeline.overflowed,
            interval_s=config.telemetry.interval_s,
            version=VERSION,
        )
        await self._serve_grpc(grpc_socket)
        if http_socket:
            await self._serve_http(http_socket)
        if live_socket:
            await self._serve_page(live_socket)
        self._ready = True
        if not config.backends:
            _log.warning("no backends: spans are judged and acknowledged, and go nowhere")

    async def _serve_grpc(self, bound: socket.socket) -> None:
        limits = self._config.limits
        receiver = GrpcReceiver(self._intake, self._gate, limits.message_bytes, limits.compression_ratio)
        most_bytes = limits.in_flight_bytes
        self._grpc = GrpcServer(
            receiver,
            limits_of(self._config),
            tls=self._certificate("h2"),
            busy=lambda reason: come_back(f"{reason}; limits.in_flight_bytes is {most_bytes}", BUSY_RETRY_S),
            encodings=ENCODINGS,
        )
        self.receiver_address = address_of(bound)
        await self._grpc.start(bound)

    async def _serve_http(self, bound: socket.socket) -> None:
        limits = self._config.limits
        app = http_app(
            self._intake,
            self._gate,
            most_bytes=limits.message_bytes,
            most_ratio=limits.compression_ratio,
            header_bytes=limits.header_bytes,
            buffered_bytes=limits.in_flight_bytes,
        )
        self._http = WebServer(
            app,
            busy=app.busy(limits.connections),
            patience=Patience(header_bytes=limits.header_bytes, connections=limits.connections),
            tls=self._certificate("http/1.1"),
        )
        self.http_address = address_of(bound)
        await self._http.begin(bound)

    async def _serve_page(self, bound: socket.socket) -> None:
        source = PipelineSource(self.pipeline, self.counts, self._config, VERSION)
        page = WebServer(live_app(source, lambda: self._ready, closing=lambda: page.should_exit))
        self._page = page
        self.page_url = f"http://{address_of(bound)}/"
        await page.begin(bound)

    def _certificate(self, protocol: str) -> ssl.SSLContext | None:
        if self._config.receiver.tls is None:
            return None
        certificate = ServerCertificate(self._config.receiver.tls, [protocol])
        self._certificates.append(certificate)
        return certificate.context

    async def _tick(self) -> None:
        """Let event time move on; a window that cannot be judged must not end the judging of all others."""
        told_s = -_TELL_AGAIN_S
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                self._tell(await asyncio.to_thread(self.pipeline.tick))
            except Exception:  # noqa: BLE001 - see above
                now_s = asyncio.get_running_loop().time()
                if now_s - told_s >= _TELL_AGAIN_S:
                    told_s = now_s
                    _log.exception("a window was not judged; spans go on being forwarded")

    def _tell(self, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            _log.warning("finding state=%s severity=%s reason=%r", finding.state, finding.severity, finding.reason)
        self._emitter.put(findings)

    async def _look_after(self) -> None:
        """Force the journal to the medium and read changed certificates, at intervals."""
        journal = self._config.journal
        interval_s = min(_RELOAD_S, journal.fsync_interval_s) if journal else _RELOAD_S
        while True:
            await asyncio.sleep(interval_s)
            if isinstance(self.delivery, Journalled):
                await asyncio.to_thread(_sync, self.delivery.journal)
            for certificate in self._certificates:
                await asyncio.to_thread(certificate.reload)

    async def drain(self) -> None:
        """Stop taking requests, finish those in flight, tell what is left to tell, deliver, then close."""
        self._ready = False
        await self._grpc.stop(GRACE_S)
        if self._http:
            await self._http.end()
        tick, *others = self._tasks
        tick.cancel()
        self._tell(await asyncio.to_thread(self.pipeline.flush))
        await self._emitter.drain(GRACE_S)
        await self._telemetry.shut_down()
        await self.delivery.drain(self._config.forwarding.drain_s)
        if self._page:
            await self._page.end()
        for task in others:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._workers.shutdown()


def _sync(journal: Journal) -> None:
    try:
        journal.sync()
    except OSError as error:
        _log.error("journal is not forced to the medium reason=%r", error.strerror)


def _log_compilation(stage: str, took_s: float) -> None:
    if took_s > _WORTH_TELLING_S:
        _log.info("kernels compiled for %r in %.1f s", stage, took_s)


async def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Run a processor until SIGTERM or SIGINT, then drain it.

    Args:
        config: The checked configuration.
        announce: Called once with the line that says where it listens.

    Raises:
        PortTakenError: A port is in use.
    """
    bound_allocator()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Processor(config) as processor:
        http = f" http={processor.http_address}" if processor.http_address else ""
        page = f" page={processor.page_url}" if processor.page_url else ""
        gc.collect()
        gc.freeze()  # the compiler's objects stay for ever; looking through them again and again takes long
        give_back()  # so does its code, which nobody runs any more
        announce(f"ready receiver={processor.receiver_address}{http}{page}")
        await stop.wait()
        _log.info("stopping: finishing requests in flight")
