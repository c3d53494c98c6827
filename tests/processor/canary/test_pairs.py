"""Two versions on the same inputs, through the whole pipeline: a class that the new one gives away is found."""

import pytest

from spanward_processor.canary.settings import Canary
from spanward_processor.canary.telling import SAME_INPUTS
from spanward_processor.findings import Finding, Severity, State
from two_versions import CANARY, STABLE, Arm, World

QUICK = Canary(warmup_s=0, lateness_s=1.0)


def told(world: World) -> list[Finding]:
    """Return what was told of the same inputs."""
    return [finding for finding in world.findings if finding.aspect == SAME_INPUTS]


def test_a_class_that_one_channel_loses_is_found_though_its_share_hardly_moves() -> None:
    """Half of the frauds of a quarter of the traffic are called fine: 1.2 % of all answers."""
    world = World(QUICK)
    world.mirror(120, given_away=0.5)

    (finding,) = told(world)
    assert (finding.state, finding.severity, finding.kind) == (State.OPENED, Severity.WARNING, "quality")
    assert finding.technique is not None
    assert finding.technique.id == "AML.T0020"
    assert finding.reason.startswith(
        f"{CANARY} decides otherwise than {STABLE} on the same inputs where spanward.channel is 'partner': of "
    )
    assert "fraud" in finding.reason
    assert finding.slices[0].value == "partner"
    assert finding.log10_e >= 1


@pytest.mark.parametrize("seed", range(3))
def test_versions_that_differ_at_random_are_not_told(seed: int) -> None:
    """A tenth of the answers differ, and as many come to each decision as leave it."""
    world = World(QUICK, seed)
    world.mirror(90, differing=0.1)

    assert told(world) == []


def test_pairs_outlive_a_restart_and_are_told_once() -> None:
    """What was counted before counts after it, and what was told is not told again."""
    world = World(QUICK)
    world.mirror(60, given_away=0.5)
    before = len(told(world))
    world.restart()
    world.mirror(60, given_away=0.5)
    world.restart()
    world.mirror(10, given_away=0.5)

    assert (before, len(told(world))) in {(0, 1), (1, 1)}


def test_what_was_told_ends_with_its_trial() -> None:
    """The new version is gone: nothing is left to be looked at."""
    world = World(QUICK)
    world.mirror(120, given_away=0.5)
    world.run(90, stable=Arm(90))

    assert [finding.state for finding in told(world)] == [State.OPENED, State.RESOLVED]
    assert not [finding for finding in world.pipeline.canaries.open_findings if finding.aspect == SAME_INPUTS]
