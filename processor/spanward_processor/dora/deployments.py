"""All deployments: who takes over, what fails, what recovers."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from numpy.typing import NDArray

from spanward_processor.canary.telling import ROLL_BACK
from spanward_processor.columns import SpanBatch
from spanward_processor.dora.announcements import Announcement, Announcements
from spanward_processor.dora.deployment import Deployment
from spanward_processor.dora.line import Change, Line, Turn
from spanward_processor.dora.settings import Dora
from spanward_processor.dora.subjects import Part, Subject
from spanward_processor.dora.traffic import Traffic, Versions
from spanward_processor.features import Rows
from spanward_processor.findings import Finding, Severity, State, as_plain, from_plain
from spanward_processor.kept import Arrays, from_json, to_json
from spanward_processor.kernels.jit import Flags
from spanward_processor.keys import KeyDirectory
from spanward_processor.roles import RoleTable
from spanward_processor.windows.window import Window

MOST_SUBJECTS: Final = 1000
"""Subjects that are looked at; later ones are not."""

MOST_FINDINGS: Final = 1000
"""Findings that wait until it is known who was in charge; then the oldest is forgotten."""


class Deployments:
    """Follows every subject's versions and keeps the newest deployments.

    Requests on their way, closed windows, findings and announcements come from different threads; each holds the lock for as
    long as it takes.

    Args:
        settings: When a version counts as deployed, and when a deployment has failed.
        directory: Names of the keys.
        roles: Where the columns are.
        width_s: Length of a window, seconds.
    """

    def __init__(self, settings: Dora, directory: KeyDirectory, roles: RoleTable, width_s: float) -> None:
        self._traffic = Traffic(directory, roles, int(width_s * 1e9))
        self._lines: dict[Subject, Line] = {}
        self._kept: deque[Deployment] = deque()
        self._numbered: dict[int, Deployment] = {}
        self._numbers = 0
        self._announcements = Announcements()
        self._waiting: deque[Finding] = deque(maxlen=MOST_FINDINGS)
        self._until_ns = 0
        self._lock = threading.Lock()
        self.settings = settings

    # --- requests ------------------------------------------------------------------------------------------------------

    def note(self, batch: SpanBatch, rows: Rows) -> Versions | None:
        """Return what a request says of versions, None where it is nothing; the directory must not change meanwhile."""
        if self._traffic.is_silent(batch):
            return None
        with self._lock:
            return self._traffic.note(batch, rows)

    def count(self, versions: Versions, now_ns: int) -> None:
        """Count a request that was acknowledged."""
        with self._lock:
            self._traffic.count(versions, now_ns)

    def evict(self, gone: Flags) -> None:
        """Let go of keys, (k,) bool; they never come again. What was deployed is remembered."""
        with self._lock:
            self._traffic.evict(gone)

    # --- event time moves on -------------------------------------------------------------------------------------------

    def see(self, window: Window) -> None:
        """Take in a closed window."""
        with self._lock:
            set_back = window.end_ns < self._until_ns  # clocks were
            self._until_ns = window.end_ns

            def follows(subject: Subject) -> bool:
                if subject not in self._lines and len(self._lines) < MOST_SUBJECTS:
                    self._lines[subject] = Line(subject, window.start_ns)
                return subject in self._lines

            for subject, rows in self._traffic.close(window, follows).items():
                line = self._lines[subject]
                if turn := line.see(window.start_ns, window.end_ns, rows, self.settings):
                    self._take_over(line, turn)
            weighed_ns = window.end_ns - self.settings.settle_ns
            while self._waiting and (set_back or self._waiting[0].updated_ns <= weighed_ns):
                self._weigh(self._waiting.popleft())

    def _take_over(self, line: Line, turn: Turn) -> None:
        before = self._numbered.get(line.newest)
        if turn.change is Change.RETURNED:
            if before and before.version == turn.before:
                before.fail(before.at_ns, f"rolled back to {turn.version}")
                before.recover(turn.at_ns)
            return
        origin = self._traffic.origin(line.subject, turn.version)
        made = Deployment(
            self._numbers, line.subject, turn.version, turn.before, turn.at_ns, origin.commit_ns, origin.revision
        )
        said = self._announcements.of(made)
        if turn.change is Change.FIRST and not said:
            return  # it was there before we were
        if before and before.failed_ns:
            made.rework = made.at_ns - before.failed_ns <= self.settings.fails_within_ns
            before.recover(made.at_ns)
        for announcement in said:
            announcement.tell(made)
        line.newest = made.number
        self._keep(made)
        self._numbers += 1

    def _keep(self, deployment: Deployment) -> None:
        self._kept.append(deployment)
        self._numbered[deployment.number] = deployment
        while len(self._kept) > self.settings.deployments:
            del self._numbered[self._kept.popleft().number]

    # --- findings ------------------------------------------------------------------------------------------------------

    def hear(self, changes: Iterable[Finding]) -> None:
        """Take in what changed about the findings; it is weighed once it is known which version was in charge."""
        with self._lock:
            self._waiting.extend(change for change in changes if change.kind != "security")  # no deployment's fault

    def _weigh(self, finding: Finding) -> None:
        if finding.aspect == ROLL_BACK:
            if finding.state is State.RESOLVED and (failed := self._at_fault(finding)):
                failed.fail(finding.opened_ns, finding.reason)
        elif finding.state is State.RESOLVED:
            for deployment in self._kept:
                if finding.id in deployment.open_findings:
                    deployment.open_findings.remove(finding.id)
                    if not deployment.open_findings:
                        deployment.recover(finding.updated_ns)
        elif finding.severity is Severity.CRITICAL and (failed := self._at_fault(finding)):
            failed.fail(finding.opened_ns, finding.reason)
            if not failed.recovered_ns and finding.id not in failed.open_findings:
                failed.open_findings.append(finding.id)

    def _at_fault(self, finding: Finding) -> Deployment | None:
        """Return the newest deployment that a finding can be about: of its service and model, in charge, and young enough."""
        found: Deployment | None = None
        series = finding.series
        for line in self._lines.values():
            one, subject = self._numbered.get(line.newest), line.subject
            if (
                one is not None
                and subject.service == series.service
                and (subject.model == series.model or not subject.model or not series.model)
                and (subject.part is not Part.MODEL or series.version in {"", one.version})
                and line.version == one.version
                and 0 < finding.opened_ns - one.at_ns <= self.settings.fails_within_ns
                and (found is None or one.at_ns > found.at_ns)
            ):
                found = one
        return found

    # --- what others know ----------------------------------------------------------------------------------------------

    def announce(self, announcement: Announcement) -> int:
        """Take in what a pipeline says; return how many deployments it speaks of that were seen already."""
        with self._lock:
            self._announcements.add(announcement)
            seen = [one for one in self._kept if announcement.concerns(one.subject, one.version, one.revision)]
            for deployment in seen:
                announcement.tell(deployment)
            return len(seen)

    # --- what is told --------------------------------------------------------------------------------------------------

    @property
    def until_ns(self) -> int:
        """Event time up to which everything is known, Unix nanoseconds; 0 before the first window."""
        return self._until_ns

    def lines(self) -> tuple[tuple[Subject, str, int], ...]:
        """Return every subject with the version in charge, and since when it is looked at, Unix nanoseconds."""
        with self._lock:
            return tuple((line.subject, line.version, line.first_ns) for line in self._lines.values())

    def since(self, from_ns: int) -> tuple[Deployment, ...]:
        """Return copies of the deployments from a time on, Unix nanoseconds, in the order in which they were seen."""
        with self._lock:
            return tuple(replace(one) for one in self._kept if one.at_ns >= from_ns)

    # --- over a restart ------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        with self._lock:
            told = {
                "until_ns": self._until_ns,
                "numbers": self._numbers,
                "traffic": self._traffic.as_plain(),
                "lines": [line.as_plain() for line in self._lines.values()],
                "deployments": [deployment.as_plain() for deployment in self._kept],
                "announcements": self._announcements.as_plain(),
                "waiting": [as_plain(finding) for finding in self._waiting],
            }
        return {"told": from_json(told)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        told = to_json(arrays["told"])
        self._until_ns, self._numbers = told["until_ns"], told["numbers"]
        self._traffic.restore(told["traffic"])
        self._lines = {line.subject: line for line in map(Line.of, told["lines"])}
        for plain in told["deployments"]:
            self._keep(Deployment.of(plain))
        self._announcements.restore(told["announcements"])
        self._waiting.extend(from_plain(finding) for finding in told["waiting"])
