"""What the demo says at its end."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from spanward_processor.demo.feed import Finding, Opening
from spanward_processor.demo.incidents import INCIDENTS
from spanward_processor.demo.screen import Screen
from spanward_processor.demo.sink import Counts
from spanward_processor.demo.summary import Outcome, Summary

_LONGER, _POISONED, _FLOOD = INCIDENTS


def _opening(aspect: str, at_s: float = 12.0, slices: tuple[str, ...] = ()) -> Opening:
    finding = Finding(
        id=aspect,
        state="opened",
        severity="warning",
        aspect=aspect,
        observed="much",
        baseline="little",
        log10_e=6.2,
        n=80,
        reason="It rose.",
        slices=slices,
        technique="AML.T0029 Denial of AI Service",
    )
    return Opening(at_s, finding)


def _summary() -> Summary:
    return Summary(
        outcomes=(
            Outcome(_LONGER, 10.0, (_opening("input_size"), _opening("latency", 14.0), _opening("score"))),
            Outcome(_POISONED, 40.0, (_opening("decision", 47.5, ("partner-feed",)),)),
            Outcome(_FLOOD, 70.0, (_opening("client", 75.0), _opening("repeat", 75.0))),
        ),
        quiet=(),
        quiet_s=8.0,
        answered=1000,
        failed=0,
        turned_away=0,
        accepted=2000,
        backend=Counts(spans=2000, annotated=17, findings=9, metrics=3),
        goes_on=False,
        took_s=131.0,
    )


def _shown(summary: Summary) -> str:
    written = io.StringIO()
    summary.show(Screen(Console(file=written)))
    return written.getvalue()


def test_counts_of_traffic_that_goes_on_are_said_to_be_such() -> None:
    """Nobody takes for a loss, or for spans out of nowhere, what came between two counts."""
    shown = _shown(replace(_summary(), goes_on=True, backend=Counts(spans=2005, annotated=17, findings=9, metrics=3)))

    assert "Spans so far, the traffic goes on: 2,000 sent for 1,000 answered requests" in shown
    assert "Spans: 2,000 sent" in _shown(_summary())


def test_run_is_complete_when_all_was_found_and_every_span_arrived() -> None:
    """The exit code follows from it."""
    assert _summary().complete


def test_run_is_incomplete_when_a_span_is_missing() -> None:
    """A span the processor took and the backend did not get is a loss."""
    assert not replace(_summary(), backend=Counts(spans=1999)).complete


@pytest.mark.parametrize("place", range(3))
def test_run_is_incomplete_when_an_incident_was_not_found(place: int) -> None:
    """Each incident counts, and the summary names what was missed."""
    summary = _summary()
    outcomes = list(summary.outcomes)
    outcomes[place] = replace(outcomes[place], openings=())
    summary = replace(summary, outcomes=tuple(outcomes))
    assert not summary.complete
    assert f"Missed in '{INCIDENTS[place].name}'" in _shown(summary)


def test_finding_that_blames_another_channel_does_not_name_the_poisoning() -> None:
    """Attribution is part of what must be found."""
    outcome = Outcome(_POISONED, 40.0, (_opening("decision", 47.5, ("web", "partner-feed")),))
    assert outcome.missing() == ("decision of partner-feed",)


def test_time_to_the_first_naming_finding_is_told() -> None:
    """What opened beside it does not count."""
    outcome = Outcome(_LONGER, 10.0, (_opening("score", 11.0), _opening("input_size", 14.5), _opening("latency", 16.0)))
    assert outcome.after_s() == 4.5
    assert [opening.finding.aspect for opening in outcome.beside()] == ["score"]


def test_summary_tells_counts_and_what_named_each_incident() -> None:
    """A person reads when each incident was found and that no span was lost."""
    shown = _shown(_summary())
    for part in ("after 7.5 s", "input_size, latency", "2,000 sent for 1,000", "received 2,000", "Took 131 s"):
        assert part in shown


def test_finding_is_shown_with_its_reason_evidence_and_technique() -> None:
    """What opens is told in words, with how likely it is by chance."""
    written = io.StringIO()
    Screen(Console(file=written)).finding(_opening("client").finding)
    for part in ("FOUND", "WARNING", "It rose.", "1 in 1,600,000 by chance", "AML.T0029"):
        assert part in written.getvalue()
