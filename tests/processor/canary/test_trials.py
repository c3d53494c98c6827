"""A canary beside the stable version, through the whole pipeline: what is decided, when, and what is not."""

import pytest

from spanward_processor.canary.settings import Canary, Guarded, Named
from spanward_processor.canary.verdict import Decision
from spanward_processor.findings import State
from spanward_processor.windows.window import Window
from two_versions import CANARY, STABLE, Arm, World

QUICK = Canary(warmup_s=0, lateness_s=1.0)
STEADY = Arm(90)


def begun(settings: Canary = QUICK) -> World:
    """Return a world in which the stable version has served for a while, and the canary for ten seconds."""
    world = World(settings)
    assert world.run(61, stable=STEADY) == 0
    assert world.run(10, stable=STEADY, canary=Arm(10)) == 0
    return world


@pytest.mark.parametrize(
    ("arm", "guard", "within_s"),
    [
        (Arm(10, latency=2.0), "latency", 6),
        (Arm(10, errors=0.2), "errors", 10),
        (Arm(10, decisions=0.4), "decision", 20),
        (Arm(10, tokens=3.0), "output_tokens", 12),
        (Arm(10, torn=True), "score", 20),
    ],
    ids=["latency", "errors", "decision", "tokens", "scores of the same mean"],
)
def test_a_regression_is_rolled_back_by_the_guard_it_concerns(arm: Arm, guard: str, within_s: int) -> None:
    """Whatever becomes worse is found in seconds, and named with its effect."""
    world = begun()

    took = world.run(40, stable=STEADY, canary=arm)

    assert 0 < took <= within_s
    verdict = world.verdict
    assert verdict is not None
    assert (verdict.stable.version, verdict.canary.version) == (STABLE, CANARY)
    worst = verdict.standings[0]
    assert (worst.guard, verdict.log10_e >= verdict.log10_threshold) == (guard, True)
    assert worst.low <= worst.effect <= worst.high
    (finding,) = [finding for finding in world.findings if finding.detector == "canary"]
    assert (finding.aspect, finding.state, finding.series.version) == (guard, State.OPENED, CANARY)


def test_a_canary_that_is_alike_is_promoted_and_not_rolled_back() -> None:
    """Once it has served enough, it is surely no worse than the tolerances."""
    guards = {"latency": Guarded(1, 0.03, 0.2), "errors": Guarded(1, 0.1, 0.05)}
    settings = Canary(warmup_s=0, lateness_s=1.0, promote_requests=200, guards=guards)
    world = begun(settings)

    rolled_back = world.run(120, stable=Arm(30), canary=Arm(30))

    assert world.verdict is not None
    assert (rolled_back, world.verdict.decision) == (0, Decision.PROMOTE)


def test_one_version_alone_is_not_compared() -> None:
    """Without a second version nothing is counted, and there is no verdict."""
    world = World(QUICK)
    world.run(80, stable=STEADY)

    assert world.pipeline.canaries.verdicts == ()


def test_a_slow_beginning_is_forgiven_and_a_failing_one_is_not() -> None:
    """In its warm-up only a canary's errors count."""
    settings = Canary(warmup_s=30, lateness_s=1.0)

    assert begun(settings).run(15, stable=STEADY, canary=Arm(10, latency=3.0)) == 0
    assert 0 < begun(settings).run(15, stable=STEADY, canary=Arm(10, errors=0.5)) < 10


def test_a_version_that_vanishes_ends_its_trial_with_a_finding() -> None:
    """No verdict on it any more: a canary that is gone is neither promoted nor rolled back."""
    world = begun()

    assert world.run(70, stable=STEADY) == 0

    assert world.pipeline.canaries.verdicts[0].vanished == CANARY or not world.pipeline.canaries.verdicts
    (finding,) = [finding for finding in world.findings if finding.detector == "canary"]
    assert (finding.aspect, finding.severity) == ("version", "warning")
    assert "vanished in the middle of its trial" in finding.reason


def test_silence_of_both_versions_ends_nothing() -> None:
    """At night nobody comes; nobody has vanished by that."""
    world = begun()

    world.run(120)

    assert world.verdict is not None
    assert (world.verdict.decision, world.verdict.vanished) == (Decision.CONTINUE, "")
    assert not [finding for finding in world.findings if finding.detector == "canary"]


