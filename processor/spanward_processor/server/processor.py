"""The processor in an event loop: what is opened and in which order, what a reload exchanges, what a drain closes."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

from spanward_processor.closing import Closing
from spanward_processor.configuration.assemble import delivery_of, destinations_of, pipeline_of, snapshots_of
from spanward_processor.configuration.config import Config, ConfigError
from spanward_processor.configuration.exposure import exposures
from spanward_processor.configuration.reloading import Attempt, settle
from spanward_processor.counts import Counts, Forwarded
from spanward_processor.emit import Emitter
from spanward_processor.forward.delivery import Delivery, Destination
from spanward_processor.forward.direct import Direct
from spanward_processor.forward.journalled import Journalled
from spanward_processor.journal.settings import Fsync
from spanward_processor.live.app import live_app
from spanward_processor.live.source import PipelineSource
from spanward_processor.pipeline import Pipeline
from spanward_processor.readings import readings
from spanward_processor.receive.listening import WebServer
from spanward_processor.receive.receivers import GRACE_S, Receivers
from spanward_processor.server.lateness import Lateness
from spanward_processor.server.page import Page, Place
from spanward_processor.server.rounds import Rounds
from spanward_processor.telemetry import SelfTelemetry, scraped_app
from spanward_processor.warmup import compile_apart, warm_up

_log = logging.getLogger(__name__)

VERSION: Final = version("spanward")
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
        self._snapshots = snapshots_of(config)
        self.pipeline = pipeline or pipeline_of(config, self._snapshots)
        self.counts, self._taken = Counts(), Forwarded()
        self.delivery: Delivery
        self._telemetry: SelfTelemetry | None = None
        self._ready = False
        self._closing = Closing()
        self._workers = ThreadPoolExecutor(_WORKERS, "decode")
        self._receivers = Receivers(self.pipeline, self.counts, self._workers)
        self._source = PipelineSource(self.pipeline, self.counts, self._forwarded, config, VERSION)
        self._page, self._scraped = Page(self._page_server), Page(self._scraped_server)
        self._rounds = Rounds(self.pipeline, self._receivers, self._snapshots, Lateness(self.counts))
        self._rounds.roll_backs.adopt(config.canary)

    @property
    def receiver_address(self) -> str:
        """HOST:PORT where gRPC is taken."""
        return self._receivers.grpc_address

    @property
    def http_address(self) -> str:
        """HOST:PORT where HTTP is taken; empty where it is not."""
        return self._receivers.http_address

    @property
    def page_url(self) -> str:
        """Where the live page is; empty where it is not served."""
        return f"http://{self._page.address}/" if self._page.address else ""

    @property
    def metrics_address(self) -> str:
        """HOST:PORT where Prometheus scrapes; empty where it may not."""
        return self._scraped.address

    def _forwarded(self) -> int:
        """Return how many spans every backend took."""
        return self._taken.of(self.delivery.backends)

    async def __aenter__(self) -> Self:
        """Start; see `start`."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain; see `drain`."""
        await self.drain()

    # --- start -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind, then serve. When it fails, nothing is left running.

        Raises:
            PortTakenError: A port is in use.
            JournalError: The journal cannot be opened.
            TlsError: A certificate cannot be used.
            TokenFileError: The file of tokens cannot be used.
        """
        try:
            with ExitStack() as opened:
                await self._open(Attempt(opened))
                opened.pop_all()
        except BaseException:
            await self._closing.give_up()
            raise
        self._ready = True
        _warn_of_exposure(self._config)
        if not self._config.backends:
            _log.warning("no backends: spans are judged and acknowledged, and go nowhere")

    async def _open(self, attempt: Attempt) -> None:
        """Open everything, each followed by how it is closed; what is closed last is opened first."""
        config, closing = self._config, self._closing
        closing.add("workers", _calling(self._workers.shutdown))
        parts = self._receivers.prepare(config, attempt)
        page, scraped = self._prepare_pages(config, attempt)
        if attempt.errors:
            raise attempt.errors[0]
        closing.add("page", self._page.end)
        await self._page.serve(page)
        closing.add("metrics", self._scraped.end)
        await self._scraped.serve(scraped)
        await asyncio.to_thread(compile_apart)
        await asyncio.to_thread(warm_up, _log_compilation)  # else the first senders would wait for it, and give up
        self.delivery = delivery_of(config, random.Random())  # noqa: S311 - back-off only
        self._taken.exchange(self.delivery.backends, self.counts.accepted)
        closing.add("delivery", lambda: self.delivery.drain(self._config.forwarding.drain_s))
        self._telemetry = self._new_telemetry(config)
        closing.add("telemetry", self._end_telemetry)
        self._emitter = Emitter(self.delivery, self.counts, VERSION, time.time_ns)
        self._keep_running("emitter", self._emitter.run())
        closing.add("findings", lambda: self._emitter.drain(GRACE_S))
        self._rounds.follow(config, self.delivery, self._emitter)
        closing.add("roll-backs", self._rounds.roll_backs.drain)
        self._keep_running("care", self._rounds.look_after_files())
        self._keep_running("lateness", self._rounds.tell_of_lateness())
        closing.add("open windows", self._rounds.leave_windows)
        if self._snapshots:
            self._keep_running("snapshots", self._rounds.keep_state())
        self._keep_running("tick", self._rounds.judge())
        closing.add("receivers", self._receivers.end)
        await self._receivers.serve(parts, self.delivery)

    def _keep_running(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._closing.add(what, end)

    def _prepare_pages(self, config: Config, attempt: Attempt) -> tuple[Place, Place]:
        """Return where the live page and the one for Prometheus are asked for."""
        page = self._page.prepare(config.live.listen if config.live else None, attempt)
        return page, self._scraped.prepare(config.telemetry.listen, attempt)

    def _page_server(self) -> WebServer:
        app = live_app(
            self._source,
            lambda: self._ready,
            closing=lambda: server.should_exit,
            ask=self.pipeline.canaries.ask,
            deployments=self.pipeline.deployments,
            ask_why=self.pipeline.why.of_model,
        )
        server = WebServer(app)
        return server

    def _scraped_server(self) -> WebServer:
        def text() -> str:
            telemetry = self._telemetry
            return telemetry.exposition() if telemetry else ""  # while it starts, and at the very end

        return WebServer(scraped_app(text, lambda: self._ready))

    def _new_telemetry(self, config: Config) -> SelfTelemetry:
        return SelfTelemetry(
            self.delivery,
            readings(self.delivery, self.counts, self.pipeline),
            interval_s=config.telemetry.interval_s,
            version=VERSION,
        )

    async def _end_telemetry(self) -> None:
        telemetry, self._telemetry = self._telemetry, None
        if telemetry:
            await telemetry.shut_down()

    # --- reload ------------------------------------------------------------------------------------------------------

    async def reload(self, wanted: Config) -> tuple[str, ...]:
        """Go on with another configuration, without dropping a request.

        Args:
            wanted: The checked configuration.

        Returns:
            The keys that have changed and hold from the next start on only.

        Raises:
            ConfigError: It cannot be used, for all these reasons; the old one goes on unchanged.
        """
        config, held = settle(self._config, wanted)
        with ExitStack() as opened:
            attempt = Attempt(opened)
            parts = self._receivers.prepare(config, attempt)
            page, scraped = self._prepare_pages(config, attempt)
            fresh = isinstance(self.delivery, Direct) and not self._config.backends and bool(config.backends)
            ways = [] if fresh else attempt.make(lambda: destinations_of(config, self._config)) or []
            delivery = attempt.make(lambda: delivery_of(config, random.Random())) if fresh else None  # noqa: S311
            if attempt.errors:
                if delivery:
                    await delivery.drain(0.0)
                raise ConfigError(str(error) for error in attempt.errors)
            opened.pop_all()
        self.pipeline.adopt(
            config.judging(), config.limits.as_settings(), config.canary.as_settings(), config.dora.as_settings()
        )
        self._source.config = config
        self._rounds.roll_backs.adopt(config.canary)
        self._forwarded()  # what those who leave had taken counts
        self._exchange_delivery(config, ways, delivery)
        self._taken.exchange(self.delivery.backends, self.counts.accepted)
        self._rounds.follow(config, self.delivery, self._emitter)
        await self._receivers.serve(parts, self.delivery)
        await self._page.serve(page)
        if delivery or config.telemetry != self._config.telemetry:
            before, self._telemetry = self._telemetry, self._new_telemetry(config)
            if before:
                await before.shut_down()
        await self._scraped.serve(scraped)
        self._config = config
        _warn_of_exposure(config)
        return held

    def _exchange_delivery(self, config: Config, ways: Sequence[Destination], fresh: Delivery | None) -> None:
        if fresh:
            self.delivery = self._emitter.delivery = fresh
            return
        self.delivery.exchange(ways, config.forwarding.as_settings())
        if isinstance(self.delivery, Journalled) and config.journal:
            self.delivery.journal.adopt(config.journal.as_settings())
            self.delivery.at_once = config.journal.fsync is not Fsync.ALWAYS

    # --- end ---------------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Stop taking requests, finish those in flight, tell what is left to tell, deliver, then close.

        Raises:
            ExceptionGroup: What went wrong; every other step was taken all the same.
        """
        self._ready = False
        await self._closing.close()


def _calling(step: Callable[[], object]) -> Callable[[], Coroutine[Any, Any, None]]:
    async def call() -> None:
        step()

    return call


def _warn_of_exposure(config: Config) -> None:
    for key, address, reason in exposures(config):
        _log.warning("configuration opens a port beyond this machine key=%s address=%s reason=%r", key, address, reason)


def _log_compilation(stage: str, took_s: float) -> None:
    if took_s > _WORTH_TELLING_S:
        _log.info("kernels compiled for %r in %.1f s", stage, took_s)
