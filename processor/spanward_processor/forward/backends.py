"""The configured backends, and what each has taken."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from spanward_processor.exporters.base import Exporter, Refusal, Taken, Verdict
from spanward_processor.signals import Encoded, Signal

_log = logging.getLogger(__name__)

_LOG_EVERY_S: Final = 30.0


@dataclass(slots=True)
class Sent:
    """What one backend took.

    Args:
        requests: Requests of any signal.
        spans: Spans.
        failed_spans: Spans of requests given up on.
        rejected: Spans, data points and log records it rejected for good.
    """

    requests: int = 0
    spans: int = 0
    failed_spans: int = 0
    rejected: int = 0


@dataclass(slots=True)
class _Way:
    """An exporter, and how many attempts are under way on it."""

    exporter: Exporter
    timeout_s: float
    attempts: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def close(self) -> None:
        """Close it once nothing is under way on it; an attempt ends within its time limit."""
        while self.attempts:
            self.free.clear()
            await self.free.wait()
        await self.exporter.close()


class Backend:
    """One backend and its exporter; counts and, once in a while, says what goes wrong.

    Args:
        name: As configured.
        exporter: How it is reached.
        timeout_s: Longest wait for one answer, seconds.
        address: HOST:PORT, as metrics name it.
        monotonic_s: Returns a clock that never steps, seconds.
    """

    def __init__(
        self,
        name: str,
        exporter: Exporter,
        timeout_s: float,
        address: str = "",
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.address = address
        self.sent = Sent()
        self._way = _Way(exporter, timeout_s)
        self._monotonic_s = monotonic_s
        self._logged_at = -_LOG_EVERY_S

    async def send(
        self, signal: Signal, parts: Sequence[Encoded], spans: int, *, within_s: float | None = None
    ) -> Taken:
        """Try once.

        Args:
            signal: Which kind.
            parts: Encoded requests, delivered as one.
            spans: Spans in them.
            within_s: How long to wait at most, seconds, if less than the backend's own limit.

        Raises:
            Refusal: It was not taken.
        """
        way = self._way
        timeout_s = way.timeout_s if within_s is None else max(min(way.timeout_s, within_s), 0.001)
        way.attempts += 1
        try:
            taken = await way.exporter.export(signal, parts, timeout_s)
        except Refusal as refusal:
            self._say("backend takes nothing", refusal.reason)
            raise
        except Exception as error:  # whatever it is, it must not count as delivered
            _log.exception("attempt failed backend=%s", self.name)
            raise Refusal(f"{type(error).__name__}: {error}", Verdict.LATER) from error
        finally:
            way.attempts -= 1
            way.free.set()
        self.sent.requests += 1
        self.sent.spans += spans
        self.sent.rejected += taken.rejected
        if taken.rejected or taken.message:
            self._say("backend rejected a part", f"{taken.rejected} rejected: {taken.message}")
        return taken

    def failed(self, spans: int) -> None:
        """Count spans given up on."""
        self.sent.failed_spans += spans

    def _say(self, event: str, reason: str) -> None:
        now = self._monotonic_s()
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            _log.warning("%s backend=%s reason=%r", event, self.name, reason)

    async def exchange(self, exporter: Exporter, timeout_s: float) -> None:
        """Send over another exporter from now on; return once the old one has finished and is closed."""
        old, self._way = self._way, _Way(exporter, timeout_s)
        await old.close()

    async def close(self) -> None:
        """Close its connection once nothing is under way on it."""
        await self._way.close()
