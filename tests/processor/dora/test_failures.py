"""Which deployments failed, when that was over, and what was a repair."""

from dataclasses import replace

import pytest

from deploying import DAY, MINUTE, SECOND, History, finding
from spanward_processor.dora.settings import Dora
from spanward_processor.findings import Finding, Severity, State

LATER = 3 * MINUTE


def deployed(settings: Dora | None = None) -> tuple[History, int]:
    """Return a history in which version 2 took over, and when it did."""
    history = History(settings)
    history.settle("1")
    at_ns = history.serve(180, {"2": 1.0})
    return history, at_ns


def test_an_older_version_that_takes_over_again_is_a_failure_and_its_end() -> None:
    """Version 2 lasted for three minutes, and was then rolled back."""
    history, at_ns = deployed()
    back_ns = history.serve(180, {"1": 1.0})

    (failed,) = history.deployments
    assert (failed.failed_ns, failed.recovered_ns) == (at_ns, back_ns)
    assert failed.cause == "rolled back to 1"
    measured = history.measured()
    assert (measured.deployments, measured.failed, measured.change_fail_rate) == (1, 1, 1.0)
    assert (measured.recovery_s, measured.unrecovered, measured.version) == (180.0, 0, "1")


def test_half_a_roll_back_is_none() -> None:
    """An older version is back at nine requests of ten."""
    history, _ = deployed()
    history.serve(600, {"1": 0.8, "2": 0.2})

    assert history.measured().failed == 0
    assert history.measured().version == "2"


def test_a_page_about_the_version_is_a_failure_until_it_is_resolved() -> None:
    """From the finding to its end; that it resolved counts even if the version stays."""
    history, at_ns = deployed()
    opened_ns, resolved_ns = at_ns + LATER, at_ns + LATER + 10 * MINUTE
    history.find(finding(opened_ns, version="2"))
    history.find(finding(opened_ns, version="2", state=State.RESOLVED, updated_ns=resolved_ns))
    history.serve(1200, {"2": 1.0})

    (failed,) = history.deployments
    assert (failed.failed_ns, failed.recovered_ns) == (opened_ns, resolved_ns)
    assert failed.cause == "Objective availability burns"


def test_a_page_that_names_no_version_is_the_newest_deployments() -> None:
    """Objectives are mostly about a whole model, or a whole service."""
    history, at_ns = deployed()
    history.find(finding(at_ns + LATER, model=""))
    history.settle("2")

    assert history.deployments[0].failed_ns == at_ns + LATER
    assert history.measured().unrecovered == 1


def test_several_findings_are_one_failure_that_ends_with_the_last() -> None:
    """The first counts as its begin, the last resolution as its end."""
    history, at_ns = deployed()
    for name, minutes in (("a", 3), ("b", 4)):
        history.find(finding(at_ns + minutes * MINUTE, name=name))
    for name, minutes in (("a", 6), ("b", 9)):
        history.find(finding(at_ns, name=name, state=State.RESOLVED, updated_ns=at_ns + minutes * MINUTE))
    history.serve(900, {"2": 1.0})

    assert history.measured().failed == 1
    assert history.measured().recovery_s == 6 * MINUTE / SECOND


@pytest.mark.parametrize(
    "harmless",
    [
        finding(0, severity=Severity.WARNING),
        finding(0, kind="security"),
        finding(0, version="1"),
        finding(0, model="ranker"),
        finding(-DAY),
    ],
    ids=["warning", "security", "other version", "other model", "before it"],
)
def test_what_is_not_the_versions_fault_is_no_failure(harmless: Finding) -> None:
    """Tickets, attacks, and what is about others or began earlier."""
    history, at_ns = deployed()
    history.find(replace(harmless, opened_ns=at_ns + harmless.opened_ns + LATER, updated_ns=at_ns + LATER))
    history.settle("2")

    assert history.measured().failed == 0


def test_what_comes_after_the_time_is_no_failure() -> None:
    """An hour later, where ten minutes are asked for."""
    history, at_ns = deployed(Dora(fails_within_s=600.0))
    history.find(finding(at_ns + 11 * MINUTE))
    history.serve(900, {"2": 1.0})

    assert history.measured().failed == 0


def test_a_page_before_it_is_known_who_is_in_charge_waits() -> None:
    """A page seconds after the switch is about the new version, though that takes half a minute to be known."""
    history = History()
    history.settle("1")
    history.settle("2")
    at_ns = history.serve(10, {"3": 1.0})
    history.find(finding(at_ns + 10 * SECOND))
    history.settle("3")

    assert [(one.version, one.failed_ns > 0) for one in history.deployments] == [("2", False), ("3", True)]


def test_an_executed_roll_back_is_a_failure() -> None:
    """`canary/rollbacks.py` has told that it acted; the traffic shows it later."""
    history, at_ns = deployed()
    history.find(finding(at_ns + LATER, version="2", aspect="roll_back", state=State.RESOLVED, severity=Severity.INFO))
    history.settle("2")
    back_ns = history.serve(180, {"1": 1.0})

    (failed,) = history.deployments
    assert (failed.failed_ns, failed.recovered_ns) == (at_ns + LATER, back_ns)


def test_a_canary_that_is_rolled_back_was_never_deployed() -> None:
    """It had a tenth of the requests: no deployment, and so none that failed."""
    history = History()
    history.settle("1")
    history.serve(600, {"1": 0.9, "2": 0.1})
    history.find(finding(history.now, version="2"))
    history.find(finding(history.now, version="2", aspect="roll_back", state=State.RESOLVED, severity=Severity.INFO))
    history.settle("1")

    assert history.deployments == ()
    assert history.measured().change_fail_rate is None


def test_a_newer_version_repairs_and_is_rework() -> None:
    """Version 3 follows ten minutes after the page: the failure is over, and 3 was not planned."""
    history, at_ns = deployed()
    history.find(finding(at_ns + LATER))
    history.serve(600, {"2": 1.0})
    repaired_ns = history.serve(180, {"3": 1.0})
    history.settle("4")

    assert [(one.version, one.rework) for one in history.deployments] == [("2", False), ("3", True), ("4", False)]
    assert history.deployments[0].recovered_ns == repaired_ns
    measured = history.measured()
    assert measured.rework == 1
    assert measured.rework_rate == pytest.approx(1 / 3)


def test_a_version_long_after_a_failure_is_no_rework() -> None:
    """Two days later it is a deployment as any other."""
    history = History(per_step=200, step_s=600)
    history.settle("1")
    at_ns = history.now
    history.settle("2")
    history.find(finding(at_ns + LATER))
    history.pass_s(2 * 86_400)
    history.settle("3")

    assert [one.rework for one in history.deployments] == [False, False]


def test_failures_outlive_a_restart() -> None:
    """A page that was open is resolved in the next process, and one that waits to be weighed is not lost."""
    history, at_ns = deployed()
    history.find(finding(at_ns + LATER))
    history.restart()
    history.settle("2")
    history.restart()
    resolved_ns = history.now
    history.find(finding(at_ns + LATER, state=State.RESOLVED, updated_ns=resolved_ns))
    history.settle("2")

    (failed,) = history.deployments
    assert (failed.failed_ns, failed.recovered_ns) == (at_ns + LATER, resolved_ns)
