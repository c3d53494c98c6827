"""Which version of a subject is in charge, and when another one takes over."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from spanward_processor.dora.settings import Dora
from spanward_processor.dora.shares import Shares, Step
from spanward_processor.dora.subjects import Part, Subject

DEPLOYED_SHARE: Final = 0.5
"""Share of the requests from which on a version counts as deployed; a canary, or one half of blue and green, has less."""

RETURNED_SHARE: Final = 0.9
"""Share at which an older version is back in charge: far from the other one, so that a split by halves does not sway."""

_MOST_REIGNS: Final = 64  # versions of which is known that they were in charge


class Change(StrEnum):
    """How a version came to be in charge."""

    FIRST = "first"  # it was there when we began to look
    DEPLOYED = "deployed"
    RETURNED = "returned"  # the one after it was rolled back


@dataclass(frozen=True, slots=True)
class Turn:
    """A version takes over.

    Args:
        change: How.
        version: Who.
        before: From whom; empty for the first.
        at_ns: When, Unix nanoseconds.
    """

    change: Change
    version: str
    before: str
    at_ns: int


class Line:
    """The versions of one subject that were in charge, one after the other.

    Args:
        subject: Of what.
        first_ns: Since when it is looked at, Unix nanoseconds.
    """

    def __init__(self, subject: Subject, first_ns: int) -> None:
        self.subject = subject
        self.first_ns = first_ns
        self.since_ns = 0  # since when the present version is in charge
        self.newest = -1  # number of the newest deployment, -1 where there was none
        self._reigns: list[str] = []  # in the order in which they came to be in charge first
        self._current = ""
        self._shares = Shares()

    @property
    def version(self) -> str:
        """Who is in charge; empty while nobody is known to be."""
        return self._current

    def see(self, start_ns: int, end_ns: int, rows: Mapping[str, float], settings: Dora) -> Turn | None:
        """Take in a window; return who takes over, if anybody does.

        Args:
            start_ns: Begin of the window.
            end_ns: Its end.
            rows: Its requests by version.
            settings: When a version counts as deployed.
        """
        shares = self._shares
        shares.add(start_ns, end_ns, rows, settings.settle_ns, settings.min_requests)
        if shares.total < settings.min_requests or shares.length_ns < settings.settle_ns:
            return None
        if shares.is_only(self._current):
            return None
        by_version = shares.by_version()
        version = max(by_version, key=lambda one: (by_version[one], one != self._current))
        change = self._change_to(version, by_version[version], settings)
        if change is None:
            return None
        at_ns = shares.since(version, RETURNED_SHARE if change is Change.RETURNED else DEPLOYED_SHARE)
        turn = Turn(change, version, self._current, min(at_ns, end_ns))
        self._follow(turn)
        return turn

    def _change_to(self, version: str, share: float, settings: Dora) -> Change | None:
        if version == self._current or share < DEPLOYED_SHARE:
            return None
        if not self._current:
            return Change.FIRST
        if not self._is_older(version):
            return Change.DEPLOYED
        if share < RETURNED_SHARE:
            return None
        lasted_ns = self._shares.since(version, RETURNED_SHARE) - self.since_ns
        return Change.RETURNED if lasted_ns <= settings.fails_within_ns else Change.DEPLOYED

    def _is_older(self, version: str) -> bool:
        """Return whether a version was in charge before the present one came."""
        reigns = self._reigns
        return version in reigns and reigns.index(version) < reigns.index(self._current)

    def _follow(self, turn: Turn) -> None:
        if turn.change is not Change.RETURNED:
            others = [one for one in self._reigns if one != turn.version]
            self._reigns = [*others[1 - _MOST_REIGNS :], turn.version]
        self._current, self.since_ns = turn.version, turn.at_ns

    # --- over a restart ------------------------------------------------------------------------------------------------

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        subject = self.subject
        return {
            "subject": [subject.service, subject.model, subject.part],
            "times": [self.first_ns, self.since_ns],
            "newest": self.newest,
            "reigns": self._reigns,
            "current": self._current,
            "steps": [[step.start_ns, step.end_ns, step.rows, step.total] for step in self._shares.steps],
        }

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Line":
        """Return the line that `as_plain` told of."""
        service, model, part = plain["subject"]
        line = cls(Subject(service, model, Part(part)), plain["times"][0])
        line.since_ns, line.newest = plain["times"][1], plain["newest"]
        line._reigns, line._current = plain["reigns"], plain["current"]
        for start_ns, end_ns, rows, total in plain["steps"]:
            line._shares.put(Step(start_ns, end_ns, rows, total))
        return line