def test_silence_of_both_versions_for_a_day_ends_their_trial() -> None:
    """Nobody waits for a verdict on versions that nobody asks: what was said of the canary is resolved, and the place is free."""
    world = begun()
    world.run(30, stable=STEADY, canary=Arm(10, errors=0.9))
    canaries, day = world.pipeline.canaries, 86_400 * 1_000_000_000
    soon = canaries.hear(Window.empty(world.now + day // 2, world.now + day // 2 + 1))
    opened = canaries.spoken_of().size
    later = canaries.hear(Window.empty(world.now + day, world.now + day + 1))
    canaries.due(every=False)

    assert soon == ()
    assert opened == 2
    assert [(one.detector, one.state) for one in later] == [("canary", "resolved")]
    assert canaries.spoken_of().size == 0


def test_clocks_that_differ_between_the_versions_do_no_harm() -> None:
    """A canary whose machine is eight seconds behind is compared with what the stable version did at the same time."""
    world = World(QUICK)
    world.run(61, stable=STEADY)
    assert world.run(20, stable=STEADY, canary=Arm(10, behind_s=8)) == 0
    assert world.verdict is not None
    assert world.verdict.requests[1] > 150

    assert 0 < world.run(20, stable=STEADY, canary=Arm(10, behind_s=8, latency=2.0)) <= 8


def test_a_version_without_traffic_is_waited_for() -> None:
    """The verdict says so, and decides nothing."""
    settings = Canary(warmup_s=0, lateness_s=1.0, min_requests=30)
    world = World(settings)
    world.run(61, stable=STEADY)
    world.run(3, stable=STEADY, canary=Arm(2, latency=4.0))
    world.run(5, stable=STEADY)

    assert world.verdict is not None
    assert world.verdict.decision is Decision.CONTINUE
    assert "requests of 30" in world.verdict.reason


def test_one_client_in_one_version_only_is_no_verdict_on_the_version() -> None:
    """What one client does cannot be told from what the version does; the verdict says so."""
    world = World(QUICK)
    many = Arm(90, clients=tuple(f"c{number}" for number in range(30)))
    world.run(61, stable=many)

    assert world.run(40, stable=many, canary=Arm(10, clients=("lonely",), latency=2.0)) == 0
    assert world.verdict is not None
    assert "serves 1 of 3 clients" in world.verdict.reason


def test_clients_that_are_slow_by_themselves_are_not_held_against_the_version() -> None:
    """Where clients stay with a version, it takes more than their own differences."""
    world = World(QUICK)
    clients = tuple(f"c{number}" for number in range(40))
    arms = [Arm(2.5, clients=(client,), latency=0.5 + 0.025 * number) for number, client in enumerate(clients)]
    few = arms[::11]  # four of them, of all kinds
    others = [arm for arm in arms if arm not in few]
    rolled_back = [world.run_many(1, others, few if second > 61 else []) for second in range(180)]

    assert sum(rolled_back) == 0


def test_a_trial_goes_on_over_a_restart() -> None:
    """Evidence, roles and clients are taken up again."""
    world = begun()
    world.run(60, stable=STEADY, canary=Arm(10))
    before = world.verdict
    world.restart()

    world.run(1, stable=STEADY, canary=Arm(10))

    after = world.verdict
    assert before is not None
    assert after is not None
    assert after.began_ns == before.began_ns
    assert after.requests[1] >= before.requests[1]
    assert 0 < world.run(20, stable=STEADY, canary=Arm(10, latency=2.0)) <= 6


def test_a_decision_that_nobody_took_outlives_a_restart_and_one_that_was_taken_does_not() -> None:
    """A roll-back that was decided and not begun is begun by the next process; none is begun twice."""
    world = begun()
    world.run_unasked(10, stable=STEADY, canary=Arm(10, latency=3.0))
    world.restart()

    (due,) = world.pipeline.canaries.take_due()

    assert (due.decision, due.canary.version) == (Decision.ROLL_BACK, CANARY)
    world.restart()
    assert world.pipeline.canaries.take_due() == ()
    assert world.run(5, stable=STEADY, canary=Arm(10, latency=3.0)) == 0


def test_the_operator_names_which_version_is_stable() -> None:
    """Named roles win over which version came first."""
    named = Named("support", "router", stable=CANARY, canary=STABLE)
    world = World(Canary(warmup_s=0, lateness_s=1.0, models=(named,)))
    world.run(61, stable=STEADY)
    world.run(30, stable=STEADY, canary=Arm(90))

    assert world.verdict is not None
    assert (world.verdict.stable.version, world.verdict.canary.version) == (CANARY, STABLE)
