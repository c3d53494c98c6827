"""Rolls back, once: who acts is the configuration's matter, that it happens once, in time, and is told, is settled here."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from spanward_processor.canary.executors import EXECUTORS
from spanward_processor.canary.executors.base import Executor, ExecutorError, RollBack
from spanward_processor.canary.section import CanaryConfig
from spanward_processor.canary.telling import ROLL_BACK, finding_of
from spanward_processor.canary.verdict import Verdict
from spanward_processor.findings import Finding, Severity, State

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Acting:
    """Who rolls back which models.

    Args:
        executor: Who.
        service: Of which service; empty for any.
        model: Of which model; empty for any.
    """

    executor: Executor
    service: str = ""
    model: str = ""

    def concerns(self, verdict: Verdict) -> bool:
        """Return whether a verdict is about its models."""
        series = verdict.canary
        return self.service in ("", series.service) and self.model in ("", series.model)


def acting_of(config: CanaryConfig) -> tuple[Acting, ...]:
    """Return those a configuration names."""
    makers = dict(EXECUTORS)
    return tuple(Acting(makers[one.kind](one), one.service, one.model) for one in config.executors)


class RollBacks:
    """Acts on verdicts.

    Args:
        tell: Told of every action, as a finding.
        monotonic_s: Returns a clock that never steps, seconds.
    """

    def __init__(
        self, tell: Callable[[Finding], Awaitable[None]], *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._monotonic_s = monotonic_s
        self._acting: tuple[Acting, ...] = ()
        self._config = CanaryConfig()
        self._acted_s: dict[tuple[str, str], float] = {}  # the lock: when each model was last rolled back
        self._under_way: set[asyncio.Task[None]] = set()

    def adopt(self, config: CanaryConfig, acting: Sequence[Acting] | None = None) -> None:
        """Act by a configuration from now on."""
        self._config = config
        self._acting = acting_of(config) if acting is None else tuple(acting)

    def begin(self, verdict: Verdict) -> None:
        """Begin to roll back; call it in the event loop. It goes on by itself, and is told when it is over."""
        task = asyncio.create_task(self._roll_back(verdict))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def drain(self) -> None:
        """Wait for what is under way; nothing takes longer than its time."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _roll_back(self, verdict: Verdict) -> None:
        series = verdict.canary
        model, now_s = (series.service, series.model), self._monotonic_s()
        left_s = self._acted_s.get(model, float("-inf")) + self._config.cooldown_s - now_s
        if left_s > 0:
            await self._note(
                verdict, f"not rolled back: {series.model} was, less than {self._config.cooldown_s:.0f} s ago"
            )
            return
        self._acted_s[model] = now_s
        chosen = [one.executor for one in self._acting if one.concerns(verdict)]
        if not chosen:
            await self._note(verdict, "nobody rolls it back: canary.executors names nobody for this model")
        if self._config.dry_run:
            for executor in chosen:
                await self._note(verdict, f"dry run: {executor.name} would roll back", done=True)
            return
        await asyncio.gather(*(self._act(executor, verdict) for executor in chosen))

    async def _act(self, executor: Executor, verdict: Verdict) -> None:
        series, began_s = verdict.canary, self._monotonic_s()
        told = finding_of(verdict, State.OPENED)
        roll_back = RollBack(
            id=told.id,
            service=series.service,
            model=series.model,
            stable=verdict.stable.version,
            canary=series.version,
            guard=told.aspect,
            reason=verdict.reason,
            decided_ns=verdict.decided_ns,
        )
        try:
            async with asyncio.timeout(self._config.timeout_s):
                done = await executor.execute(roll_back)
        except TimeoutError:
            await self._note(verdict, f"{executor.name} failed: no answer in {self._config.timeout_s:g} s")
        except ExecutorError as error:
            await self._note(verdict, f"{executor.name} failed: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, a person must know that the canary still serves
            _log.exception("an executor failed in a way it should not")
            await self._note(verdict, f"{executor.name} failed: {error!r}")
        else:
            took_s = self._monotonic_s() - began_s
            await self._note(verdict, f"{executor.name}: {done}, {took_s:.2f} s after it was asked", done=True)

    async def _note(self, verdict: Verdict, what: str, *, done: bool = False) -> None:
        """Tell what was done, or that it was not: then a person must do it."""
        series = verdict.canary
        reason = f"roll-back of {series.model} from {series.version} to {verdict.stable.version}: {what}"
        _log.warning("roll_back model=%r done=%s reason=%r", series.model, done, reason)
        state, severity = (State.RESOLVED, Severity.INFO) if done else (State.OPENED, Severity.CRITICAL)
        await self._tell(finding_of(verdict, state, aspect=ROLL_BACK, reason=reason, severity=severity))
