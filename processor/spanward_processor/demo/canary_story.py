"""The canary's story: a new version gets a tenth of the traffic, becomes slow, and is out within seconds, by nobody's hand."""

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

import httpx

from spanward_processor.demo.canary_service import FLAG
from spanward_processor.demo.customers import Customers, Ticket
from spanward_processor.demo.feed import Feed, Finding
from spanward_processor.demo.processes import Processes
from spanward_processor.demo.screen import Screen
from spanward_processor.demo.stage import Scene, set_up
from spanward_processor.demo.story import until
from spanward_processor.demo.traffic import Arrivals, Stream, Traffic

_RATE_PER_S: Final = 100.0
_CLIENTS: Final = 400
_CANARY_PERCENT: Final = 10
_ALONE_S: Final = 12.0  # the stable version without a canary
_GOOD_S: Final = 25.0  # the canary while it is good
_FOUND_S: Final = 60.0  # at most
_QUIET_S: Final = 3.0  # without a request of the canary: it is out
_CONFIG: Final = """\
canary:
  lateness_s: 1
  warmup_s: 5
  executors:
    - kind: flagd
      file: {flags}
      flag: {flag}
"""


@dataclass(slots=True)
class _Timeline:
    """When what happened, on the loop's clock; None while it has not."""

    regressed_s: float = 0.0
    decided_s: float | None = None
    rolled_back_s: float | None = None
    last_canary_s: float = 0.0
    reason: str = ""
    action: str = ""


async def tell(screen: Screen, folder: Path, *, seed: int, keep: bool) -> bool:
    """Run the story; see `story.tell`."""
    screen.say(
        "Spanward demo: version 2.1 of a text classifier gets 10 % of the clients, regresses, and is taken back", "bold"
    )
    flags = folder / "flags.json"
    write_flag(flags, 0)
    config = _CONFIG.format(flags=flags, flag=FLAG)
    service = "spanward_processor.demo.canary_service:app"
    async with Processes(folder) as processes:
        scene = Scene(service, config, {"FLAGS_FILE": str(flags)})
        stage = await set_up(processes, folder, screen, scene)
        story = _Story(screen, stage.page, stage.tickets, flags, seed)
        async with asyncio.TaskGroup() as group:
            companions = [group.create_task(work) for work in (processes.watch(), story.feed.follow())]
            driving = group.create_task(story.traffic.run())
            went_well = await story.chapters()
            if keep:
                screen.keep_on(f"Everything keeps running: open {stage.page}; Ctrl-C ends it.")
                await driving
            story.traffic.stop()
            for companion in companions:
                companion.cancel()
    return went_well


def write_flag(flags: Path, percent: int) -> None:
    """Write the file of flags, in which the canary gets some percent of the clients."""
    targeting = {"fractional": [["stable", 100 - percent], ["canary", percent]]} if percent else {}
    flag = {
        "state": "ENABLED",
        "variants": {"stable": "2.0", "canary": "2.1"},
        "defaultVariant": "stable",
        "targeting": targeting,
    }
    fresh = flags.with_suffix(".new")
    fresh.write_text(json.dumps({"flags": {FLAG: flag}}, indent=2), encoding="utf-8")
    fresh.replace(flags)


def _ticket(customers: Customers) -> Ticket:
    """Return a ticket of one of many clients, so that a tenth of them are some forty."""
    return replace(customers.ticket(), client=f"client-{customers.rng.randint(1, _CLIENTS):03}")


