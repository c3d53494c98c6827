"""Which share of a subject's newest requests each of its versions serves."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_STEPS: Final = 12  # into which the time that is looked at is cut; a deployment is dated to the begin of one
_MOST_VERSIONS: Final = 16  # of one step; the requests of further ones count for nobody


@dataclass(frozen=True, slots=True)
class Step:
    """Requests of one stretch of event time.

    Args:
        start_ns: Where it begins, Unix nanoseconds.
        end_ns: Where it ends.
        rows: Requests by version.
        total: Requests of all versions.
    """

    start_ns: int
    end_ns: int
    rows: Mapping[str, float]
    total: float

    def with_more(self, end_ns: int, rows: Mapping[str, float]) -> "Step":
        """Return it with the requests of a window that follows."""
        both = dict(self.rows)
        for version, count in rows.items():
            both[version] = both.get(version, 0.0) + count
        if len(both) > _MOST_VERSIONS:
            both = dict(Counter(both).most_common(_MOST_VERSIONS))
        return Step(self.start_ns, end_ns, both, self.total + sum(rows.values()))


class Shares:
    """The newest requests of one subject: those of the time that is looked at, and more where these are too few."""

    def __init__(self) -> None:
        self.steps: deque[Step] = deque()
        self.total = 0.0
        self._rows: dict[str, float] = {}

    def add(self, start_ns: int, end_ns: int, rows: Mapping[str, float], settle_ns: int, fewest: int) -> None:
        """Take in a window, and forget what is not looked at any more.

        Args:
            start_ns: Begin of the window.
            end_ns: Its end.
            rows: Its requests by version.
            settle_ns: Time that is looked at.
            fewest: Requests that are looked at, at least.
        """
        while self.steps and start_ns < self.steps[-1].end_ns:  # clocks were set back
            self._take(self.steps.pop())
        if self.steps and end_ns - self.steps[-1].start_ns <= settle_ns // _STEPS:
            before = self.steps.pop()
            self._take(before)
            self.put(before.with_more(end_ns, rows))
        else:
            self.put(Step(start_ns, end_ns, {}, 0.0).with_more(end_ns, rows))
        while len(self.steps) > 1 and self._can_spare(settle_ns, fewest):
            self._take(self.steps.popleft())

    def _can_spare(self, settle_ns: int, fewest: int) -> bool:
        """Return whether enough is left without the oldest step."""
        return end_of(self.steps) - self.steps[1].start_ns >= settle_ns and self.total - self.steps[0].total >= fewest

    def put(self, step: Step) -> None:
        """Take in a step that follows."""
        self.steps.append(step)
        self.total += step.total
        for version, count in step.rows.items():
            self._rows[version] = self._rows.get(version, 0.0) + count

    def _take(self, step: Step) -> None:
        self.total -= step.total
        for version, count in step.rows.items():
            left = self._rows.pop(version, 0.0) - count
            if left > 0:
                self._rows[version] = left

    @property
    def length_ns(self) -> int:
        """Time that is looked at, nanoseconds."""
        return end_of(self.steps) - self.steps[0].start_ns if self.steps else 0

    def is_only(self, version: str) -> bool:
        """Return whether no other version has requests: in most windows of most subjects."""
        return len(self._rows) == 1 and version in self._rows

    def by_version(self) -> dict[str, float]:
        """Return each version's share."""
        return {version: rows / self.total for version, rows in self._rows.items()}

    def since(self, version: str, share: float) -> int:
        """Return when a version's present run of steps with at least a share has begun, Unix nanoseconds."""
        began_ns = end_of(self.steps)
        for step in reversed(self.steps):
            if step.rows.get(version, 0.0) < share * step.total:
                break
            began_ns = step.start_ns
        return began_ns


def end_of(steps: deque[Step]) -> int:
    """Return where the newest step ends."""
    return steps[-1].end_ns
