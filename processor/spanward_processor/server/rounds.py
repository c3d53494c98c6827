"""What a running processor does by itself at intervals: judge windows, keep what was learned, look after its files and late spans."""

import asyncio
import logging
from typing import Final

from spanward_processor.canary.rollbacks import RollBacks
from spanward_processor.configuration.config import Config
from spanward_processor.emit import Emitter, log_finding
from spanward_processor.findings import Finding
from spanward_processor.forward.delivery import Delivery
from spanward_processor.forward.journalled import Journalled
from spanward_processor.journal.log import Journal
from spanward_processor.pipeline import Pipeline
from spanward_processor.receive.receivers import Receivers
from spanward_processor.server.lateness import Lateness
from spanward_processor.snapshots import Snapshots

_log = logging.getLogger(__name__)

_TICK_S: Final = 0.25
_RELOAD_S: Final = 5.0  # how often certificates are looked at
_TELL_AGAIN_S: Final = 30.0


class Rounds:
    """The rounds of one processor; each goes on until it is cancelled. `follow` comes before the first.

    Args:
        pipeline: Judges spans.
        receivers: Whose certificates may change.
        snapshots: Where what was learned is kept; None where it is not.
        lateness: Notices spans that come too late.
    """

    def __init__(
        self, pipeline: Pipeline, receivers: Receivers, snapshots: Snapshots | None, lateness: Lateness
    ) -> None:
        self.roll_backs = RollBacks(self._note)
        self._config: Config
        self._delivery: Delivery
        self._emitter: Emitter
        self._pipeline = pipeline
        self._receivers = receivers
        self._snapshots = snapshots
        self._lateness = lateness

    def follow(self, config: Config, delivery: Delivery, emitter: Emitter) -> None:
        """Go by another configuration from now on.

        Args:
            config: The configuration.
            delivery: Whose journal is looked after.
            emitter: Who is told of findings.
        """
        self._config, self._delivery, self._emitter = config, delivery, emitter

    async def judge(self) -> None:
        """Let event time move on; a window that cannot be judged must not end the judging of all others."""
        told_s = -_TELL_AGAIN_S
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                self._tell(await asyncio.to_thread(self._pipeline.tick))
                for verdict in self._pipeline.canaries.take_due():
                    self.roll_backs.begin(verdict)
            except Exception:  # noqa: BLE001 - see above
                now_s = asyncio.get_running_loop().time()
                if now_s - told_s >= _TELL_AGAIN_S:
                    told_s = now_s
                    _log.exception("a window was not judged; spans go on being forwarded")

    def _tell(self, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            log_finding(finding)
        self._emitter.put(findings)

    async def _note(self, finding: Finding) -> None:
        """Tell a finding that no window brought."""
        await asyncio.to_thread(self._pipeline.note, finding)
        self._tell((finding,))

    async def look_after_files(self) -> None:
        """Force the journal to the medium and read changed certificates."""
        while True:
            journal = self._config.journal
            await asyncio.sleep(min(_RELOAD_S, journal.fsync_interval_s) if journal else _RELOAD_S)
            if isinstance(self._delivery, Journalled):
                await asyncio.to_thread(_sync, self._delivery.journal)
            for certificate in self._receivers.certificates:
                await asyncio.to_thread(certificate.reload)

    async def tell_of_lateness(self) -> None:
        """Say that many spans come too late; only the operator can let windows wait for longer."""
        while True:
            await asyncio.sleep(_TELL_AGAIN_S)
            if missed := self._lateness.look():
                _log.warning(
                    "spans came after their window had closed: forwarded, but not counted late=%d of=%d lateness_s=%g",
                    *missed,
                    self._config.detection.lateness_s,
                )

    async def keep_state(self) -> None:
        """Keep what was learned."""
        while True:
            await asyncio.sleep(self._config.state.interval_s if self._config.state else _TELL_AGAIN_S)
            saving = asyncio.ensure_future(asyncio.to_thread(self._save, complete=False))
            try:
                await asyncio.shield(saving)
            except asyncio.CancelledError:
                await saving  # or it might come after the last one
                raise

    async def leave_windows(self) -> None:
        """Judge what is open; where state is kept, leave that to the next start, which will see the rest of it."""
        if self._snapshots:
            await asyncio.to_thread(self._save, complete=True)
        else:
            self._tell(await asyncio.to_thread(self._pipeline.flush))

    def _save(self, *, complete: bool) -> None:
        if self._snapshots is None:
            return
        try:
            self._snapshots.write(self._pipeline.arrays(complete=complete))
        except OSError as error:
            _log.error("what was learned is not kept file=%s reason=%r", self._snapshots.path, error.strerror)


def _sync(journal: Journal) -> None:
    try:
        journal.sync()
    except OSError as error:
        _log.error("journal is not forced to the medium reason=%r", error.strerror)
