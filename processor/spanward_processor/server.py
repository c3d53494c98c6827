"""The running processor: receivers, delivery, live page, ticking windows, self-telemetry; started and drained in order."""

import asyncio
import gc
import logging
import random
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from spanward_processor.canary.rollbacks import RollBacks
from spanward_processor.closing import Closing
from spanward_processor.configuration.assemble import delivery_of, destinations_of, pipeline_of, snapshots_of
from spanward_processor.configuration.config import Config, ConfigError, load
from spanward_processor.configuration.reloading import Attempt, settle
from spanward_processor.counts import Counts
from spanward_processor.emit import Emitter
from spanward_processor.findings import Finding
from spanward_processor.forward.delivery import Delivery, Destination
from spanward_processor.forward.direct import Direct
from spanward_processor.forward.journalled import Journalled
from spanward_processor.journal.log import Journal
from spanward_processor.journal.settings import Fsync
from spanward_processor.live.app import live_app
from spanward_processor.live.source import PipelineSource
from spanward_processor.pipeline import Pipeline
from spanward_processor.readings import readings
from spanward_processor.receive.listening import Listener, Serving, WebServer
from spanward_processor.receive.receivers import GRACE_S, Receivers
from spanward_processor.resident import bound_allocator, give_back
from spanward_processor.snapshots import Snapshots
from spanward_processor.telemetry import SelfTelemetry, scraped_app
from spanward_processor.warmup import compile_apart, forget_bitcode, warm_up

_log = logging.getLogger(__name__)

VERSION: Final = version("spanward")
_TICK_S: Final = 0.25
_RELOAD_S: Final = 5.0  # how often certificates are looked at
_TELL_AGAIN_S: Final = 30.0
_WORKERS: Final = 2
_WORTH_TELLING_S: Final = 1.0


