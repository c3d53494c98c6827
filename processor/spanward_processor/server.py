"""The running processor: receiver, live page, ticking windows, self-telemetry; started and drained in order."""

import asyncio
import logging
import random
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

import grpc
import uvicorn

from spanward_processor.admission import Admission
from spanward_processor.config import Config, ServerTls
from spanward_processor.counts import Counts
from spanward_processor.emit import Emitter
from spanward_processor.findings import Finding
from spanward_processor.forward import Backend, Forwarder
from spanward_processor.live.app import live_app
from spanward_processor.live.source import PipelineSource
from spanward_processor.pipeline import Pipeline
from spanward_processor.receiver import Receiver
from spanward_processor.telemetry import SelfTelemetry
from spanward_processor.warmup import warm_up

_log = logging.getLogger(__name__)

VERSION: Final = version("spanward")
GRACE_S: Final = 10.0  # how long requests in flight are waited for when stopping
_TICK_S: Final = 0.25
_WORKERS: Final = 2
_WORTH_TELLING_S: Final = 1.0


class PortTakenError(Exception):
    """Another program listens where we should."""


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
        self.page_url = ""
        self._ready = False
        self._tasks: list[asyncio.Task[None]] = []

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
        """
        config = self._config
        receiver_socket = _bind(config.receiver.listen)
        live_socket = _bind(config.live.listen) if config.live else None
        await asyncio.to_thread(warm_up, _log_compilation)  # else the first senders would wait for it, and give up
        rng = random.Random()  # noqa: S311 - back-off only
        self.forwarder = Forwarder(
            [Backend(backend, config.forwarding, rng) for backend in config.backends], config.forwarding.max_wait_s
        )
        self._workers = ThreadPoolExecutor(_WORKERS, "decode")
        self._emitter = Emitter(self.forwarder, self.counts, VERSION)
        await self._serve_otlp(receiver_socket)
        self._telemetry = SelfTelemetry(
            self.forwarder,
            self.counts,
            self.pipeline.panorama,
            lambda: self.pipeline.overflowed,
            interval_s=config.telemetry.interval_s,
            version=VERSION,
        )
        self._tasks = [asyncio.create_task(self._tick_forever()), asyncio.create_task(self._emitter.run())]
        if live_socket:
            await self._serve_page(live_socket)
        self._ready = True
        if not config.backends:
            _log.warning("no backends: spans are judged and acknowledged, and go nowhere")

    async def _serve_otlp(self, bound: socket.socket) -> None:
        config = self._config
        admission = Admission(config.limits.in_flight_bytes, config.limits.in_flight_requests)
        receiver = Receiver(self.pipeline, self.forwarder, admission, self.counts, self._workers)
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),  # else a second processor would silently share the port
                ("grpc.max_receive_message_length", config.limits.message_bytes),
            ]
        )
        self._server.add_generic_rpc_handlers(receiver.handlers())
        self.receiver_address = _listen(self._server, bound, config.receiver.listen, config.receiver.tls)
        await self._server.start()

    async def _serve_page(self, bound: socket.socket) -> None:
        host, port = bound.getsockname()[:2]
        self.page_url = f"http://{host}:{port}/"
        source = PipelineSource(self.pipeline, self.counts, self._config, VERSION)
        app = live_app(source, lambda: self._ready)
        self._page = _PageServer(
            uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1, access_log=False)
        )
        self._tasks.append(asyncio.create_task(self._page.serve([bound])))
        while not self._page.started:  # noqa: ASYNC110 - see below
            await asyncio.sleep(0.01)  # uvicorn has no event to wait for

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._tell(await asyncio.to_thread(self.pipeline.tick))

    def _tell(self, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            _log.warning("finding state=%s severity=%s reason=%r", finding.state, finding.severity, finding.reason)
        self._emitter.put(findings)

    async def drain(self) -> None:
        """Stop taking requests, finish those in flight, tell what is left to tell, then close."""
        self._ready = False
        await self._server.stop(GRACE_S)
        self._tasks[0].cancel()
        self._tell(await asyncio.to_thread(self.pipeline.flush))
        await self._emitter.drain(GRACE_S)
        await self._telemetry.shut_down()
        if self._config.live:
            self._page.should_exit = True
            await self._tasks.pop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.forwarder.close()
        self._workers.shutdown()


def _log_compilation(stage: str, took_s: float) -> None:
    if took_s > _WORTH_TELLING_S:
        _log.info("kernels compiled for %r in %.1f s", stage, took_s)


class _PageServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the processor drains, not the page."""

    def install_signal_handlers(self) -> None:
        """Leave signals alone."""

    def capture_signals(self):  # type: ignore[no-untyped-def] # pyright: ignore
        """Leave signals alone."""
        from contextlib import nullcontext

        return nullcontext()


def _bind(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, int(port)))
    except OSError as error:
        bound.close()
        raise PortTakenError(f"{address} cannot be used: {error.strerror}") from error
    return bound


def _listen(server: grpc.aio.Server, bound: socket.socket, address: str, tls: ServerTls | None) -> str:
    """Let gRPC listen where `bound` proved the port to be free; return HOST:PORT."""
    host, port = address.rpartition(":")[0], bound.getsockname()[1]
    bound.close()
    target = f"{host}:{port}"
    try:
        if tls is None:
            server.add_insecure_port(target)
        else:
            server.add_secure_port(target, _credentials(tls))
    except RuntimeError as error:
        raise PortTakenError(f"{target} cannot be used: {error}") from error
    return target


def _credentials(tls: ServerTls) -> grpc.ServerCredentials:
    pair = (tls.key_file.read_bytes(), tls.cert_file.read_bytes())
    ca = tls.client_ca_file.read_bytes() if tls.client_ca_file else None
    return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)


async def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Run a processor until SIGTERM or SIGINT, then drain it.

    Args:
        config: The checked configuration.
        announce: Called once with the line that says where it listens.

    Raises:
        PortTakenError: A port is in use.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Processor(config) as processor:
        page = f" page={processor.page_url}" if processor.page_url else ""
        announce(f"ready receiver={processor.receiver_address}{page}")
        await stop.wait()
        _log.info("stopping: finishing requests in flight")
