"""That a roll-back happens once, in time, and is told: whoever acts may fail, hang, or not be there."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from spanward_processor.canary.executors.base import ExecutorError, RollBack
from spanward_processor.canary.rollbacks import Acting, RollBacks
from spanward_processor.canary.section import CanaryConfig
from spanward_processor.canary.verdict import Verdict
from spanward_processor.findings import Finding, Series, Severity, State
from verdicts import VERDICT


class Switch:
    """An executor that notes what it is asked.

    Args:
        name: What it is called.
        failure: What it fails with, if it does.
        takes_s: How long it takes, seconds.
    """

    def __init__(self, name: str = "switch", failure: Exception | None = None, takes_s: float = 0.0) -> None:
        self.name = name
        self.asked: list[RollBack] = []
        self._failure = failure
        self._takes_s = takes_s

    async def execute(self, roll_back: RollBack) -> str:
        """Note it."""
        self.asked.append(roll_back)
        await asyncio.sleep(self._takes_s)
        if self._failure:
            raise self._failure
        return "switched"


class Office:
    """Roll-backs with a clock that a test moves, and what they tell."""

    def __init__(self, config: CanaryConfig, acting: Sequence[Acting]) -> None:
        self.told: list[Finding] = []
        self.now_s = 100.0
        self._config, self._acting = config, acting

    def act(self, *verdicts: Verdict, later_s: float = 0.0) -> list[Finding]:
        """Act on verdicts that come together, and on each again some time later; return what was told."""

        async def run() -> None:
            roll_backs = RollBacks(self._tell, monotonic_s=lambda: self.now_s)
            roll_backs.adopt(self._config, self._acting)
            for verdict in verdicts:
                roll_backs.begin(verdict)
            await roll_backs.drain()
            if later_s:
                self.now_s += later_s
                roll_backs.begin(verdicts[0])
                await roll_backs.drain()

        asyncio.run(run())
        return self.told

    async def _tell(self, finding: Finding) -> None:
        self.told.append(finding)


def test_a_roll_back_is_executed_and_told() -> None:
    """Every executor of the model is asked, once; each leaves a finding that is over."""
    first, second, other = Switch("first"), Switch("second"), Switch("other")
    office = Office(CanaryConfig(), [Acting(first), Acting(second, model="router"), Acting(other, model="ranker")])

    told = office.act(VERDICT)

    assert [len(switch.asked) for switch in (first, second, other)] == [1, 1, 0]
    (asked,) = first.asked
    assert (asked.stable, asked.canary, asked.model, asked.decided_ns) == ("2.0", "2.1", "router", 8)
    assert {(one.state, one.severity, one.aspect) for one in told} == {(State.RESOLVED, Severity.INFO, "roll_back")}
    assert "first: switched" in told[0].reason


def test_one_regression_is_rolled_back_once() -> None:
    """A second verdict on the same model finds the lock, until the cooldown is over; it is told that it did."""
    switch = Switch()
    office = Office(CanaryConfig(cooldown_s=300), [Acting(switch)])
    again = replace(VERDICT, canary=Series("support", "router", "2.2"))

    told = office.act(VERDICT, again, later_s=299)

    assert len(switch.asked) == 1
    refusals = [one.reason for one in told if "not rolled back" in one.reason]
    assert len(refusals) == 2
    assert "less than 300 s ago" in refusals[0]


def test_after_the_cooldown_it_acts_again() -> None:
    """The next canary may be bad too."""
    switch = Switch()

    Office(CanaryConfig(cooldown_s=300), [Acting(switch)]).act(VERDICT, later_s=301)

    assert len(switch.asked) == 2


def test_a_dry_run_only_says_what_it_would_do() -> None:
    """Nobody is asked."""
    switch = Switch()

    (told,) = Office(CanaryConfig(dry_run=True), [Acting(switch)]).act(VERDICT)

    assert switch.asked == []
    assert "dry run: switch would roll back" in told.reason


def test_an_executor_that_hangs_is_given_up_and_told() -> None:
    """The others are not held up by it, and a person hears that the canary still serves."""
    hanging, well = Switch("hanging", takes_s=3600), Switch("well")

    told = Office(CanaryConfig(timeout_s=0.05), [Acting(hanging), Acting(well)]).act(VERDICT)

    assert [one.severity for one in told] == [Severity.INFO, Severity.CRITICAL]
    assert (told[1].state, "hanging failed: no answer in 0.05 s" in told[1].reason) == (State.OPENED, True)


def test_an_executor_that_fails_is_told_with_its_reason() -> None:
    """Whatever it fails with, foreseen or not."""
    foreseen, unforeseen = Switch("a", ExecutorError("no such route")), Switch("b", KeyError("weight"))

    told = Office(CanaryConfig(), [Acting(foreseen), Acting(unforeseen)]).act(VERDICT)

    assert {one.severity for one in told} == {Severity.CRITICAL}
    assert sorted(one.reason.partition(": ")[2] for one in told) == [
        "a failed: no such route",
        "b failed: KeyError('weight')",
    ]


def test_a_verdict_that_nobody_acts_on_is_told() -> None:
    """Without an executor a person must act."""
    (told,) = Office(CanaryConfig(), []).act(VERDICT)

    assert (told.severity, "nobody rolls it back" in told.reason) == (Severity.CRITICAL, True)