_Place = tuple[str, socket.socket, Serving]
"""What a listener is asked to serve: where, on which socket, and by what."""


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
        self.counts = Counts()
        self.delivery: Delivery
        self._ready = False
        self._closing = Closing()
        self._workers = ThreadPoolExecutor(_WORKERS, "decode")
        self._receivers = Receivers(self.pipeline, self.counts, self._workers)
        self._source = PipelineSource(self.pipeline, self.counts, config, VERSION)
        self._page, self._scraped = Listener(), Listener()
        self._roll_backs = RollBacks(self._note)
        self._roll_backs.adopt(config.canary)

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
        if not self._config.backends:
            _log.warning("no backends: spans are judged and acknowledged, and go nowhere")

    async def _open(self, attempt: Attempt) -> None:
        """Open everything, each followed by how it is closed; what is closed last is opened first."""
        config, closing = self._config, self._closing
        closing.add("workers", _calling(self._workers.shutdown))
        parts = self._receivers.prepare(config, attempt)
        page = self._prepare_page(config, attempt)
        scraped = self._prepare_metrics(config, attempt)
        if attempt.errors:
            raise attempt.errors[0]
        closing.add("page", self._page.end)
        if page:
            await self._page.serve(*page)
        await asyncio.to_thread(compile_apart)
        await asyncio.to_thread(warm_up, _log_compilation)  # else the first senders would wait for it, and give up
        self.delivery = delivery_of(config, random.Random())  # noqa: S311 - back-off only
        closing.add("delivery", lambda: self.delivery.drain(self._config.forwarding.drain_s))
        self._telemetry = self._new_telemetry(config)
        closing.add("telemetry", lambda: self._telemetry.shut_down())
        closing.add("metrics", self._scraped.end)
        if scraped:
            await self._scraped.serve(*scraped)
        self._emitter = Emitter(self.delivery, self.counts, VERSION)
        self._keep_running("emitter", self._emitter.run())
        closing.add("findings", lambda: self._emitter.drain(GRACE_S))
        closing.add("roll-backs", self._roll_backs.drain)
        self._keep_running("care", self._look_after())
        closing.add("open windows", self._leave_windows)
        if self._snapshots:
            self._keep_running("snapshots", self._keep_state(self._snapshots))
        self._keep_running("tick", self._tick())
        closing.add("receivers", self._receivers.end)
        await self._receivers.serve(parts, self.delivery)

    def _keep_running(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._closing.add(what, end)

    def _prepare_page(self, config: Config, attempt: Attempt) -> _Place | None:
        """Return what the page needs, None where the one in use stays or where there is none."""
        if config.live is None or (self._page.address and config.live == self._config.live):
            return None
        app = live_app(
            self._source,
            lambda: self._ready,
            closing=lambda: page.should_exit,
            ask=self.pipeline.canaries.ask,
            deployments=self.pipeline.deployments,
            ask_why=self.pipeline.why.of_model,
        )
        page = WebServer(app)
        return _reserved(self._page, config.live.listen, page, attempt)

    def _prepare_metrics(self, config: Config, attempt: Attempt) -> _Place | None:
        """Return what the page for Prometheus needs, likewise."""
        wanted = config.telemetry.listen
        if wanted is None or (self._scraped.address and wanted == self._config.telemetry.listen):
            return None
        return _reserved(self._scraped, wanted, WebServer(scraped_app(lambda: self._telemetry.exposition())), attempt)

    def _new_telemetry(self, config: Config) -> SelfTelemetry:
        return SelfTelemetry(
            self.delivery,
            readings(self.delivery, self.counts, self.pipeline),
            interval_s=config.telemetry.interval_s,
            version=VERSION,
        )

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
            page = self._prepare_page(config, attempt)
            scraped = self._prepare_metrics(config, attempt)
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
        self._roll_backs.adopt(config.canary)
        self._exchange_delivery(config, ways, delivery)
        await self._receivers.serve(parts, self.delivery)
        if page:
            await self._page.serve(*page)
        elif config.live is None:
            await self._page.end()
        if delivery or config.telemetry != self._config.telemetry:
            before, self._telemetry = self._telemetry, self._new_telemetry(config)
            await before.shut_down()
        if scraped:
            await self._scraped.serve(*scraped)
        elif config.telemetry.listen is None:
            await self._scraped.end()
        self._config = config
        return held

    def _exchange_delivery(self, config: Config, ways: Sequence[Destination], fresh: Delivery | None) -> None:
        if fresh:
            self.delivery = self._emitter.delivery = fresh
            return
        self.delivery.exchange(ways, config.forwarding.as_settings())
        if isinstance(self.delivery, Journalled) and config.journal:
            self.delivery.journal.adopt(config.journal.as_settings())
            self.delivery.at_once = config.journal.fsync is not Fsync.ALWAYS

    # --- run ---------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Let event time move on; a window that cannot be judged must not end the judging of all others."""
        told_s = -_TELL_AGAIN_S
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                self._tell(await asyncio.to_thread(self.pipeline.tick))
                for verdict in self.pipeline.canaries.take_due():
                    self._roll_backs.begin(verdict)
            except Exception:  # noqa: BLE001 - see above
                now_s = asyncio.get_running_loop().time()
                if now_s - told_s >= _TELL_AGAIN_S:
                    told_s = now_s
                    _log.exception("a window was not judged; spans go on being forwarded")

    def _tell(self, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            _log.warning("finding state=%s severity=%s reason=%r", finding.state, finding.severity, finding.reason)
        self._emitter.put(findings)

    async def _note(self, finding: Finding) -> None:
        """Tell a finding that no window brought."""
        await asyncio.to_thread(self.pipeline.note, finding)
        self._tell((finding,))

    async def _look_after(self) -> None:
        """Force the journal to the medium and read changed certificates, at intervals."""
        while True:
            journal = self._config.journal
            await asyncio.sleep(min(_RELOAD_S, journal.fsync_interval_s) if journal else _RELOAD_S)
            if isinstance(self.delivery, Journalled):
                await asyncio.to_thread(_sync, self.delivery.journal)
            for certificate in self._receivers.certificates:
                await asyncio.to_thread(certificate.reload)

    async def _keep_state(self, snapshots: Snapshots) -> None:
        """Keep what was learned, at intervals."""
        while True:
            await asyncio.sleep(self._config.state.interval_s if self._config.state else _TELL_AGAIN_S)
            saving = asyncio.ensure_future(asyncio.to_thread(_save, snapshots, self.pipeline, complete=False))
            try:
                await asyncio.shield(saving)
            except asyncio.CancelledError:
                await saving  # or it might come after the last one
                raise

    async def _leave_windows(self) -> None:
        """Judge what is open; where state is kept, leave that to the next start, which will see the rest of it."""
        if self._snapshots:
            await asyncio.to_thread(_save, self._snapshots, self.pipeline, complete=True)
        else:
            self._tell(await asyncio.to_thread(self.pipeline.flush))

    async def drain(self) -> None:
        """Stop taking requests, finish those in flight, tell what is left to tell, deliver, then close.

        Raises:
            ExceptionGroup: What went wrong; every other step was taken all the same.
        """
        self._ready = False
        await self._closing.close()


def _reserved(listener: Listener, wanted: str, server: WebServer, attempt: Attempt) -> _Place | None:
    bound = attempt.make(lambda: listener.reserve(wanted))
    if bound is None:
        return None
    attempt.opened.callback(bound.close)
    return wanted, bound, Serving(server.begin, server.end, server.end)


def _calling(step: Callable[[], object]) -> Callable[[], Coroutine[Any, Any, None]]:
    async def call() -> None:
        step()

    return call


def _sync(journal: Journal) -> None:
    try:
        journal.sync()
    except OSError as error:
        _log.error("journal is not forced to the medium reason=%r", error.strerror)


def _save(snapshots: Snapshots, pipeline: Pipeline, *, complete: bool) -> None:
    try:
        snapshots.write(pipeline.arrays(complete=complete))
    except OSError as error:
        _log.error("what was learned is not kept file=%s reason=%r", snapshots.path, error.strerror)


def _log_compilation(stage: str, took_s: float) -> None:
    if took_s > _WORTH_TELLING_S:
        _log.info("kernels compiled for %r in %.1f s", stage, took_s)


async def serve(config: Config, announce: Callable[[str], None], file: Path | None = None) -> None:
    """Run a processor until SIGTERM or SIGINT, then drain it; SIGHUP reads the configuration anew.

    Args:
        config: The checked configuration.
        announce: Called once with the line that says where it listens.
        file: Where the configuration was read from, if it was.

    Raises:
        PortTakenError: A port is in use.
    """
    bound_allocator()
    loop = asyncio.get_running_loop()
    stop, asked = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    async with Processor(config) as processor:
        forget_bitcode()
        gc.collect()
        gc.freeze()  # the compiler's objects stay for ever; looking through them again and again takes long
        give_back()  # so does its code, which nobody runs any more
        announce(f"ready {_whereabouts(processor)}")
        reloading = asyncio.create_task(_reload_when(asked, processor, file, stop))
        await stop.wait()
        asked.set()
        await reloading
        _log.info("stopping: finishing requests in flight")


def _whereabouts(processor: Processor) -> str:
    http = f" http={processor.http_address}" if processor.http_address else ""
    page = f" page={processor.page_url}" if processor.page_url else ""
    scraped = f" metrics={processor.metrics_address}" if processor.metrics_address else ""
    return f"receiver={processor.receiver_address}{http}{page}{scraped}"


async def _reload_when(asked: asyncio.Event, processor: Processor, file: Path | None, stop: asyncio.Event) -> None:
    """Reload each time it is asked for, until the end; one that has begun is finished."""
    while True:
        await asked.wait()
        asked.clear()
        if stop.is_set():
            return
        if file is None:
            _log.warning("nothing to reload: the processor was started without --config")
            continue
        try:
            held = await processor.reload(await asyncio.to_thread(load, file))
        except ConfigError as error:
            for line in error.errors:
                _log.error("configuration refused, the old one holds file=%s reason=%r", file, line)
        except Exception:  # noqa: BLE001 - a reload must not end a processor that runs
            _log.exception("configuration could not be exchanged file=%s", file)
        else:
            for key in held:
                _log.warning("configuration key needs a restart key=%s", key)
            _log.info("configuration reloaded file=%s %s", file, _whereabouts(processor))