class _Story:
    """The chapters.

    Args:
        screen: Shows them.
        page: The live page.
        tickets: Where tickets are posted.
        flags: The file of flags.
        seed: Of the traffic.
    """

    def __init__(self, screen: Screen, page: str, tickets: str, flags: Path, seed: int) -> None:
        self._screen = screen
        self._page, self._tickets, self._flags = page, tickets, flags
        self._clock = asyncio.get_running_loop().time
        self._times = _Timeline()
        self._answered: dict[str, int] = {}
        self._flags_changed_ns = 0
        rng = Random(seed)  # noqa: S311 - traffic, not secrets
        self.feed = Feed(page, self._hear)
        arrivals = Arrivals((Stream(_RATE_PER_S, _ticket),), rng)
        self.traffic = Traffic(tickets, arrivals, Customers(rng), self._note)

    def _note(self, answer: bytes) -> None:
        """Note which version has answered."""
        version = json.loads(answer)["version"]
        self._answered[version] = self._answered.get(version, 0) + 1
        if version == "2.1":
            self._times.last_canary_s = self._clock()

    def _hear(self, finding: Finding) -> None:
        if finding.detector != "canary":
            return
        if finding.aspect == "roll_back":
            self._times.action = finding.reason.rpartition(": ")[2]
        elif finding.state == "opened":
            self._times.decided_s, self._times.reason = self._clock(), finding.reason

    async def chapters(self) -> bool:
        """Go through all; return whether the canary was out in time, and not before it had regressed."""
        screen, times = self._screen, self._times
        screen.say(f"\nOpen {self._page} to watch it live.", "bold")
        screen.chapter(f"version 2.0 alone serves {_RATE_PER_S:.0f} requests per second, for {_ALONE_S:.0f} s.")
        await asyncio.sleep(_ALONE_S)
        screen.chapter(
            f"version 2.1 gets {_CANARY_PERCENT} % of the clients, and is as good as 2.0, for {_GOOD_S:.0f} s."
        )
        write_flag(self._flags, _CANARY_PERCENT)
        self._flags_changed_ns = self._flags.stat().st_mtime_ns
        await asyncio.sleep(_GOOD_S)
        screen.say(f"  answered so far: {self._shares()}")
        if times.decided_s is not None:
            screen.say(f"  A good canary was judged: {times.reason}", "red")
            return False
        screen.say("  nothing is held against it", "green")
        screen.chapter("version 2.1 regresses: it reads every text three times, and takes about twice as long.")
        async with httpx.AsyncClient() as http:
            (await http.post(self._tickets.replace("/route", "/regress"))).raise_for_status()
        times.regressed_s = times.last_canary_s = self._clock()
        with screen.waiting("waiting; nobody touches anything"):
            gone = await until(self._is_out, _FOUND_S)
        self._show()
        return gone and times.decided_s is not None and times.rolled_back_s is not None

    def _is_out(self) -> bool:
        """Return whether the canary has been without a request for a while; note when the flag was changed."""
        if self._times.rolled_back_s is None and self._flags.stat().st_mtime_ns != self._flags_changed_ns:
            self._times.rolled_back_s = self._clock()
        return self._clock() - self._times.last_canary_s > _QUIET_S

    def _shares(self) -> str:
        return ", ".join(f"{count:,} by {version}" for version, count in sorted(self._answered.items()))

    def _show(self) -> None:
        """Show when what happened; the page tells of a decision up to a second late, the flag is looked at all the time."""
        screen, times = self._screen, self._times
        screen.say("\nTimeline, in seconds after the regression began", "bold")
        decided_s = min((one for one in (times.decided_s, times.rolled_back_s) if one is not None), default=None)
        out_s = None if times.rolled_back_s is None else max(times.last_canary_s, times.rolled_back_s)
        steps = [
            (times.regressed_s, "regression begins", "2.1 reads every text three times"),
            (decided_s, "decided", times.reason),
            (times.rolled_back_s, "rolled back", f"by the processor, in the file of flags: {times.action}"),
            (out_s, "recovered", "2.1 answers for the last time; from here on 2.0 answers everybody"),
        ]
        for at_s, what, detail in steps:
            when = "never" if at_s is None else f"{at_s - times.regressed_s:.1f}"
            screen.say(f"  {when:>6}  {what:<18} {detail}")
        screen.say(f"\nAnswered: {self._shares()}; failed: {self.traffic.failed}.")
