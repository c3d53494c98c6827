"""The demo from beginning to end: start, learn, stay quiet, go wrong in three ways, sum up."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from spanward_processor.demo.customers import Customers
from spanward_processor.demo.feed import Feed
from spanward_processor.demo.incidents import INCIDENTS, RATE_PER_S, USUAL, Incident
from spanward_processor.demo.processes import Processes
from spanward_processor.demo.screen import Screen
from spanward_processor.demo.sink import Counts, read_counts
from spanward_processor.demo.stage import Scene, Stage, set_up
from spanward_processor.demo.summary import Outcome, Summary
from spanward_processor.demo.traffic import Arrivals, Traffic

_WHOLE_S: Final = 165.0  # once everything runs; under three minutes, with what it takes to start and end the programs
_LEARN_S: Final = 75.0  # at most
_QUIET_S: Final = 8.0
_SHIFT_S: Final = (8.0, 40.0)  # at least, so that it is seen on the page; at most, when it is not found
_RECOVERY_S: Final = (5.0, 12.0)  # at least until its last spans are judged; at most, when findings stay open
_DRAIN_S: Final = 8.0
_LOOK_EVERY_S: Final = 0.2


async def tell(screen: Screen, folder: Path, *, seed: int, keep: bool) -> bool:
    """Run the demo.

    Args:
        screen: Shows it.
        folder: For the processor's configuration and the programs' output.
        seed: Of all randomness in the traffic.
        keep: Whether everything keeps running after the summary, until cancelled.

    Returns:
        Whether every incident was found and every span arrived.

    Raises:
        ProcessError: A program did not start, or ended too early.
    """
    began_s = asyncio.get_running_loop().time()
    screen.say("Spanward demo: a FastAPI service with a text classifier -> spanward processor -> your backend", "bold")
    async with Processes(folder) as processes:
        stage = await set_up(processes, folder, screen, Scene())
        story = _Story(screen, stage, seed, began_s)
        async with asyncio.TaskGroup() as group:
            companions = [group.create_task(work) for work in (processes.watch(), story.feed.follow())]
            driving = group.create_task(story.traffic.run())
            summary = await story.chapters(keep=keep)
            if keep:
                screen.keep_on(f"Everything keeps running: open {stage.page}; Ctrl-C ends it.")
                await driving
            for companion in companions:
                companion.cancel()
    return summary.complete


class _Story:
    """The chapters.

    Args:
        screen: Shows them.
        stage: Where everything runs.
        seed: Of the traffic.
        began_s: When the demo began, on the loop's clock; kernels that were compiled since take no time from the story.
    """

    def __init__(self, screen: Screen, stage: Stage, seed: int, began_s: float) -> None:
        self._screen = screen
        self._stage = stage
        self._began_s = began_s
        self._clock = asyncio.get_running_loop().time
        self._set_up_s = self._clock()
        rng = Random(seed)  # noqa: S311 - traffic, not secrets
        self.feed = Feed(stage.page, screen.finding)
        self.traffic = Traffic(stage.tickets, Arrivals(USUAL, rng), Customers(rng))

    async def chapters(self, *, keep: bool) -> Summary:
        """Go through all; return how it went."""
        self._screen.say(f"\nOpen {self._stage.page} to watch it live.", "bold")
        await self._learn()
        quiet_from = self._clock()
        await self._stay_quiet()
        quiet_s = self._clock() - quiet_from
        shifts: list[tuple[Incident, float]] = []
        for incident in INCIDENTS:
            shifts.append((incident, self._clock()))
            await self._go_wrong(incident)
            await self._recover()
        if not keep:
            await self._drain()
        return await self._sum_up(shifts, quiet_s, goes_on=keep)

    async def _learn(self) -> None:
        self._screen.say(f"\nLearning what is normal, from {RATE_PER_S:.0f} requests per second by 30 clients.", "bold")
        with self._screen.waiting("learning") as advance:

            def learned() -> bool:
                learning = self.feed.learning
                advance(learning.progress, str(learning))
                return learning.done

            if not await until(learned, _LEARN_S):
                self._screen.say(f"  Not everything was learned within {_LEARN_S:.0f} s; going on.", "yellow")

    async def _stay_quiet(self) -> None:
        self._screen.chapter(f"nothing changes for {_QUIET_S:.0f} s; whatever is found now is a false alarm.")
        await asyncio.sleep(_QUIET_S)
        if not self.feed.openings:
            self._screen.say("  nothing found", "green")

    async def _go_wrong(self, incident: Incident) -> None:
        """Let an incident last until it is found."""
        began_s = self._clock()
        self._screen.chapter(f"{incident.announcement}.")
        self.traffic.become(incident.streams)

        def found() -> bool:
            outcome = Outcome(incident, began_s, tuple(self.feed.opened(began_s)))
            return self._clock() - began_s >= _SHIFT_S[0] and not outcome.missing()

        await until(found, _SHIFT_S[1])

    async def _recover(self) -> None:
        """Let the traffic be as usual until nothing is open, so that the next incident is told apart from this one."""
        self.traffic.become(USUAL)
        self._screen.say("  The traffic is as usual again.")
        await asyncio.sleep(_RECOVERY_S[0])
        await until(lambda: not self.feed.open, min(max(self._left_s(), 0.0), _RECOVERY_S[1] - _RECOVERY_S[0]))

    def _left_s(self) -> float:
        """Return how long the story may go on, seconds."""
        return self._set_up_s + _WHOLE_S - _DRAIN_S - self._clock()

    async def _drain(self) -> None:
        """Stop the traffic and wait until every span has passed through."""
        self.traffic.stop()
        settled = self._clock() + _DRAIN_S
        while self._clock() < settled:
            before = self.feed.accepted
            await asyncio.sleep(2.0)
            if before == self.feed.accepted == (await self._read_backend()).spans:
                return

    async def _read_backend(self) -> Counts:
        return await read_counts(self._stage.backend)

    async def _sum_up(self, shifts: list[tuple[Incident, float]], quiet_s: float, *, goes_on: bool) -> Summary:
        ends = [began_s for _, began_s in shifts[1:]] + [float("inf")]
        summary = Summary(
            outcomes=tuple(
                Outcome(incident, began_s, tuple(self.feed.opened(began_s, end_s)))
                for (incident, began_s), end_s in zip(shifts, ends, strict=True)
            ),
            quiet=tuple(self.feed.opened(0.0, shifts[0][1])),
            quiet_s=quiet_s,
            answered=self.traffic.answered,
            failed=self.traffic.failed,
            turned_away=self.traffic.turned_away,
            accepted=self.feed.accepted,
            backend=await self._read_backend(),
            goes_on=goes_on,
            took_s=self._clock() - self._began_s,
        )
        summary.show(self._screen)
        return summary


async def until(met: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until a condition is met; return whether it was in time."""
    clock = asyncio.get_running_loop().time
    end = clock() + timeout_s
    while not met():
        if clock() >= end:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True
