"""Findings in context: what the other findings of an incident know is not denied."""

from dataclasses import replace

from spanward_processor.attribution.contributions import Contributions
from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors import Baseline, panel
from spanward_processor.findings import Finding, State
from spanward_processor.judging.judge import Judge
from spanward_processor.testing.traffic import QUIET, Behaviour, Traffic

SEED = 20_261_126


def told(behaviour: Behaviour, windows: int = 8) -> dict[str, Finding]:
    """Let quiet traffic be learned, then let it behave otherwise; return how each aspect was told last."""
    print(f"seed {SEED}")
    traffic = Traffic(SEED, window_s=10.0)
    detectors = panel(Learning(), 0.5 ** (10.0 / 3600))
    (baseline,) = [detector for detector in detectors if isinstance(detector, Baseline)]
    judge = Judge(
        detectors,
        traffic.directory,
        traffic.text,
        window_s=10.0,
        false_alarms_per_day=1.0,
        contributions=Contributions(traffic.directory, baseline.usual, traffic.text),
    )
    for window in traffic.windows(QUIET, 60):
        assert judge.hear(window) == ()
    changes = [change for window in traffic.windows(behaviour, windows) for change in judge.hear(window)]
    return {change.aspect: change for change in changes if change.state is not State.RESOLVED}


def test_a_flood_by_one_client_is_not_said_to_have_no_cause() -> None:
    """The finding about repeats knows of no channel, and says what clients show instead of denying that there is a cause."""
    repeats = told(replace(QUIET, flood_per_s=200.0))["repeat"]

    assert "No single channel is the cause, but clients deviate: " in repeats.reason
    assert "by one client" in repeats.reason
    assert "look for something" not in repeats.reason


def test_what_everybody_shares_is_to_be_looked_for_where_clients_are_as_usual() -> None:
    """Longer inputs of all channels and clients: no single channel, and nothing is said of clients."""
    sizes = told(replace(QUIET, longer=2.0))["input_size"]

    assert "No single channel is the cause: most of the traffic moved alike; look for something" in sizes.reason
    assert "client" not in sizes.reason


def test_a_client_that_floods_is_named_apart_from_the_sentence() -> None:
    """The id stands in a field of its own, and no other finding of the incident claims it."""
    findings = told(replace(QUIET, flood_per_s=200.0))

    assert findings["client"].client
    assert f"Client {findings['client'].client} sends" in findings["client"].reason
    assert {finding.client for aspect, finding in findings.items() if aspect != "client"} == {""}
