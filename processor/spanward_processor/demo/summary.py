"""What the demo says at its end, and whether it went well."""

from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from spanward_processor.demo.feed import Opening
from spanward_processor.demo.incidents import Incident
from spanward_processor.demo.screen import Screen
from spanward_processor.demo.sink import Counts


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found of one incident.

    Args:
        incident: What went wrong.
        began_s: When, on the loop's clock.
        openings: What opened from then until the next incident.
    """

    incident: Incident
    began_s: float
    openings: tuple[Opening, ...]

    def named_by(self) -> tuple[Opening, ...]:
        """Return the findings that name the incident."""
        return tuple(opening for opening in self.openings if self._names(opening))

    def beside(self) -> tuple[Opening, ...]:
        """Return the findings that opened beside them, as consequences."""
        return tuple(opening for opening in self.openings if not self._names(opening))

    def missing(self) -> tuple[str, ...]:
        """Return the signs that no finding showed."""
        return tuple(
            str(sign)
            for sign in self.incident.signs
            if not any(sign.shown_by(opening.finding) for opening in self.openings)
        )

    def after_s(self) -> float | None:
        """Return how long the first naming finding took, seconds; None when there was none."""
        return min((opening.at_s - self.began_s for opening in self.named_by()), default=None)

    def _names(self, opening: Opening) -> bool:
        return any(sign.shown_by(opening.finding) for sign in self.incident.signs)


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole run.

    Args:
        outcomes: One per incident.
        quiet: Findings that opened although nothing had changed.
        quiet_s: How long nothing had changed while the processor judged, seconds.
        answered: Requests the service answered.
        failed: Requests it did not.
        turned_away: Requests that were not sent because it could not keep up.
        accepted: Spans the processor took.
        backend: What arrived behind it.
        goes_on: Whether the traffic goes on: then the counts are of two moments.
        took_s: The whole run, seconds.
    """

    outcomes: tuple[Outcome, ...]
    quiet: tuple[Opening, ...]
    quiet_s: float
    answered: int
    failed: int
    turned_away: int
    accepted: int
    backend: Counts
    goes_on: bool
    took_s: float

    @property
    def complete(self) -> bool:
        """Whether every incident was found and every span arrived."""
        return self.backend.spans == self.accepted and not any(outcome.missing() for outcome in self.outcomes)

    def show(self, screen: Screen) -> None:
        """Write it."""
        screen.say("\nSummary", "bold")
        screen.console.print(_table(self.outcomes))
        screen.say(f"  False findings while quiet: {len(self.quiet)} in {self.quiet_s:.0f} s")
        screen.say(
            f"  Spans{' so far, the traffic goes on' if self.goes_on else ''}: {self.accepted:,} sent for {self.answered:,} answered requests ({self.failed} failed); "
            f"your backend received {self.backend.spans:,}, {self.backend.annotated:,} of them annotated, "
            f"and {self.backend.findings} log records about findings"
        )
        if self.turned_away:
            screen.say(f"  This machine is busy: {self.turned_away:,} more requests could not be sent in time")
        screen.say(f"  Took {self.took_s:.0f} s in all")
        for outcome in self.outcomes:
            if missing := outcome.missing():
                screen.say(f"  Missed in '{outcome.incident.name}': {', '.join(missing)}", "bold red")


def _table(outcomes: tuple[Outcome, ...]) -> Table:
    table = Table("incident", "found", "named by", "opened beside")
    for outcome in outcomes:
        after_s = outcome.after_s()
        table.add_row(
            outcome.incident.name,
            "no" if after_s is None else f"after {after_s:.1f} s",
            _aspects(outcome.named_by()),
            _aspects(outcome.beside()),
        )
    return table


def _aspects(openings: tuple[Opening, ...]) -> Text:
    return Text(", ".join(dict.fromkeys(opening.finding.aspect for opening in openings)) or "-")
