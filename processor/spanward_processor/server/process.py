"""A process around the processor: it ends by SIGTERM or SIGINT, and reads its configuration anew by SIGHUP."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from spanward_processor.configuration.config import Config, ConfigError, load
from spanward_processor.resident import ALLOCATOR, give_back
from spanward_processor.server.processor import Processor

_log = logging.getLogger(__name__)


async def serve(config: Config, announce: Callable[[str], None], file: Path | None = None) -> None:
    """Run a processor until SIGTERM or SIGINT, then drain it; SIGHUP reads the configuration anew.

    Args:
        config: The checked configuration.
        announce: Called once with the line that says where it listens.
        file: Where the configuration was read from, if it was.

    Raises:
        PortTakenError: A port is in use.
    """
    ALLOCATOR.bound()
    loop = asyncio.get_running_loop()
    stop, asked = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    async with Processor(config) as processor:
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
